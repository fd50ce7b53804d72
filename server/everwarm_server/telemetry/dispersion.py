"""Arrival times in, the index of dispersion of arrivals per second out: 1 for a Poisson process, more for bursts."""

import math
from typing import Final

WINDOW_SECONDS: Final = 60


class ArrivalCounts:
    """Counts of arrivals in each of the last 60 whole seconds; a ring, so that an arrival costs two lookups."""

    __slots__ = ("_counts", "_seconds", "_start")

    def __init__(self, start_seconds: float) -> None:
        self._start = math.floor(start_seconds)
        # One slot more than the window: the second that is still running.
        self._counts = [0] * (WINDOW_SECONDS + 1)
        self._seconds = [-1] * (WINDOW_SECONDS + 1)

    def record(self, now_seconds: float) -> None:
        """Count one arrival."""
        second = int(now_seconds)
        slot = second % (WINDOW_SECONDS + 1)
        if self._seconds[slot] != second:
            self._seconds[slot] = second
            self._counts[slot] = 0
        self._counts[slot] += 1

    def counts(self, now_seconds: float) -> list[int]:
        """Arrivals in each whole second of the last 60 before the running one, but not before the start."""
        last = math.floor(now_seconds)
        found = []
        for second in range(max(last - WINDOW_SECONDS, self._start), last):
            slot = second % (WINDOW_SECONDS + 1)
            found.append(self._counts[slot] if self._seconds[slot] == second else 0)
        return found

    def index(self, now_seconds: float) -> float:
        """Variance / mean of the counts; NaN without arrivals, or before two whole seconds have passed."""
        counts = self.counts(now_seconds)
        total = sum(counts)
        if len(counts) < 2 or total == 0:
            return math.nan
        mean = total / len(counts)
        return sum((count - mean) ** 2 for count in counts) / len(counts) / mean
