"""Minutes become slots, slots become a profile; what was not measured is never a zero."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_planner.forecast.past import RECENT_MINUTES, Past

DAY = 1440


def wave(minute: int) -> float:
    return 20.0 + 10.0 * math.sin(2 * math.pi * minute / DAY)


def run(minutes: int, begin: int = 0) -> Past:
    past = Past.begin(begin, wave(begin))
    for minute in range(begin + 1, begin + minutes):
        past = past.record(minute, wave(minute))
    return past


def test_the_last_hour_is_kept_by_the_minute() -> None:
    past = run(200)
    assert past.rates == tuple(wave(minute) for minute in range(200 - RECENT_MINUTES, 200))
    assert past.last == wave(199)
    assert past.mean(3) == pytest.approx((wave(199) + wave(198) + wave(197)) / 3)


def test_minutes_that_were_left_out_are_not_known() -> None:
    past = run(5).record(8, 1.0)
    assert [math.isnan(rate) for rate in past.rates] == [False] * 5 + [True] * 3 + [False]
    assert past.mean(4) == 1.0


def test_the_time_of_day_is_known_from_the_second_day_on() -> None:
    assert math.isnan(run(2 * DAY - 60).usual(1))
    past = run(3 * DAY)
    for ahead in (0, 1, 5, 15):
        assert past.usual(ahead) == pytest.approx(wave(past.minute + ahead), rel=0.01)
        assert past.yesterday(ahead) == pytest.approx(wave(past.minute + ahead), rel=0.05)


def test_the_profile_is_that_of_the_last_seven_days() -> None:
    past = Past.begin(0, 5.0)
    for minute in range(1, 9 * DAY):
        past = past.record(minute, 5.0 if minute < 2 * DAY else 50.0)
    assert past.usual(1) == pytest.approx(50.0, rel=0.07)  # midnight: a neighbour of the oldest day is an old one


def test_a_day_that_was_not_measured_does_not_pull_the_profile_down() -> None:
    past = run(3 * DAY)
    for minute in range(4 * DAY, 5 * DAY):
        past = past.record(minute, wave(minute))
    assert past.usual(1) == pytest.approx(wave(past.minute + 1), rel=0.01)


def test_the_level_is_the_mean_of_the_last_days() -> None:
    assert math.isnan(run(5).level)
    assert run(4 * DAY).level == pytest.approx(20.0, rel=0.2)


def test_a_minute_comes_once() -> None:
    with pytest.raises(ValueError, match="does not come after"):
        run(5).record(4, 1.0)


@given(st.lists(st.tuples(st.integers(1, 3000), st.floats(0, 1e6) | st.just(math.nan)), min_size=1, max_size=40))
def test_no_past_breaks_it_or_grows(steps: list[tuple[int, float]]) -> None:
    past, minute = Past.begin(0, math.nan), 0
    for passed, rate in steps:
        minute += passed
        past = past.record(minute, rate)
        for ahead in (0, 20):
            assert not past.usual(ahead) < 0
        assert len(past.rates) <= RECENT_MINUTES
        assert len(past.slots) == 7 * 144
        assert past.minute == minute
