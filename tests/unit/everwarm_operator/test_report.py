"""Outcome -> status patch; and the events."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_operator import events, planning, report
from everwarm_operator.api.conditions import Claim
from everwarm_operator.api.v1alpha1 import ModelService, Observed
from everwarm_operator.facts import RevisionFacts, ServiceFacts
from everwarm_operator.floor import Leftover, RevisionPlan, Target
from everwarm_operator.report import Outcome
from everwarm_planner.decision import Decision, Reason
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, MissingReason, Observation

NOW, LATER = "2027-01-15T08:00:00Z", "2027-01-15T08:00:15Z"
SEEN = Observation(1.0, 12.3456, 0.1234, 0.02, 0.0123456, 0.5, 2, 1.0)


def outcome(floor: int = 3, sentence: str = "Why.", observed: Observed | None = None, **memory: Any) -> Outcome:
    return Outcome(
        generation=2,
        facts=ServiceFacts(url="http://digits.ns", revisions=(RevisionFacts("r", 100, ready_replicas=2),)),
        observed=observed,
        decision=Decision(floor, 3, Reason.STEADY, sentence),
        memory=Memory(floor, **memory),
        plans=(RevisionPlan("r", 100, floor, 0, Target.REVISION, 1),),
        claims=(Claim("Ready", "True", "Serving", "The model is served."),),
    )


def test_the_whole_status() -> None:
    seen = report.published({}, SEEN, NOW)
    assert report.status({}, outcome(observed=seen, low_since_seconds=5.0, observed_at_seconds=9.0), NOW) == {
        "observedGeneration": 2,
        "url": "http://digits.ns",
        "floor": 3,
        "readyReplicas": 2,
        "revisions": [{"name": "r", "percent": 100, "floor": 3}],
        "observed": {
            "p95Milliseconds": 123,
            "ratePerSecond": 12.3,
            "utilization": 0.5,
            "coldStartFraction": 0.0123,
            "at": NOW,
        },
        "decision": {"reason": "Steady", "sentence": "Why.", "at": NOW},
        "memory": {"floor": 3, "lowSinceSeconds": 5.0, "observedAtSeconds": 9.0},
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "observedGeneration": 2,
                "reason": "Serving",
                "message": "The model is served.",
                "lastTransitionTime": NOW,
            }
        ],
    }


def test_a_sentence_with_other_figures_is_no_news() -> None:
    old = report.status({}, outcome(sentence="Utilisation is 20 %.", observed_at_seconds=1.0), NOW)
    new = report.status(old, outcome(sentence="Utilisation is 21 %.", observed_at_seconds=16.0), LATER)
    assert report.patch(old, new) == {}


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        (outcome(floor=4), {"floor", "revisions", "decision", "memory"}),
        (outcome(low_since_seconds=7.0), {"decision", "memory"}),
        (outcome(observed=Observed(rate_per_second=1.0, at=LATER)), {"observed", "decision"}),
    ],
    ids=["another floor", "a window begins", "other figures"],
)
def test_news_are_written_with_their_reasons(change: Outcome, keys: set[str]) -> None:
    old = report.status({}, outcome(), NOW)
    assert set(report.patch(old, report.status(old, change, LATER))) == keys


@pytest.mark.parametrize(
    ("observation", "is_rewritten"),
    [
        (SEEN, False),
        (Observation(9.0, 12.6, 0.125, 0.02, 0.0124, 0.51, 2, 7.0), False),
        (Observation(9.0, 14.0, 0.1234, 0.02, 0.0123456, 0.5, 2, 1.0), True),
        (Observation(9.0, 0.0, None, None, 0.0, 0.0, 2, 0.0), True),
        (MissingObservation(9.0, MissingReason.EMPTY, "nothing"), False),
    ],
    ids=["the same", "about the same", "over 5 %", "no requests any more", "nothing is known"],
)
def test_figures_are_rewritten_when_they_move(observation: Any, is_rewritten: bool) -> None:
    before = report.published({}, SEEN, NOW)
    assert before is not None
    old = {"observed": before.model_dump(by_alias=True, exclude_none=True)}
    after = report.published(old, observation, LATER)
    assert (after != before) is is_rewritten


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386, as it is written there."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


JSON = st.recursive(
    st.integers(0, 3) | st.sampled_from(["a", "b"]) | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


@given(OBJECTS, OBJECTS)
def test_a_patch_makes_the_new_of_the_old(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert merged(old, report.patch(old, new)) == new
    assert report.patch(new, new) == {}


def model_service(**status: Any) -> ModelService:
    return ModelService.model_validate(
        {
            "metadata": {"name": "digits", "namespace": "ns", "uid": "u"},
            "spec": {"model": {"uri": "/m", "format": "onnx"}, "scaling": {"minReplicas": 1}},
            "status": status,
        }
    )


@pytest.mark.parametrize(("floor", "reason"), [(5, "FloorRaised"), (1, "FloorLowered")])
def test_an_event_says_the_decisions_sentence(floor: int, reason: str) -> None:
    decision = Decision(floor, 3, Reason.UNDER_PROVISIONED, "Because." + "x" * 2000)
    assert events.event(model_service(), events.floor_moved(decision), now=NOW, instance="pod-1") == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": "digits-", "namespace": "ns"},
        "regarding": {
            "apiVersion": "everwarm.dev/v1alpha1",
            "kind": "ModelService",
            "namespace": "ns",
            "name": "digits",
            "uid": "u",
        },
        "type": "Normal",
        "reason": reason,
        "action": "MoveFloor",
        "note": decision.sentence[:1024],
        "eventTime": NOW,
        "reportingController": "everwarm.dev/operator",
        "reportingInstance": "pod-1",
    }


@pytest.mark.parametrize(
    ("error", "kind", "reason", "end"),
    [
        (None, "Normal", "RevisionWoken", "a first request was sent to wake it."),
        ("no route", "Warning", "WakeFailed", "the request to wake it failed: no route."),
    ],
)
def test_an_event_says_that_a_revision_was_woken(error: str | None, kind: str, reason: str, end: str) -> None:
    event = events.event(model_service(), events.woken("digits-1", error), now=NOW, instance="pod-1")
    assert (event["type"], event["reason"], event["action"]) == (kind, reason, "WakeRevision")
    assert event["note"].startswith("Knative starts no replica of digits-1 for its floor")
    assert event["note"].endswith(end)


def test_floors_that_are_still_to_be_taken_off_stay_in_the_status() -> None:
    left = replace(outcome(), leftovers=(Leftover("old", 4, Target.REVISION),))
    new = report.status({}, left, NOW)
    assert new["revisions"] == [
        {"name": "r", "percent": 100, "floor": 3},
        {"name": "old", "percent": 0, "floor": 4},
    ]
    assert report.remembered_floors(new) == {"r": 3, "old": 4}
    assert report.remembered_floors({}) == {}


STANDS = ServiceFacts(
    revisions=(
        RevisionFacts(
            "r",
            100,
            {"autoscaling.knative.dev/max-scale": "9", "autoscaling.knative.dev/min-scale": "4"},
            {},
            {},
        ),
    )
)


@pytest.mark.parametrize(
    ("status", "facts", "memory"),
    [
        ({}, ServiceFacts(), Memory(1)),
        ({}, STANDS, Memory(4)),
        ({"floor": 6}, STANDS, Memory(6)),
        ({"floor": 6, "memory": {"floor": 6, "lowSinceSeconds": 3}}, STANDS, Memory(6, 3.0)),
        ({"floor": 6, "memory": {"floor": 5, "lowSinceSeconds": 3}}, STANDS, Memory(6)),
        ({"floor": 0, "memory": {"floor": 0}}, STANDS, Memory(0)),
        ({"floor": 6, "memory": {"floor": "many"}}, STANDS, Memory(6)),
    ],
    ids=["new", "status lost", "memory lost", "as it was", "of another floor", "zero", "nonsense"],
)
def test_after_a_restart_it_goes_on_from_the_floor_that_stands(
    status: dict, facts: ServiceFacts, memory: Memory
) -> None:
    assert planning.remembered(model_service(), status, facts) == memory
