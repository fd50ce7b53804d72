"""Knative's autoscaler, with the tables and sequences of its own tests.

From knative.dev/serving v0.42.2, pkg/autoscaler/scaling/autoscaler_test.go (Apache-2.0): each test here names its own
there. Not ported: those of metrics reporting and of failing clients, and requests per second, which only choose the
numbers that go in.
"""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from everwarm_planner.policies import kpa
from everwarm_planner.policies.kpa import Sample, Settings, State, Wanted

CALM = State()


def settings_of(target: float, burst: float) -> Settings:
    return Settings(
        target=target,
        total=target / 0.75,
        max_scale_up_rate=10,
        max_scale_down_rate=10,
        target_burst_capacity=burst,
    )


def excess(settings: Settings, panic: float, ready: int) -> int:
    return round(settings.total * ready - settings.target_burst_capacity - panic)


def wanted(settings: Settings, stable: float, panic: float, ready: int = 1, state: State = CALM) -> int | None:
    return kpa.step(settings, state, Sample(0.0, stable, panic, ready))[0].replicas


TEN = settings_of(10, 100)
ONE = settings_of(1, 100)
PANICKED = State(panic_since_seconds=-5.0, panic_replicas=5)


@pytest.mark.parametrize(
    ("settings", "state", "stable", "panic", "ready", "replicas"),
    [
        pytest.param(TEN, CALM, 0, 0, 1, 0, id="AutoscalerNoDataAtZeroNoAutoscale"),
        pytest.param(settings_of(181, -1), CALM, 21, 26, 1, 1, id="AutoscalerStableModeUnlimitedTBC"),
        pytest.param(settings_of(10, 0), CALM, 50, 49, 1, 5, id="Autoscaler0TBC"),
        pytest.param(TEN, CALM, 50, 50, 1, 5, id="AutoscalerStableModeNoChange"),
        pytest.param(ONE, PANICKED, 50, 30, 5, 50, id="AutoscalerPanicStableLargerThanPanic"),
        pytest.param(ONE, PANICKED, 20, 30, 5, 30, id="AutoscalerPanicStableLessThanPanic"),
        pytest.param(TEN, CALM, 50, 50, 5, 5, id="AutoscalerStableModeNoChangeAlreadyScaled"),
        pytest.param(
            replace(ONE, max_scale_up_rate=1.1), CALM, 3, 3.1, 2, 3, id="StableModeIncreaseWithSmallScaleUpRate"
        ),
        pytest.param(
            replace(TEN, max_scale_down_rate=1.1), CALM, 1, 1, 100, 90, id="StableModeDecreaseWithSmallScaleDownRate"
        ),
        pytest.param(
            replace(TEN, max_scale_down_rate=1.1, reachable=False), CALM, 1, 1, 100, 1, id="DecreaseNonReachable"
        ),
        pytest.param(TEN, CALM, 50, 100, 1, 10, id="AutoscalerPanicModeDoublePodCount"),
        pytest.param(settings_of(10, 101), CALM, 100, 10, 1, 10, id="StableModeIncreaseWithConcurrencyDefault"),
        pytest.param(settings_of(10, 98), CALM, 100, 100, 8, 10, id="StableModeDecrease, before"),
        pytest.param(settings_of(10, 98), CALM, 50, 50, 8, 5, id="StableModeDecrease, after"),
        pytest.param(TEN, CALM, 1, 0, 1, 1, id="StableModeNoTrafficScaleToZero, a little"),
        pytest.param(replace(TEN, activation_scale=2), CALM, 0, 0, 1, 0, id="ActivationScale, nothing wanted"),
        pytest.param(replace(TEN, activation_scale=2), CALM, 1, 0, 1, 2, id="ActivationScale, one wanted"),
        pytest.param(settings_of(10, 61), CALM, 1000, 1001, 1, 10, id="RateLimitScaleUp"),
        pytest.param(settings_of(10, 61), CALM, 1000, 1001, 10, 100, id="RateLimitScaleUp, again"),
        pytest.param(settings_of(10, 61), CALM, 1, 1, 100, 10, id="RateLimitScaleDown"),
        pytest.param(settings_of(10, 61), CALM, 1, 1, 10, 1, id="RateLimitScaleDown, again"),
        pytest.param(settings_of(10, 81), CALM, 1000, 888, 0, 10, id="UseOnePodAsMinimumIfEndpointsNotFound"),
        pytest.param(settings_of(1, 71), CALM, 100, 101, 10, 100, id="UpdateTarget"),
    ],
)
def test_scale(settings: Settings, state: State, stable: float, panic: float, ready: int, replicas: int) -> None:
    result, _ = kpa.step(settings, state, Sample(0.0, stable, panic, ready))
    assert result.replicas == replicas
    burst = settings.target_burst_capacity
    expected = {0: 0, -1: -1}.get(int(burst), excess(settings, panic, ready))
    assert abs(result.excess_burst_capacity - expected) <= 1, "upstream allows 1 for rounding too"


def test_no_data_no_autoscale() -> None:
    state = State(panic_since_seconds=3.0, panic_replicas=4)
    assert kpa.step(TEN, state, Sample(9.0, None, 0.0, 3)) == (Wanted(None), state)


def play(settings: Settings, *samples: tuple[float, float, float, int]) -> list[tuple[int | None, float | None]]:
    """(at, stable, panic, ready) in turn -> the replicas wanted, and since when there is panic."""
    state, seen = CALM, []
    for sample in samples:
        result, state = kpa.step(settings, state, Sample(*sample))
        seen.append((result.replicas, state.panic_since_seconds))
    return seen


def test_unpanic_after_slow_increase() -> None:
    assert play(ONE, (0, 11, 25, 10), (30, 30, 41, 40), (62, 50, 56, 55)) == [(25, 0), (41, 0), (50, None)]


def test_extend_panic_window() -> None:
    assert play(ONE, (0, 11, 25, 10), (30, 30, 80, 40)) == [(25, 0), (80, 30)]


def test_panic_mode_exponential_track_and_stabilize() -> None:
    samples = [(0, 6, 6, 1), (0, 36, 36, 6), (1, 216, 216, 36), (1, 1296, 1296, 216), (2, 1296, 1296, 1296)]
    assert play(ONE, *samples) == [(6, 0), (36, 0), (216, 1), (1296, 1), (1296, 1)]


def test_panic_then_unpanic_scale_down() -> None:
    samples = [(0, 100, 100, 1), (0, 100, 1000, 10), (30, 1, 1, 10), (61, 1, 1, 10)]
    assert [replicas for replicas, _ in play(TEN, *samples)] == [10, 100, 100, 1]


DELAYED = Settings(
    target=10,
    total=10,
    max_scale_up_rate=10,
    max_scale_down_rate=10,
    panic_threshold=100,
    scale_down_delay_seconds=300,
    target_burst_capacity=0,
)


def test_scale_down_delay_simple_and_gradual() -> None:
    loads = [(2, 40), (300, 0), (302, 0), (540, 40), (600, 30), (660, 0), (840, 0), (900, 0)]
    seen = play(DELAYED, *[(at, load, load, 0) for at, load in loads])
    assert [replicas for replicas, _ in seen] == [4, 4, 0, 4, 4, 4, 3, 0]


def test_scale_down_delay_zero_scales_down_at_once() -> None:
    seen = play(replace(DELAYED, scale_down_delay_seconds=0), (0, 40, 40, 0), (0.5, 20, 20, 0))
    assert [replicas for replicas, _ in seen] == [4, 2]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([(0, 5)], 5),
        ([(0, 6), (0.5, 5)], 6),
        ([(0, 5), (2, 8)], 8),
        ([(0, 5), (12, 4)], 4),
    ],
    ids=["single value", "two values in same second", "two values", "time gap"],
)
def test_timed_window_max(values: list[tuple[float, float]], expected: int) -> None:
    """aggregation/max/timewindow_test.go TestTimedWindowMax, its seconds doubled to the period that is used here."""
    settings = replace(DELAYED, target=1, scale_down_delay_seconds=10)
    assert play(settings, *[(at, value, value, 10) for at, value in values])[-1][0] == expected


@pytest.mark.parametrize(("ready", "panics"), [(0, False), (1, False), (2, True)])
def test_start_in_panic_mode(ready: int, *, panics: bool) -> None:
    assert State.start(7.0, ready) == State(7.0 if panics else None, ready)


def test_the_panic_window_is_in_whole_seconds_and_never_none() -> None:
    windows = [replace(TEN, stable_window_seconds=seconds).panic_window_seconds for seconds in (6, 25, 60, 600)]
    assert windows == [1, 3, 6, 60]


def test_the_defaults_aim_at_seven_tenths_of_the_concurrency() -> None:
    assert Settings.of_concurrency(4) == Settings(target=2.8, total=4.0)
    with pytest.raises(ValueError, match="must be over 0"):
        Settings(target=0.0, total=1.0)
    with pytest.raises(ValueError, match="rates of change"):
        Settings(target=1.0, total=1.0, max_scale_up_rate=1.0)


loads = st.floats(0, 500)


@tries(deadline=None)
@given(st.lists(st.tuples(loads, loads, st.integers(0, 50)), min_size=1, max_size=30))
def test_in_panic_the_number_never_falls(samples: list[tuple[float, float, int]]) -> None:
    settings, state, before = Settings.of_concurrency(1), CALM, 0
    for tick, (stable, panic, ready) in enumerate(samples):
        was_in_panic = state.panic_since_seconds is not None
        result, state = kpa.step(settings, state, Sample(2.0 * tick, stable, panic, ready))
        assert result.replicas is not None
        if was_in_panic and state.panic_since_seconds is not None:
            assert result.replicas >= before
        before = result.replicas
