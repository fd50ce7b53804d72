"""Steps, a cool-down and patience after a start: outside of every policy."""

from dataclasses import replace

import pytest

from everwarm_planner.decision import Decision, Reason
from everwarm_planner.guardrails import Bounds
from everwarm_planner.memory import Memory
from everwarm_planner.observation import Observation
from everwarm_planner.pace import Pace
from everwarm_planner.plan import Planner
from everwarm_planner.policies.fixed import Fixed
from everwarm_planner.policies.paper import Paper

BUSY = Observation(1000.0, 24.0, 0.212, 0.1, 0.0, 0.63, 3, 2.0)
SLOW = replace(BUSY, p95_seconds=0.9, cold_start_fraction=0.2)
LOW = replace(BUSY, utilization=0.1)
SETTLED = Memory(5, 500.0, 990.0, 100.0)
PAPER = Paper(target_p95_seconds=0.3, concurrency=1)


def decide(pace: Pace, memory: Memory, observation: Observation) -> Decision:
    return Planner(PAPER, Bounds(1, 20), pace=pace).decide(observation, memory)[0]


def test_at_most_so_many_are_added_at_once() -> None:
    decision = decide(Pace(most_up=2), Memory(1, None, 990.0, 100.0), SLOW)
    assert (decision.floor, decision.reason) == (3, Reason.UNDER_PROVISIONED)
    assert decision.sentence.endswith(
        "demand is 2.4 replicas, but at most 2 replicas may be added at once, so the floor goes from 1 to 3."
    )


def test_at_most_so_many_are_taken_at_once() -> None:
    planner = Planner(Fixed(1), Bounds(0, 20), pace=Pace(most_down=3))
    assert planner.decide(BUSY, Memory.start(9))[0] == Decision(
        6,
        9,
        Reason.FIXED,
        "The policy is fixed at 1 replica: at most 3 replicas may be taken at once, so the floor goes from 9 to 6.",
    )


@pytest.mark.parametrize(
    ("moved_ago", "floor", "reason"),
    [(299.0, 5, Reason.COOLING_DOWN), (300.0, 4, Reason.OVER_PROVISIONED), (-1.0, 4, Reason.OVER_PROVISIONED)],
)
def test_the_floor_is_not_lowered_soon_after_it_moved(moved_ago: float, floor: int, reason: Reason) -> None:
    decision = decide(Pace(cool_down_seconds=300.0), replace(SETTLED, changed_at_seconds=1000.0 - moved_ago), LOW)
    assert (decision.floor, decision.reason) == (floor, reason)


def test_a_cool_down_keeps_nobody_from_getting_more() -> None:
    memory = Memory(1, None, 990.0, 100.0, changed_at_seconds=999.0)
    assert decide(Pace(cool_down_seconds=300.0), memory, SLOW).floor == 4


@pytest.mark.parametrize(
    ("since", "floor"), [(None, 5), (941.0, 5), (940.0, 4), (100.0, 4)], ids=["a start", "59 s", "60 s", "long ago"]
)
def test_nothing_is_lowered_before_a_whole_window_was_observed(since: float | None, floor: int) -> None:
    planner = Planner(replace(PAPER, low_utilization_seconds=1e-9), Bounds(1, 20))
    low_since = None if since is None else 999.0
    decision, memory = planner.decide(LOW, Memory(5, low_since, 990.0, since))
    assert decision.floor == floor
    if since is not None and floor == 5:
        assert decision.reason is Reason.SETTLING
        assert "nothing is lowered before it was observed for 60 s, so the floor stays at 5" in decision.sentence
    assert memory.observing_since_seconds == (1000.0 if since is None else since)


def test_a_hole_or_a_clock_that_was_set_back_begins_the_patience_again() -> None:
    planner = Planner(PAPER, Bounds(1, 20))
    late, _ = planner.decide(replace(BUSY, at_seconds=1111.0), SETTLED)
    assert late.floor == 5
    _, memory = planner.decide(replace(BUSY, at_seconds=1111.0), SETTLED)
    assert memory.observing_since_seconds == 1111.0
    _, memory = planner.decide(replace(BUSY, at_seconds=500.0), memory)
    assert memory.observing_since_seconds is None
    _, memory = planner.decide(replace(BUSY, at_seconds=515.0), memory)
    assert memory.observing_since_seconds == 515.0


def test_when_the_floor_moved_is_remembered() -> None:
    _, memory = Planner(PAPER, Bounds(1, 20)).decide(SLOW, Memory(1, None, 990.0))
    assert memory.changed_at_seconds == 1000.0
    _, memory = Planner(PAPER, Bounds(1, 20)).decide(replace(BUSY, at_seconds=1015.0), memory)
    assert memory.changed_at_seconds == 1000.0


@pytest.mark.parametrize(
    "pace", [{"most_up": 0}, {"most_down": -1}, {"cool_down_seconds": -1.0}, {"settle_seconds": float("inf")}]
)
def test_a_pace_that_cannot_be_is_refused(pace: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Pace(**pace)  # type: ignore[arg-type]
