"""Knative's moving averages, with the values of its own tests.

From knative.dev/serving v0.42.2, pkg/autoscaler/aggregation/bucketing_test.go (Apache-2.0), those at a granularity of
one second: TestTimedFloat64BucketsSimple, ManyReps, ManyRepsWithNonMonotonicalOrder, WeightedAverage, WindowAverage,
TestDescendingRecord, BucketsHoles, WeightedFloat64BucketsResizeWindow (its first average), TestComputeDecayMultiplier.
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everwarm_planner.policies import buckets
from everwarm_planner.policies.buckets import Buckets

NOW = 1000.7


def written(window_seconds: int, *writes: tuple[float, float]) -> Buckets:
    result = Buckets(window_seconds)
    for at, value in writes:
        result = result.record(NOW + at, value)
    return result


def test_simple() -> None:
    filled = written(120, (-0.7, 1.0), (-0.6, 10.0), (0.3, 1.0), (2.3, 1.0))
    assert filled.values[-4:] == (11.0, 1.0, 0.0, 1.0)
    assert not any(filled.values[:-4])


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [0, 3, 2, 1, 4]])
def test_many_writes_in_any_order(order: list[int]) -> None:
    filled = written(60, *[(second, part + time) for part, second in enumerate(order) for time in range(5)])
    assert sum(filled.values) == 100.0
    assert filled.values[-5:] == tuple(10.0 + 5 * order.index(second) for second in range(5))


def test_window_average() -> None:
    filled = written(5, (0, 1.0))
    assert filled.average(NOW) == 1.0
    filled = written(5, *[(second, second + 1.0) for second in range(5)])
    assert [filled.average(NOW + behind) for behind in (4, 3.6, 6, 10)] == [3.0, 3.0, 4.0, 0.0]
    filled = filled.record(NOW + 6, 91.0)
    assert filled.average(NOW + 6) == pytest.approx((15 - 1 - 2 + 91) / 5)


def test_window_average_after_a_long_silence() -> None:
    now = NOW + 60
    filled = written(5, (0, 1.0)).record(now, 1984.0)
    assert filled.average(now) == 1984.0
    filled = filled.record(now - 3, 4.0)
    assert filled.average(now) == (4 + 1984) / 4
    filled = filled.record(now + 1, 5.0)
    assert filled.average(now + 1) == pytest.approx((4 + 1984 + 5) / 5)
    filled = filled.record(now - 2, 10.0)
    assert filled.average(now + 1) == pytest.approx((4 + 10 + 1984 + 5) / 5)
    for too_early in (-5, -4):
        assert filled.record(now + too_early, 10.0) == filled
    assert filled.record(now + 6, 10.0).average(now + 6) == 10.0


def test_descending_record() -> None:
    assert written(5, *[(8 - second, 5.0) for second in range(9)]).average(NOW + 5) == 5.0


def test_holes() -> None:
    filled = written(5, *[(second, second + 1.0) for second in range(5)], (8, 2.0))
    assert filled.values == (5.0, 0.0, 0.0, 0.0, 2.0)


def test_weighted_average() -> None:
    decay = buckets.smoothing(5)
    filled = written(5, (0, 2.0))
    assert filled.weighted_average(NOW) == pytest.approx(2 * decay)
    assert filled.weighted_average(NOW + 1) == pytest.approx(2 * decay * (1 - decay))
    filled = written(5, (0, 2.0), (1, 2.0))
    assert filled.weighted_average(NOW + 1) == pytest.approx(2 * decay * (1 - decay) + 2 * decay)
    filled = written(5, (0, 2.0), (1, 2.0), *[(2 + second, second + 2.0) for second in range(5)])
    expected = sum((6 - age) * decay * (1 - decay) ** age for age in range(5))
    assert filled.weighted_average(NOW + 6) == pytest.approx(expected)
    assert filled.weighted_average(NOW + 16) == 0.0


def test_weighted_average_after_the_window_rolled_over() -> None:
    filled = written(5, *[(second, second + 1.0) for second in range(6)])
    assert filled.weighted_average(NOW + 5) == pytest.approx(5.811, abs=1e-3)
    assert filled.average(NOW + 5) == 4.0


@pytest.mark.parametrize(("seconds", "decay"), [(100, 0.2), (60, 0.2), (40, 0.20567), (6, 0.78456)])
def test_decay(seconds: int, decay: float) -> None:
    assert buckets.smoothing(seconds) == pytest.approx(decay, abs=1e-5)


def test_nothing_written_is_empty_and_averages_zero() -> None:
    assert Buckets(5).empty(NOW)
    assert (Buckets(5).average(NOW), Buckets(5).weighted_average(NOW)) == (0.0, 0.0)
    assert [written(5, (0, 1.0)).empty(NOW + later) for later in (0, 5, 6)] == [False, False, True]


def test_the_average_is_rounded_since_1_19_and_cut_off_before() -> None:
    filled = written(3, (0, 2.0), (1, 0.0), (2, 0.0))
    assert (filled.average(NOW + 2), replace(filled, floors=True).average(NOW + 2)) == (0.666667, 0.666666)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 100)), min_size=1, max_size=50), st.integers(1, 10))
def test_in_order_the_average_is_the_sum_of_the_window_over_the_seconds_since_the_first_write(
    writes: list[tuple[float, float]], window: int
) -> None:
    writes = sorted(writes)
    filled = Buckets(window)
    for at, value in writes:
        filled = filled.record(at, value)
    last = int(writes[-1][0])
    inside = [value for at, value in writes if int(at) > last - window]
    since = max(i for i in range(len(writes)) if i == 0 or int(writes[i][0]) - int(writes[i - 1][0]) >= window)
    seconds = min(window, last - int(writes[since][0]) + 1)
    assert filled.average(last) == pytest.approx(sum(inside) / seconds, abs=1e-5)
