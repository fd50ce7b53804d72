"""What the conditions say, by tables."""

from typing import Any

import pytest

from everwarm_operator import claims
from everwarm_operator.api.conditions import Claim
from everwarm_operator.api.v1alpha1 import Observed
from everwarm_operator.claims import Progress
from everwarm_operator.facts import RevisionFacts, ServiceFacts
from everwarm_operator.floor import RevisionPlan, Target, Undecided
from everwarm_planner.observation import MissingObservation, MissingReason, Observation

LIVE: dict[str, Any] = {"metadata": {}}
MISSING = MissingObservation(1.0, MissingReason.STALE, "The newest sample is older than 60 s")


def plan(
    floor: int = 2, live: int = 2, replicas: int = 2, target: Target | Undecided = Target.REVISION
) -> RevisionPlan:
    return RevisionPlan("r", 100, floor, live, target, replicas)


def pods(ready: int) -> ServiceFacts:
    return ServiceFacts(LIVE, ("True", "", ""), revisions=(RevisionFacts("r", 100, ready_replicas=ready),))


@pytest.mark.parametrize(
    ("facts", "progress", "status", "reason", "message"),
    [
        (ServiceFacts(), Progress(), "Unknown", "Deploying", "The Knative Service is being made."),
        (ServiceFacts(LIVE), Progress(), "Unknown", "Deploying", "Knative has not looked at this spec yet."),
        (
            ServiceFacts(LIVE, ("Unknown", "", "")),
            Progress(),
            "Unknown",
            "KnativeServiceNotReady",
            "The Knative Service is not ready yet.",
        ),
        (
            ServiceFacts(LIVE, ("False", "RevisionFailed", "No such image.")),
            Progress(),
            "False",
            "RevisionFailed",
            "No such image.",
        ),
        (pods(0), Progress(), "True", "Serving", "The model is served."),
        (pods(2), Progress(write_error="It can't be written"), "False", "FloorNotWritten", "It can't be written"),
    ],
)
def test_ready(facts: ServiceFacts, progress: Progress, status: Any, reason: str, message: str) -> None:
    assert claims.ready(facts, progress) == Claim("Ready", status, reason, message)


@pytest.mark.parametrize(
    ("plans", "ready", "progress", "status", "reason", "words"),
    [
        ((), 0, Progress(), "Unknown", "NoRevision", "No revision gets traffic yet."),
        ((plan(),), 2, Progress(), "True", "FloorHeld", "its replicas are ready"),
        ((plan(0, 0, 0),), 0, Progress(), "True", "FloorHeld", "The floor is 0"),
        ((plan(),), 1, Progress(), "True", "ReplicasStarting", "replicas are starting"),
        ((plan(live=1),), 1, Progress(), "True", "FloorMoving", "r from 1 to 2"),
        (
            (plan(live=1, target=Undecided("Revision r has no Deployment yet")),),
            0,
            Progress(),
            "Unknown",
            "TargetUnknown",
            "Revision r has no Deployment yet: the floor waits.",
        ),
        ((plan(0, 0, target=Undecided("?")),), 0, Progress(), "True", "FloorHeld", ""),
        ((plan(live=1),), 1, Progress(write_error="no"), "False", "FloorNotWritten", "no"),
        (
            (plan(live=1),),
            1,
            Progress(reverted=("r",)),
            "False",
            "FloorReverted",
            "Somebody else changes the floor of r",
        ),
        ((plan(replicas=0),), 0, Progress(short_seconds={"r": 10.0}), "True", "ReplicasStarting", ""),
        ((plan(replicas=0),), 0, Progress(short_seconds={"r": 10.1}), "False", "FloorNotTaken", "it is sent one."),
        (
            (plan(replicas=0),),
            0,
            Progress(short_seconds={"r": 10.1}, wake_errors={"r": "no route"}),
            "False",
            "FloorNotTaken",
            "a first request, which failed: no route.",
        ),
        (
            (plan(replicas=1),),
            1,
            Progress(short_seconds={"r": 99.0}),
            "False",
            "FloorNotTaken",
            "asks for 1 replica.",
        ),
    ],
)
def test_scaling_active(plans: Any, ready: int, progress: Progress, status: str, reason: str, words: str) -> None:
    claim = claims.scaling_active(plans, pods(ready), progress, "Active")
    assert (claim.type, claim.status, claim.reason) == ("ScalingActive", status, reason)
    assert words in claim.message


def seen(p95_seconds: float | None) -> Observation:
    return Observation(1.0, 1.0, p95_seconds, None, 0.0, 0.5, 1, 0.0)


@pytest.mark.parametrize(
    ("observation", "status", "reason", "message"),
    [
        (MISSING, "Unknown", "NoData", "The newest sample is older than 60 s."),
        (seen(None), "Unknown", "NoRequests", "No request finished in the window."),
        (seen(0.2), "True", "P95WithinTarget", "The p95 is about 190 ms, within the target of 200 ms."),
        (seen(0.2001), "False", "P95OverTarget", "The p95 is about 190 ms, over the target of 200 ms."),
    ],
)
def test_within_slo(observation: Any, status: Any, reason: str, message: str) -> None:
    published = Observed(p95_milliseconds=190)
    assert claims.within_slo(observation, published, 200) == Claim("WithinSLO", status, reason, message)


def test_metrics_available() -> None:
    assert claims.metrics_available(MISSING) == Claim(
        "MetricsAvailable", "False", "StaleSamples", "The newest sample is older than 60 s: the floor holds."
    )
    assert claims.metrics_available(seen(0.1)).status == "True"


@pytest.mark.parametrize("mode", ["Preview", "Paused"])
def test_a_mode_in_which_nothing_is_written_is_said(mode: str) -> None:
    claim = claims.scaling_active((), pods(1), Progress(), mode)
    assert (claim.status, claim.reason) == ("False", mode)
    assert "spec.scaling.mode" in claim.message
