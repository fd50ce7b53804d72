"""The local autoscaler: what Knative's would do with what this gateway measures, reading by reading."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_cli.up.scale import Autoscaler, Limits

LIMITS = Limits(min_replicas=0, max_replicas=20, concurrency=1, stable_window_seconds=60)


def wanted(
    levels: list[float], ready: int | None = None, floor: int = 0, limits: Limits = LIMITS, period: float = 1.0
) -> list[int]:
    """The replicas after each reading of `levels` (mean requests in flight); those asked for are ready at the next.

    With `ready`, that many are ready whatever is asked for.
    """
    autoscaler = Autoscaler(limits, 1000.25)
    running, result = ready or 0, []
    for number, level in enumerate(levels, start=1):
        now = 1000.25 + number * period
        up = running if ready is None else ready
        running = autoscaler.replicas(now, level, level > 0, up, up, floor)
        result.append(running)
    return result


def test_nothing_wants_nothing() -> None:
    assert wanted([0.0] * 10) == [0] * 10


def test_a_level_wants_itself_over_seventy_percent() -> None:
    assert wanted([0.7] * 70)[-1] == 1
    assert wanted([0.71] * 70)[-1] == 2
    assert wanted([2.8] * 70)[-1] == 4
    assert wanted([2.8] * 70, limits=Limits(0, 20, 4))[-1] == 1


def test_the_first_request_that_finds_no_replica_starts_one_at_once_and_another_for_its_share_of_it() -> None:
    assert wanted([0.0] * 10 + [0.3])[9:] == [0, 2]


def test_a_request_in_flight_keeps_a_replica_whatever_the_average_says() -> None:
    autoscaler = Autoscaler(LIMITS, 0.0)
    assert autoscaler.replicas(0.5, 0.0, False, 0, 0, 0) == 0
    assert autoscaler.replicas(0.6, 0.0, True, 1, 1, 0) == 1


def test_a_burst_panics_on_the_tenth_of_the_window() -> None:
    """A minute of one request per replica, then ten: the mean over 60 s would still be under two."""
    assert wanted([0.5] * 60 + [10.0] * 8, ready=1)[-1] == 15


def test_panic_never_lowers_and_ends_after_a_quiet_stable_window() -> None:
    numbers = wanted([0.0] * 10 + [7.0] * 6 + [0.5] * 30, limits=Limits(0, 20, 1, 10))
    peak = max(numbers)
    first = numbers.index(peak)
    assert peak == 10
    assert set(numbers[first : first + 10]) == {peak}
    assert numbers[-1] == 1


def test_zero_comes_only_after_a_whole_window_without_a_request() -> None:
    numbers = wanted([1.0] + [0.0] * 70)
    gone = numbers.index(0)
    assert 60 <= gone <= 66
    assert all(number >= 1 for number in numbers[:gone])
    assert set(numbers[gone:]) == {0}


@pytest.mark.parametrize("period", [0.4, 0.93, 1.0, 1.07, 1.9])
def test_when_the_gateway_is_read_does_not_matter(period: float) -> None:
    """Readings off the second must leave no second empty, nor put two into one."""
    count = round(80 / period)
    assert wanted([2.8] * count, ready=4, period=period)[-1] == 4
    assert wanted([3.3] * count, ready=4, period=period)[-1] == 5


@pytest.mark.parametrize(("floor", "expected"), [(0, 2), (1, 2), (3, 3), (9, 5)])
def test_the_floor_lifts_and_the_maximum_binds(floor: int, expected: int) -> None:
    assert wanted([1.0] * 4, 2, floor, Limits(2, 5, 1))[-1] == expected


@given(st.lists(st.floats(0, 500), min_size=1, max_size=40), st.integers(0, 9), st.integers(0, 5), st.integers(5, 9))
def test_it_is_always_within_the_limits(levels: list[float], floor: int, low: int, high: int) -> None:
    numbers = wanted(levels, floor=floor, limits=Limits(low, high, 2, 20))
    assert all(max(low, min(floor, high)) <= number <= high for number in numbers)


def test_a_spike_over_the_maximum_leaves_no_longer_memory_than_one_under_it() -> None:
    assert wanted([400.0] * 2 + [0.1] * 25, limits=Limits(1, 4, 1, 10))[-1] == 1
