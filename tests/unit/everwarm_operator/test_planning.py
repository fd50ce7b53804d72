"""A spec names its planner: policy, windows over it, bounds, pace, budget; or what in it can't be followed."""

from typing import Any

import pytest

from everwarm_operator import planning
from everwarm_operator.api.v1alpha1 import Spec
from everwarm_operator.errors import InvalidSpec
from everwarm_planner.budget import Budget
from everwarm_planner.guardrails import Bounds, Fallback
from everwarm_planner.pace import Pace
from everwarm_planner.plan import Planner
from everwarm_planner.policies.fixed import Fixed
from everwarm_planner.policies.hybrid import Hybrid
from everwarm_planner.policies.paper import Paper
from everwarm_planner.policies.schedule import Schedule, Window

MORNING = {"cron": "30 7 * * mon-fri", "timeZone": "Europe/Berlin", "durationSeconds": 3600, "replicas": 4}
WINDOW = Window("30 7 * * mon-fri", 3600, 4, "Europe/Berlin")
DEFAULT = Hybrid(target_seconds=0.5, concurrency=1, objective=0.95)


def spec(**changes: Any) -> Spec:
    return Spec.model_validate({"model": {"uri": "/m", "format": "onnx"}, **changes})


CASES: dict[str, tuple[dict[str, Any], Planner]] = {
    "nothing": ({}, Planner(DEFAULT, Bounds(1, 10))),
    "a promise for 99 %": (
        {"slo": {"p95Milliseconds": 80, "p99Milliseconds": 200}, "concurrency": 4},
        Planner(Hybrid(target_seconds=0.2, concurrency=4, objective=0.99), Bounds(1, 10)),
    ),
    "paper": (
        {
            "concurrency": 4,
            "slo": {"p95Milliseconds": 80, "p99Milliseconds": 200},
            "scaling": {"policy": "paper", "minReplicas": 0, "maxReplicas": 3, "lowUtilizationSeconds": 20},
        },
        Planner(Paper(0.08, 4, low_utilization_seconds=20.0), Bounds(0, 3)),
    ),
    "fixed": ({"scaling": {"policy": "fixed", "minReplicas": 2}}, Planner(Fixed(2), Bounds(2, 10))),
    "windows alone": (
        {"scaling": {"policy": "schedule", "schedule": [MORNING], "minReplicas": 0}},
        Planner(Schedule((WINDOW,)), Bounds(0, 10)),
    ),
    "windows over the default": (
        {"scaling": {"schedule": [MORNING]}},
        Planner(Schedule((WINDOW,), DEFAULT), Bounds(1, 10)),
    ),
    "a pace, a budget and a fallback": (
        {
            "scaling": {
                "pace": {"maxStepUp": 3, "maxStepDown": 1, "coolDownSeconds": 120},
                "budget": {"usdPerMonth": 300, "usdPerReplicaHour": 0.5},
                "fallback": {"afterSeconds": 900, "replicas": 3},
            }
        },
        Planner(
            DEFAULT,
            Bounds(1, 10),
            pace=Pace(most_up=3, most_down=1, cool_down_seconds=120.0),
            budget=Budget(usd_per_month=300.0, usd_per_replica_hour=0.5),
            fallback=Fallback(after_seconds=900.0, replicas=3),
        ),
    ),
}


@pytest.mark.parametrize(("changes", "planner"), CASES.values(), ids=CASES.keys())
def test_a_spec_names_its_planner(changes: dict[str, Any], planner: Planner) -> None:
    assert planning.planner(spec(**changes), 60.0) == planner


def test_a_floor_is_lowered_after_a_whole_window_was_seen() -> None:
    assert planning.planner(spec(), 10.0).pace == Pace(settle_seconds=10.0)


@pytest.mark.parametrize(
    ("window", "sentence"),
    [
        ({**MORNING, "timeZone": "Europe/Bärlin"}, "'Europe/Bärlin' is no time zone"),
        ({**MORNING, "cron": "61 7 1 1 1"}, "'61 7 1 1 1' is no cron expression"),
        ({**MORNING, "cron": "0 0 30 2 *"}, "'0 0 30 2 \\*' is no cron expression that ever fires"),
    ],
    ids=["time zone", "cron", "never"],
)
def test_what_the_api_server_can_not_see_is_said(window: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidSpec, match=f"spec.scaling can't be followed: {sentence}"):
        planning.planner(spec(scaling={"schedule": [window]}), 60.0)
