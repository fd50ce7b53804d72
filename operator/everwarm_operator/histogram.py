"""A histogram's buckets, as Prometheus gives them, in; what policies ask of it out. Pure.

Within a bucket the observations are taken as evenly spread, as Prometheus' own histogram_quantile takes them.
"""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Histogram:
    """Cumulative counts: `bounds` (seconds, ascending, the last infinite) and how many observations are within each."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    @classmethod
    def of(cls, buckets: Iterable[tuple[float, float]]) -> Self | None:
        """Of (bound, cumulative count) in any order; `None` without a count, or without the bucket of all.

        Counts are made monotonic: replicas that are scraped at different times break that, by little.
        """
        ordered = sorted(buckets)
        if not ordered or ordered[-1][0] != math.inf or ordered[-1][1] <= 0:
            return None
        counts = tuple(itertools.accumulate((count for _, count in ordered), max))
        return cls(tuple(bound for bound, _ in ordered), counts)

    @property
    def total(self) -> float:
        """Number of observations."""
        return self.counts[-1]

    def part_over(self, limit: float) -> float:
        """The part of the observations over a limit, 0 to 1."""
        before, low = 0.0, 0.0
        for bound, count in zip(self.bounds, self.counts, strict=True):
            if limit < bound:
                # Of the bucket without an end nothing is known but that it is over its beginning.
                inside = 0.0 if math.isinf(bound) else (limit - low) / (bound - low)
                return 1 - (before + (count - before) * inside) / self.total
            before, low = count, bound
        return 0.0

    def squared_variation(self) -> float | None:
        """Variance over squared mean; `None` for a mean of 0. The endless bucket counts as its beginning."""
        mean = mean_square = before = low = 0.0
        for bound, count in zip(self.bounds, self.counts, strict=True):
            part = (count - before) / self.total
            high = low if math.isinf(bound) else bound
            mean += part * (low + high) / 2
            mean_square += part * (low * low + low * high + high * high) / 3
            before, low = count, high
        return (mean_square / (mean * mean) - 1) if mean > 0 else None
