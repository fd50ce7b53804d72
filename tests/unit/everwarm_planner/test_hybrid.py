"""The default policy: reactive while it knows nothing, ahead of the load when it does, and plain about why."""

import math
import random
from dataclasses import replace

import pytest

from everwarm_planner.decision import Decision, Reason
from everwarm_planner.guardrails import Bounds
from everwarm_planner.history import Series
from everwarm_planner.memory import Memory
from everwarm_planner.observation import Observation
from everwarm_planner.plan import Planner
from everwarm_planner.policies.hybrid import Hybrid

POLICY = Hybrid(target_seconds=0.6, concurrency=1, time_to_ready_seconds=120.0)
PLANNER = Planner(POLICY, Bounds(1, 40))
DAY = 86_400.0
START = 10 * DAY + 6 * 3600.0  # six in the morning

BUSY = Observation(
    at_seconds=START,
    rate_per_second=44.0,
    p95_seconds=0.4,
    service_seconds=0.2,
    cold_start_fraction=0.0,
    utilization=0.7,
    ready_replicas=12,
    in_flight=9.0,
    dispersion=4.4,
    service_variation=0.25,
    time_to_ready_seconds=120.0,
    late_fraction=0.03,
)
KNOWN = Memory(13, None, START - 15, START - 3600)


def test_it_says_what_the_load_needs() -> None:
    decision, memory = PLANNER.decide(BUSY, Memory(10, None, START - 15, START - 3600))
    assert decision == Decision(
        14,
        10,
        Reason.UNDER_PROVISIONED,
        "44/s of 200 ms come: that takes 14 replicas for 95 % within 600 ms, so the floor goes from 10 to 14.",
        pytest.approx(8.8),
    )
    assert memory.learned is not None
    assert memory.learned.asked == ((START, 14),)


def test_a_backlog_is_worked_off_within_the_time_that_is_given() -> None:
    """1000 requests of 0.2 s within 20 s take 10 replicas more than the 8.8 that the load keeps busy."""
    decision, _ = PLANNER.decide(replace(BUSY, in_flight=1012.0), KNOWN)
    assert (decision.floor, decision.reason, decision.sentence) == (
        19,
        Reason.UNDER_PROVISIONED,
        "44/s come and 1000 requests wait: to catch up takes 19 replicas, so the floor goes from 13 to 19.",
    )


@pytest.mark.parametrize(
    ("observation", "floor", "words"),
    [
        pytest.param(
            replace(BUSY, service_seconds=None, p95_seconds=None, late_fraction=None),
            13,
            "Requests wait and none was answered yet",
            id="no service time: hold",
        ),
        pytest.param(
            replace(BUSY, service_seconds=None, rate_per_second=0.0, in_flight=0.0),
            1,
            "No request came in the window",
            id="nothing comes",
        ),
    ],
)
def test_without_a_service_time(observation: Observation, floor: int, words: str) -> None:
    decision, _ = PLANNER.decide(observation, KNOWN)
    assert decision.floor == floor
    assert decision.sentence.startswith(words)


def test_what_was_needed_lately_is_kept_and_the_sentence_says_so() -> None:
    _, memory = PLANNER.decide(BUSY, KNOWN)
    quiet = replace(BUSY, at_seconds=START + 15.0, rate_per_second=10.0, in_flight=2.0)
    decision, memory = PLANNER.decide(quiet, memory)
    assert (decision.floor, decision.reason) == (14, Reason.STEADY)
    assert "14 replicas were needed 15 s ago and one is kept for 2 min, so the floor stays at 14." in decision.sentence
    for number in range(2, 10):
        decision, memory = PLANNER.decide(replace(quiet, at_seconds=START + 15.0 * number), memory)
    assert decision.floor < 8


def test_the_latest_rate_counts_where_it_is_more_than_noise() -> None:
    floors = [
        PLANNER.decide(replace(BUSY, recent_rate_per_second=recent), KNOWN)[0].floor for recent in (44.0, 48.0, 90.0)
    ]
    assert floors == [14, 14, 24]


def test_a_tighter_objective_needs_more() -> None:
    floors = [
        Planner(replace(POLICY, objective=objective), Bounds(1, 40)).decide(BUSY, KNOWN)[0].floor
        for objective in (0.9, 0.95, 0.99)
    ]
    assert floors == sorted(set(floors))


@pytest.mark.parametrize(("late", "sign"), [(0.0, 1), (0.0425, 0), (0.2, -1)])
def test_what_was_attained_moves_the_allowance(late: float, sign: int) -> None:
    memory = replace(KNOWN, allowance=0.5)
    _, after = PLANNER.decide(replace(BUSY, late_fraction=late), memory)
    assert after.allowance is not None
    assert math.copysign(1, after.allowance - 0.5) == sign if sign else after.allowance == pytest.approx(0.5)


def morning(at_seconds: float) -> float:
    hour = at_seconds % DAY / 3600
    noise = random.Random(int(at_seconds // 60)).gauss(0, 1)
    return max(0.0, 20.0 + 60.0 * min(max(hour - 6.5, 0.0), 0.25) * 4 + noise if hour < 20 else 20.0 + noise)


def series(days: float, end: float) -> Series:
    begin = end - days * DAY
    return Series(begin, 60.0, tuple(morning(begin + 60.0 * number) for number in range(int(days * 1440))))


def floors(memory: Memory, minutes: int) -> list[Decision]:
    """A service that has what it asks for, from six in the morning on."""
    decisions = []
    for tick in range(minutes * 4):
        at = START + 15.0 * tick
        rate = morning(at)
        seen = replace(BUSY, at_seconds=at, rate_per_second=rate, in_flight=rate / 5, ready_replicas=memory.floor)
        decision, memory = PLANNER.decide(seen, memory)
        decisions.append(decision)
    return decisions


def test_with_a_week_of_history_it_is_ahead_of_the_morning_and_says_by_whom() -> None:
    learned = floors(PLANNER.learn(series(7, START), Memory.start(10)), 34)
    cold = floors(Memory.start(10), 34)
    assert learned[-1].floor >= cold[-1].floor + 1
    assert learned[-1].reason in {Reason.FORECAST, Reason.STEADY}
    forecast = learned[-1].forecast
    assert forecast is not None
    assert forecast.low_per_second <= forecast.point_per_second <= forecast.upper_per_second
    assert forecast.horizon_seconds == 120.0
    raised = next(decision for decision in reversed(learned) if decision.reason is Reason.FORECAST)
    assert "are expected and up to" in raised.sentence
    assert "within 2 min (by " in raised.sentence


def test_forecasts_only_raise() -> None:
    """History says that it gets quiet; the load that is there keeps its replicas."""
    quiet = Series(START - 7 * DAY, 60.0, (2.0,) * (7 * 1440))
    learned, _ = PLANNER.decide(BUSY, PLANNER.learn(quiet, KNOWN))
    reactive, _ = PLANNER.decide(BUSY, KNOWN)
    assert learned.floor >= reactive.floor


def test_history_that_comes_late_or_holds_nothing_changes_nothing() -> None:
    memory = KNOWN
    for tick in range(4 * 15):
        memory = PLANNER.decide(replace(BUSY, at_seconds=START + 15.0 * tick), memory)[1]
    assert PLANNER.learn(series(7, START), memory) is memory
    assert PLANNER.learn(Series(0.0, 60.0, ()), KNOWN) is KNOWN


def test_five_minute_means_teach_the_profile_and_nobody_the_noise() -> None:
    minutes = series(7, START).rates_per_second
    means = tuple(sum(minutes[begin : begin + 5]) / 5 for begin in range(0, len(minutes), 5))
    memory = PLANNER.learn(Series(START - 7 * DAY, 300.0, means), KNOWN)
    assert memory.learned is not None
    assert memory.learned.experts is not None
    assert {track.scores.count for track in memory.learned.experts.tracks} == {0}
    assert memory.learned.experts.past.usual(1) == pytest.approx(20.0, rel=0.2)


def test_what_travels_through_the_status_is_small() -> None:
    memory = PLANNER.learn(series(7, START), KNOWN)
    assert len(str(PLANNER.decide(BUSY, memory)[1].to_dict())) < 1000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target_seconds", 0.0),
        ("concurrency", 0),
        ("objective", 1.0),
        ("drain_seconds", 0.0),
        ("keep_seconds", -1.0),
        ("dispersion", math.nan),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        replace(POLICY, **{name: value})  # type: ignore[arg-type]
