import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_server.telemetry.dispersion import ArrivalCounts


def recorded(arrivals: list[float], start: float = 0.0) -> ArrivalCounts:
    counts = ArrivalCounts(start)
    for arrival in sorted(arrivals):
        counts.record(arrival)
    return counts


@pytest.mark.parametrize(
    ("arrivals", "now", "expected"),
    [
        ([0.1, 1.1, 2.1, 3.1], 4.0, 0.0),  # one in each second: as even as it gets
        ([0.1, 0.2, 0.3, 0.4], 4.5, 3.0),  # mean 1, variance (9 + 1 + 1 + 1) / 4 = 3
        ([0.5, 0.6], 2.0, 1.0),
        ([4.5], 4.9, math.nan),  # the running second does not count
        ([], 50.0, math.nan),
        ([0.1], 1.9, math.nan),  # one whole second has no variance
    ],
)
def test_the_index_is_variance_over_mean_of_whole_seconds(arrivals: list[float], now: float, expected: float) -> None:
    assert recorded(arrivals).index(now) == pytest.approx(expected, nan_ok=True)


def test_arrivals_older_than_a_minute_are_forgotten() -> None:
    counts = recorded([0.5] * 100 + [70.5])
    assert counts.counts(100.0) == [0] * 30 + [1] + [0] * 29


def test_seconds_before_the_start_do_not_count_as_silence() -> None:
    assert recorded([1000.5, 1001.5], start=1000.2).counts(1002.0) == [1, 1]


@given(st.lists(st.floats(0, 300), max_size=200), st.integers(0, 400))
def test_the_ring_agrees_with_counting_anew(arrivals: list[float], now: int) -> None:
    arrivals = [a for a in arrivals if a < now]
    first = max(0, now - 60)
    expected = [sum(int(a) == second for a in arrivals) for second in range(first, now)]
    assert recorded(arrivals).counts(float(now)) == expected


def test_poisson_arrivals_have_an_index_near_one() -> None:
    source = random.Random(7)
    now, arrivals = 0.0, []
    while now < 60:
        now += source.expovariate(50)
        arrivals.append(now)
    assert recorded(arrivals).index(60.0) == pytest.approx(1.0, abs=0.4)
