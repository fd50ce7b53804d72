"""The local autoscaler, against what Knative's would do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_cli.up.scale import Limits, Sample, ScaleState, step

LIMITS = Limits(min_replicas=0, max_replicas=20, concurrency=1, stable_window_seconds=60)


def wanted(levels: list[float], ready: list[int] | int = 1, floor: int = 0, limits: Limits = LIMITS) -> list[int]:
    """The replicas wanted after each second of `levels` (requests in flight)."""
    state, result = ScaleState(), []
    for second, level in enumerate(levels):
        now_ready = ready if isinstance(ready, int) else ready[second]
        number, state = step(state, Sample(second + 1.0, 1.0, level), now_ready, floor, limits)
        result.append(number)
    return result


def test_nothing_wants_nothing() -> None:
    assert wanted([0.0, 0.0, 0.0], ready=0) == [0, 0, 0]


def test_a_level_wants_itself_over_seventy_percent() -> None:
    assert wanted([0.7] * 3) == [1, 1, 1]
    assert wanted([0.71] * 3)[-1] == 2
    assert wanted([2.8] * 3, ready=4)[-1] == 4
    assert wanted([2.8] * 3, ready=4, limits=Limits(0, 20, 4))[-1] == 1


def test_a_burst_panics_on_the_tenth_of_the_window() -> None:
    # A minute of one request per replica, then ten: the mean over 60 s would still be under two.
    levels = [0.5] * 60 + [10.0] * 6
    assert wanted(levels)[-1] == 15


def test_panic_never_lowers_and_ends_after_a_quiet_stable_window() -> None:
    limits = Limits(0, 20, 1, stable_window_seconds=10)
    numbers = wanted([0.0] * 10 + [7.0] * 5 + [0.5] * 25, ready=1, limits=limits)
    peak = max(numbers)
    first = numbers.index(peak)
    assert peak == 10
    assert numbers[first : first + 10] == [peak] * 10
    assert numbers[-1] == 1


def test_zero_comes_only_after_a_whole_window_without_a_request() -> None:
    numbers = wanted([1.0] + [0.0] * 61, ready=2)
    assert numbers[59] == 1
    assert numbers[60] == 0


@pytest.mark.parametrize(("floor", "expected"), [(0, 2), (1, 2), (3, 3), (9, 5)])
def test_the_floor_lifts_and_the_maximum_binds(floor: int, expected: int) -> None:
    assert wanted([1.0], floor=floor, limits=Limits(2, 5, 1))[0] == expected


@given(st.lists(st.floats(0, 500), min_size=1, max_size=40), st.integers(0, 9), st.integers(0, 5), st.integers(5, 9))
def test_it_is_always_within_the_limits(levels: list[float], floor: int, low: int, high: int) -> None:
    numbers = wanted(levels, floor=floor, limits=Limits(low, high, 2, 20))
    assert all(max(low, min(floor, high)) <= number <= high for number in numbers)


def test_a_spike_over_the_maximum_leaves_no_longer_memory_than_one_under_it() -> None:
    limits = Limits(1, 4, 1, stable_window_seconds=10)
    assert wanted([400.0] * 2 + [0.1] * 25, limits=limits)[-1] == 1
