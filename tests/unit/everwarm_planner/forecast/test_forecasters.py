"""Each forecaster alone: what it says on rates whose future is known."""

import math
import random
from collections.abc import Callable

import pytest

from everwarm_planner.forecast.base import Forecaster, State
from everwarm_planner.forecast.ewma import Ewma
from everwarm_planner.forecast.experts import FORECASTERS
from everwarm_planner.forecast.naive import Naive
from everwarm_planner.forecast.past import Past
from everwarm_planner.forecast.ridge import Ridge
from everwarm_planner.forecast.seasonal import Deseasonalised, Yesterday

DAY = 1440


def said(forecaster: Forecaster, rate: Callable[[int], float], minutes: int, horizon: int = 5) -> list[float]:
    """What it says after each minute of the rates."""
    past = Past.begin(0, rate(0))
    state: State = ()
    peaks = []
    for minute in range(1, minutes):
        past = past.record(minute, rate(minute))
        step = forecaster.step(state, past, horizon)
        state = step.state
        peaks.append(step.peak_per_second)
    return peaks


@pytest.mark.parametrize("forecaster", FORECASTERS, ids=lambda forecaster: type(forecaster).__name__)
def test_a_constant_rate_goes_on(forecaster: Forecaster) -> None:
    assert said(forecaster, lambda _: 7.0, 3 * DAY)[-1] == pytest.approx(7.0, rel=0.01)


@pytest.mark.parametrize("forecaster", FORECASTERS, ids=lambda forecaster: type(forecaster).__name__)
def test_holes_and_silence_give_numbers_or_nothing(forecaster: Forecaster) -> None:
    def rate(minute: int) -> float:
        return math.nan if minute % 700 < 300 else 0.0 if minute % 700 < 400 else 3.0

    for peak in said(forecaster, rate, 3 * DAY):
        assert math.isnan(peak) or 0 <= peak < 100


def morning(minute: int) -> float:
    """From 10 to 50 a second between six and seven, every day."""
    hour = minute % DAY / 60
    return 10.0 + 40.0 * min(max(hour - 6, 0.0), 1.0) if hour < 20 else 10.0


@pytest.mark.parametrize(
    ("forecaster", "error_at_most"),
    [(Deseasonalised(), 2.0), (Yesterday(), 7.0), (Ridge(), 4.0), (Naive(), 10.0), (Ewma(), 12.0)],
    ids=lambda value: type(value).__name__,
)
def test_who_knows_the_time_of_day_sees_the_morning_come(forecaster: Forecaster, error_at_most: float) -> None:
    peaks = said(forecaster, morning, 4 * DAY, horizon=10)
    errors = [abs(peaks[minute - 1] - morning(minute + 10)) for minute in range(3 * DAY + 365, 3 * DAY + 405)]
    assert sum(errors) / len(errors) < error_at_most


def test_the_level_moves_the_time_of_day() -> None:
    """Twice as busy as usual: twice the profile."""
    peaks = said(Deseasonalised(), lambda minute: morning(minute) * (2 if minute > 3 * DAY else 1), 3 * DAY + 380)
    assert peaks[-1] == pytest.approx(2 * morning(3 * DAY + 384), rel=0.1)


def test_a_spike_at_a_quiet_hour_is_not_projected_onto_the_noon() -> None:
    def rate(minute: int) -> float:
        return 0.0 if minute < 2 * DAY + 100 and minute % DAY < 200 else 10.0

    assert max(peak for peak in said(Deseasonalised(), rate, 2 * DAY + 200) if not math.isnan(peak)) < 60.0


def test_a_mean_forgets_what_was_long_ago() -> None:
    assert said(Ewma(), lambda minute: 100.0 if minute < 50 else 10.0, 80)[-1] == pytest.approx(10.0, rel=0.01)


def test_ridge_learns_a_mix_that_no_other_knows() -> None:
    """Noise of a minute around the day's profile: the last minute's rate alone is worse than the mix."""
    source = random.Random(1)
    noise = [source.gauss(0, 5) for _ in range(5 * DAY)]

    def rate(minute: int) -> float:
        return max(0.0, morning(minute) + noise[minute])

    def error(forecaster: Forecaster) -> float:
        peaks = said(forecaster, rate, 5 * DAY, horizon=1)
        last_day = range(4 * DAY, 5 * DAY - 1)
        return sum((peaks[minute - 1] - rate(minute + 1)) ** 2 for minute in last_day)

    assert error(Ridge()) < 0.75 * error(Naive())
