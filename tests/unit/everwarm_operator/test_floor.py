"""The floor's parts, and where they are written."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_operator import floor
from everwarm_operator.facts import RevisionFacts, ServiceFacts
from everwarm_operator.floor import Leftover, RevisionPlan, Target, Undecided

MIN, MAX = "autoscaling.knative.dev/min-scale", "autoscaling.knative.dev/max-scale"
BASE = {MAX: "5"}


def revision(name: str = "r", percent: int = 100, **changes: Any) -> RevisionFacts:
    """One of Knative up to 1.20."""
    usual = {"revision_annotations": BASE, "podautoscaler_annotations": BASE, "template_annotations": BASE}
    return RevisionFacts(name, percent, **{**usual, **changes})


def new_revision(percent: int = 100, **changes: Any) -> RevisionFacts:
    """One of Knative from 1.21 on."""
    return revision(percent=percent, **{"template_annotations": {}, **changes})


@pytest.mark.parametrize(
    ("facts", "target"),
    [
        (revision(), Target.POD_AUTOSCALER),
        (new_revision(), Target.REVISION),
        (new_revision(revision_annotations={**BASE, MIN: "2"}), Target.REVISION),
        (new_revision(template_annotations={"prometheus.io/scrape": "true"}), Target.REVISION),
        (new_revision(podautoscaler_annotations=None), Target.REVISION),
        (revision(revision_annotations=None), Undecided("Revision r is not there yet")),
        (revision(template_annotations=None), Undecided("Revision r has no Deployment yet")),
        (revision(podautoscaler_annotations=None), Undecided("Revision r has no PodAutoscaler yet")),
        (
            revision(revision_annotations={MIN: "1"}),
            Undecided("Revision r carries no autoscaling annotation that tells Knative's version"),
        ),
    ],
)
def test_where_a_floor_is_written(facts: RevisionFacts, target: Target | Undecided) -> None:
    assert floor.target(facts) == target


@pytest.mark.parametrize(
    ("wanted", "percent", "part"),
    [(0, 100, 0), (3, 100, 3), (3, 50, 2), (3, 1, 1), (10, 33, 4), (10, 67, 7), (5, 0, 0)],
)
def test_a_part_is_rounded_up(wanted: int, percent: int, part: int) -> None:
    assert floor.share(wanted, percent) == part


@pytest.mark.parametrize(
    ("annotations", "part"),
    [
        ({MAX: "5"}, 5),
        ({MAX: "0"}, 8),
        ({"autoscaling.knative.dev/maxScale": "4"}, 4),
        ({MAX: "many"}, 8),
        ({MAX: "9", "autoscaling.knative.dev/activation-scale": "3"}, 3),
    ],
)
def test_a_part_stays_within_what_knatives_webhook_allows(annotations: dict[str, str], part: int) -> None:
    facts = revision(
        revision_annotations=annotations, template_annotations=annotations, podautoscaler_annotations=annotations
    )
    assert [plan.floor for plan in floor.plan(8, (facts,))] == [part]


@pytest.mark.parametrize(
    ("facts", "live", "is_due"),
    [
        (revision(), 0, True),
        (revision(podautoscaler_annotations={**BASE, MIN: "2"}), 2, False),
        (revision(podautoscaler_annotations={**BASE, MIN: "3"}), 3, True),
        (revision(revision_annotations={**BASE, MIN: "2"}), 0, True),  # not where it takes effect
        (new_revision(revision_annotations={**BASE, MIN: "2"}), 2, False),
        (new_revision(podautoscaler_annotations={**BASE, MIN: "2"}), 0, True),
        (revision(percent=0), 0, False),
        (revision(percent=0, podautoscaler_annotations={**BASE, MIN: "2"}), 2, True),
        (revision(template_annotations=None), 0, False),
    ],
)
def test_only_a_difference_is_written(facts: RevisionFacts, live: int, is_due: bool) -> None:
    (plan,) = floor.plan(2, (facts,))
    assert (plan.live, plan.is_due) == (live, is_due)


def test_a_split_is_planned_revision_by_revision() -> None:
    plans = floor.plan(3, (revision("a", 70, wanted_replicas=1), new_revision(30), revision("tag", 0)))
    assert plans == (
        RevisionPlan("a", 70, 3, 0, Target.POD_AUTOSCALER, 1),
        RevisionPlan("r", 30, 1, 0, Target.REVISION, 0),
        RevisionPlan("tag", 0, 0, 0, Target.POD_AUTOSCALER, 0),
    )


NO_DEPLOYMENT = Undecided("Revision old has no Deployment yet")


@pytest.mark.parametrize(
    ("old", "remembered", "expected"),
    [
        (revision("old", 0, podautoscaler_annotations={**BASE, MIN: "2"}), 2, Target.POD_AUTOSCALER),
        (replace(new_revision(0, revision_annotations={**BASE, MIN: "2"}), name="old"), 2, Target.REVISION),
        (revision("old", 0, podautoscaler_annotations={**BASE, MIN: "3"}), 2, None),
        (revision("old", 0), 2, None),
        (revision("old", 0, podautoscaler_annotations={**BASE, MIN: "2"}), 0, None),
        (revision("old", 0, template_annotations=None), 2, NO_DEPLOYMENT),
        (None, 2, None),
    ],
    ids=["up to 1.20", "from 1.21", "changed since", "taken off", "never had one", "not known where", "deleted"],
)
def test_a_floor_of_ours_that_is_left_behind(old: Any, remembered: int, expected: Any) -> None:
    facts = ServiceFacts(revisions=(revision("new"),), left=() if old is None else (old,))
    wanted = () if expected is None else (Leftover("old", remembered, expected),)
    assert floor.leftovers({"new": 2, "old": remembered}, facts) == wanted


def test_nothing_is_left_behind_before_knative_says_who_gets_the_traffic() -> None:
    facts = ServiceFacts(left=(revision("old", 0, podautoscaler_annotations={**BASE, MIN: "2"}),))
    assert floor.leftovers({"old": 2}, facts) == (Leftover("old", 2, Undecided("No revision gets traffic yet")),)


@given(st.integers(0, 1000), st.lists(st.integers(1, 100), min_size=1, max_size=10))
def test_the_parts_make_up_the_whole_with_less_than_one_too_many_each(wanted: int, weights: list[int]) -> None:
    percents = [weight * 100 // sum(weights) for weight in weights]
    percents[0] += 100 - sum(percents)
    parts = [floor.share(wanted, percent) for percent in percents]
    assert wanted <= sum(parts) < wanted + len(parts)
    assert all(part == math.ceil(wanted * percent / 100) for part, percent in zip(parts, percents, strict=True))
