"""Who is believed: the best of yesterday, if it is better than doing without."""

import math
import random
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from everwarm_planner.forecast.experts import FORECASTERS, LEAST_SCORES, Experts, Record
from everwarm_planner.forecast.past import Past

DAY = 1440


def run(rate: Callable[[int], float], minutes: int, part: float = 0.9, horizon: int = 2) -> list[Experts]:
    experts = Experts(Past.begin(0, rate(0)))
    after = [experts]
    for minute in range(1, minutes):
        experts = experts.record(minute, rate(minute), part, horizon)
        after.append(experts)
    return after


def noisy(minute: int) -> float:
    return 40.0 + random.Random(minute).gauss(0, 4)


def test_nobody_is_believed_in_the_first_hour() -> None:
    after = run(noisy, 4 * 60)
    assert [experts.outlook(0.9) for experts in after[:LEAST_SCORES]] == [None] * LEAST_SCORES
    assert after[-1].outlook(0.9) is not None


@pytest.mark.parametrize("part", [0.7, 0.9, 0.98])
def test_the_upper_end_holds_as_often_as_it_says(part: float) -> None:
    after = run(noisy, 2 * DAY, part)
    held = 0
    for minute in range(DAY, 2 * DAY - 2):
        outlook = after[minute].outlook(part)
        assert outlook is not None
        held += max(noisy(minute + 1), noisy(minute + 2)) <= outlook.upper
        assert outlook.low <= outlook.expected
    assert held / (DAY - 2) == pytest.approx(part, abs=0.03)


def test_with_a_pattern_who_knows_it_is_believed_and_sees_it_come() -> None:
    def rate(minute: int) -> float:
        burst = 50.0 if 600 <= minute % DAY < 660 else 0.0
        return 10.0 + burst + random.Random(minute).gauss(0, 1)

    after = run(rate, 4 * DAY, horizon=5)
    outlook = after[3 * DAY + 596].outlook(0.9)
    assert outlook is not None
    assert outlook.upper > 25.0
    names = {outlook.model for experts in after[3 * DAY :] if (outlook := experts.outlook(0.9)) is not None}
    assert names & {"the time of day", "yesterday", "a mix that was learned"}


def test_rare_bursts_that_nobody_can_foresee_are_not_waited_for() -> None:
    """One minute in two hundred is a hundred times as busy; nine in ten times nothing comes, so nothing is kept."""

    def rate(minute: int) -> float:
        return 100.0 if random.Random(minute).random() < 1 / 200 else 1.0

    outlooks = [experts.outlook(0.9) for experts in run(rate, 2 * DAY)[DAY:]]
    kept = [outlook for outlook in outlooks if outlook is not None and outlook.upper > 5]
    assert len(kept) < 0.05 * len(outlooks)


def with_records(experts: Experts, record: Record) -> Experts:
    return replace(experts, tracks=tuple(replace(track, record=record) for track in experts.tracks))


def test_the_gate_closes_on_who_misses_more_than_twice_as_often_as_it_says() -> None:
    after = run(noisy, 300)[-1]
    good = with_records(after, Record(loss_sum=100.0, missed_sum=15.0, weight=100.0))
    bad = with_records(after, Record(loss_sum=100.0, missed_sum=25.0, weight=100.0))
    believed = [experts.record(experts.past.minute + 1, 40.0, 0.9, 2).believed for experts in (good, bad)]
    assert believed == [after.believed, None]


def test_the_gate_closes_on_who_is_no_better_than_doing_without() -> None:
    after = run(noisy, 300)[-1]
    worse = with_records(after, Record(loss_sum=110 * after.without.loss, missed_sum=5.0, weight=100.0))
    assert worse.record(worse.past.minute + 1, 40.0, 0.9, 2).outlook(0.9) is None


def test_minutes_that_were_left_out_score_nobody() -> None:
    after = run(noisy, 300)[-1]
    later = after.record(after.past.minute + 10, 4000.0, 0.9, 2)
    assert [track.scores.count for track in later.tracks] == [track.scores.count for track in after.tracks]


def test_what_it_keeps_is_bounded() -> None:
    """20 kB a service: 100 MB for 5,000."""
    experts = run(noisy, 3 * DAY, horizon=15)[-1]
    numbers = sum(len(track.state) + 2 * len(track.said) for track in experts.tracks) + len(experts.past.rates)
    arrays = sys.getsizeof(experts.past.slots) + sum(sys.getsizeof(track.scores.weights) for track in experts.tracks)
    assert arrays + 32 * numbers < 24_000
    assert len(experts.tracks) == len(FORECASTERS)


@pytest.mark.parametrize("rate", [0.0, math.nan, 1e9])
def test_no_rate_breaks_it(rate: float) -> None:
    outlook = run(lambda minute: rate if minute % 7 else 3.0, 400)[-1].outlook(0.9)
    assert outlook is None or (math.isfinite(outlook.upper) and 0 <= outlook.low <= outlook.upper)
