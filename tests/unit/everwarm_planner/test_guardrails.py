"""Missing data, impossible figures, time that runs backwards and bounds that move: what holds for every policy."""

from dataclasses import replace

import pytest

from everwarm_planner.decision import Decision, Reason
from everwarm_planner.guardrails import Bounds, Fallback
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, MissingReason, Observation
from everwarm_planner.plan import Planner
from everwarm_planner.policies.fixed import Fixed
from everwarm_planner.policies.paper import Paper

POLICY = Paper(target_p95_seconds=0.3, concurrency=1)
PLANNER = Planner(POLICY, Bounds(1, 10))
BUSY = Observation(1000.0, 24.0, 0.212, 0.1, 0.0, 0.63, 3, 2.0)
LOW = replace(BUSY, utilization=0.1)
GONE = MissingObservation(1000.0, MissingReason.UNREACHABLE, "Prometheus didn't answer within 5 s.")


def windows(memory: Memory) -> Memory:
    """The part of a memory that says which window is open; what pace and calibration keep has tests of its own."""
    return Memory(memory.floor, memory.low_since_seconds, memory.observed_at_seconds)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (GONE, "Prometheus didn't answer within 5 s"),
        (MissingObservation(1000.0, MissingReason.EMPTY, ""), "NoSeries"),
        (
            MissingObservation(1000.0, MissingReason.STALE, "the newest sample is 90 s old"),
            "the newest sample is 90 s old",
        ),
        (MissingObservation(1000.0, MissingReason.INVALID, "p95 is NaN"), "p95 is NaN"),
    ],
)
def test_missing_data_holds_and_empties_the_low_window(missing: MissingObservation, words: str) -> None:
    decision, memory = PLANNER.decide(missing, Memory(3, 500.0, 990.0))
    assert decision == Decision(3, 3, Reason.MISSING_DATA, f"No data ({words}): the floor stays at 3.")
    assert windows(memory) == Memory(3, None, 990.0)


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate_per_second", NAN),
        ("rate_per_second", -1.0),
        ("rate_per_second", 1e300),
        ("p95_seconds", NAN),
        ("p95_seconds", INFINITE),
        ("service_seconds", -0.1),
        ("cold_start_fraction", NAN),
        ("cold_start_fraction", 1.5),
        ("utilization", NAN),
        ("utilization", -0.2),
        ("ready_replicas", -1),
        ("in_flight", INFINITE),
    ],
)
def test_a_figure_that_no_measurement_gives_is_missing_data(name: str, value: float) -> None:
    decision, memory = PLANNER.decide(replace(BUSY, **{name: value}), Memory(3, 500.0, 990.0))
    assert decision == Decision(3, 3, Reason.MISSING_DATA, f"No data ({name} is {value}): the floor stays at 3.")
    assert windows(memory) == Memory(3, None, 1000.0)


def test_a_time_that_is_no_number_is_missing_data_and_is_not_remembered() -> None:
    decision, memory = PLANNER.decide(replace(BUSY, at_seconds=NAN), Memory(3, 500.0, 990.0))
    assert decision == Decision(3, 3, Reason.MISSING_DATA, "No data (at_seconds is nan): the floor stays at 3.")
    assert windows(memory) == Memory(3, None, 990.0)


def test_an_older_observation_holds_once_and_is_the_reference_from_then_on() -> None:
    slow = replace(BUSY, p95_seconds=0.9, cold_start_fraction=0.2, at_seconds=400.0)
    decision, memory = PLANNER.decide(slow, Memory(1, 800.0, 1000.0))
    assert decision == Decision(
        1, 1, Reason.MISSING_DATA, "No data (the reading is 600 s older than the last one): the floor stays at 1."
    )
    assert windows(memory) == Memory(1, None, 400.0)
    decision, memory = PLANNER.decide(replace(slow, at_seconds=415.0), memory)
    assert (decision.floor, decision.reason, windows(memory)) == (4, Reason.UNDER_PROVISIONED, Memory(4, None, 415.0))


def test_a_repeated_observation_takes_no_second_step() -> None:
    first, memory = PLANNER.decide(LOW, Memory(5, 700.0, 990.0))
    assert (first.floor, windows(memory)) == (4, Memory(4, 1000.0, 1000.0))
    second, memory = PLANNER.decide(LOW, memory)
    assert (second.floor, second.reason, windows(memory)) == (4, Reason.STEADY, Memory(4, 1000.0, 1000.0))


BOUNDS_MOVED = [
    pytest.param(Bounds(3, 10), BUSY, 1, "The minimum is 3 replicas: the floor goes from 1 to 3.", id="raised"),
    pytest.param(Bounds(1, 4), BUSY, 9, "The maximum is 4 replicas: the floor goes from 9 to 4.", id="lowered"),
    pytest.param(
        Bounds(3, 10), GONE, 1, "The minimum is 3 replicas: the floor goes from 1 to 3.", id="raised, no data"
    ),
    pytest.param(Bounds(1, 1), GONE, 9, "The maximum is 1 replica: the floor goes from 9 to 1.", id="lowered, no data"),
    pytest.param(
        Bounds(1, 4),
        replace(BUSY, p95_seconds=0.9, cold_start_fraction=0.2, rate_per_second=90.0),
        9,
        "The maximum is 4 replicas: the floor goes from 9 to 4.",
        id="lowered though under-provisioned: the user's word",
    ),
]


@pytest.mark.parametrize(("bounds", "observation", "before", "sentence"), BOUNDS_MOVED)
def test_bounds_that_moved_are_applied_at_once_with_or_without_data(
    bounds: Bounds, observation: Observation | MissingObservation, before: int, sentence: str
) -> None:
    decision, memory = Planner(POLICY, bounds).decide(observation, Memory(before, 500.0, 990.0))
    floor = bounds.clamp(before)
    assert (decision.floor, decision.previous_floor, decision.reason, decision.sentence) == (
        floor,
        before,
        Reason.BOUNDS_CHANGED,
        sentence,
    )
    # Half a window at another floor says nothing about this one.
    assert (memory.floor, memory.low_since_seconds) == (floor, None)


def test_a_policy_that_wants_more_than_a_raised_minimum_gives_its_own_reason() -> None:
    slow = replace(BUSY, p95_seconds=0.9, cold_start_fraction=0.2)
    decision, _ = Planner(POLICY, Bounds(2, 10)).decide(slow, Memory(1, None, 990.0))
    assert (decision.floor, decision.previous_floor, decision.reason) == (4, 1, Reason.UNDER_PROVISIONED)


@pytest.mark.parametrize(("low", "high"), [(-1, 3), (4, 3), (0, 0)])
def test_bounds_that_no_floor_fits_are_refused(low: int, high: int) -> None:
    with pytest.raises(ValueError, match="no floor fits"):
        Bounds(low, high)


@pytest.mark.parametrize(
    ("replicas", "before", "floor", "sentence"),
    [
        (3, 3, 3, "The policy is fixed at 3 replicas: the floor stays at 3."),
        (1, 3, 1, "The policy is fixed at 1 replica: the floor goes from 3 to 1."),
        (12, 3, 10, "The policy is fixed at 12 replicas: the maximum is 10 replicas, so the floor goes from 3 to 10."),
        (0, 1, 1, "The policy is fixed at 0 replicas: the minimum is 1 replica, so the floor stays at 1."),
    ],
)
@pytest.mark.parametrize("observation", [BUSY, GONE], ids=["data", "no data"])
def test_a_fixed_floor_needs_no_data(
    observation: Observation | MissingObservation, replicas: int, before: int, floor: int, sentence: str
) -> None:
    decision, memory = Planner(Fixed(replicas), Bounds(1, 10)).decide(observation, Memory.start(before))
    assert decision == Decision(floor, before, Reason.FIXED, sentence)
    assert memory.floor == floor


def test_a_negative_fixed_floor_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        Fixed(-1)


FALLBACK = replace(PLANNER, fallback=Fallback(after_seconds=600.0, replicas=4))


@pytest.mark.parametrize(
    ("silent_since", "floor", "wanted", "reason", "sentence"),
    [
        (401.0, 2, 2, Reason.MISSING_DATA, "No data (Prometheus didn't answer within 5 s): the floor stays at 2."),
        (
            400.0,
            2,
            4,
            Reason.FALLBACK,
            "No data for 10 min: the fallback is 4 replicas, so the floor goes from 2 to 4.",
        ),
        (400.0, 6, 6, Reason.MISSING_DATA, "No data (Prometheus didn't answer within 5 s): the floor stays at 6."),
        (None, 2, 2, Reason.MISSING_DATA, "No data (Prometheus didn't answer within 5 s): the floor stays at 2."),
    ],
    ids=["a short silence", "a long one", "a floor that is higher", "a service that was never seen"],
)
def test_after_a_long_silence_the_floor_falls_back_upwards(
    silent_since: float | None, floor: int, wanted: int, reason: Reason, sentence: str
) -> None:
    decision, memory = FALLBACK.decide(GONE, Memory(floor, observed_at_seconds=silent_since))
    assert decision == Decision(wanted, floor, reason, sentence)
    assert FALLBACK.decide(replace(GONE, at_seconds=1000.5), memory)[0].floor == wanted


def test_a_fallback_stays_within_the_bounds() -> None:
    planner = replace(FALLBACK, bounds=Bounds(1, 3))
    assert planner.decide(GONE, Memory(2, observed_at_seconds=0.0))[0].floor == 3


@pytest.mark.parametrize(("after", "replicas"), [(0.0, 1), (NAN, 1), (60.0, -1)])
def test_a_fallback_without_meaning_is_refused(after: float, replicas: int) -> None:
    with pytest.raises(ValueError, match="fall back"):
        Fallback(after, replicas)
