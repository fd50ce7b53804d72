"""Buckets -> parts and variances, as if the observations were spread evenly within each bucket."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_operator.histogram import Histogram

EVEN = Histogram((1.0, 2.0, math.inf), (5.0, 10.0, 10.0))  # evenly from 0 to 2 s


@pytest.mark.parametrize(("limit", "part"), [(0.0, 1.0), (0.5, 0.75), (1.0, 0.5), (1.5, 0.25), (2.0, 0.0), (9.0, 0.0)])
def test_part_over_a_limit(limit: float, part: float) -> None:
    assert EVEN.part_over(limit) == pytest.approx(part)


def test_what_is_in_the_endless_bucket_is_over_every_limit() -> None:
    assert Histogram((1.0, math.inf), (6.0, 10.0)).part_over(100.0) == pytest.approx(0.4)


def test_variation_of_an_even_spread() -> None:
    assert EVEN.squared_variation() == pytest.approx(1 / 3)


def test_a_narrow_bucket_is_nearly_constant() -> None:
    found = Histogram((0.15, 0.25, math.inf), (0.0, 9.0, 9.0)).squared_variation()
    assert found == pytest.approx(0.1**2 / 12 / 0.2**2)


@pytest.mark.parametrize(
    "buckets", [[], [(1.0, 3.0)], [(math.inf, 0.0)], [(1.0, 0.0), (math.inf, 0.0)]], ids=["none", "no end", "0", "0s"]
)
def test_what_counts_nothing_is_none(buckets: list[tuple[float, float]]) -> None:
    assert Histogram.of(buckets) is None


def test_counts_that_fall_are_lifted() -> None:
    assert Histogram.of([(math.inf, 4.0), (1.0, 5.0), (0.5, 2.0)]) == Histogram((0.5, 1.0, math.inf), (2.0, 5.0, 5.0))


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=8),
    st.floats(0, 1e3),
    st.floats(0, 1e3),
)
def test_parts_are_parts_and_fall_with_the_limit(counts: list[float], one: float, other: float) -> None:
    buckets = [(2.0**index, sum(counts[: index + 1])) for index in range(len(counts))]
    histogram = Histogram.of([*buckets, (math.inf, sum(counts) + 1)])
    assert histogram is not None
    low, high = sorted((one, other))
    assert -1e-9 <= histogram.part_over(high) <= histogram.part_over(low) + 1e-9 <= 1 + 2e-9
    variation = histogram.squared_variation()
    assert variation is None or variation >= -1e-9
