"""Knative's moving averages: one value per second goes in, the average over a window comes out. Pure.

After knative/serving pkg/autoscaler/aggregation/bucketing.go (Apache-2.0), at its production granularity of one second.
What is written into one second is summed; a second without a write inside the window is a zero, and a whole window
without one begins again. The average is over the seconds since the first write, if they are fewer than the window.
"""

import math
from dataclasses import dataclass

# Six digits, as upstream: without them, sums of floats leave an idle service at 1e-17 requests, thus at one replica.
_DIGITS = 1e6
_LEAST_DECAY = 0.2  # of the weighted average, for long windows
_WEIGHT_MISSING = 1 - 0.9999  # what the weights of a window may lack of 1


@dataclass(frozen=True, slots=True)
class Buckets:
    """The values of the last `window_seconds` seconds.

    Attributes:
        window_seconds: seconds of memory.
        values: one per second, the newest (that of `last_second`) at the end; empty before the first write.
        first_second: since when there have been writes; `None` before the first.
        last_second: the newest second that was written to.
        floors: average as up to Knative 1.18 (cut off after six digits), not as since 1.19 (rounded).
    """

    window_seconds: int
    values: tuple[float, ...] = ()
    first_second: int | None = None
    last_second: int | None = None
    floors: bool = False

    def record(self, at_seconds: float, value: float) -> "Buckets":
        """Add a value to its second; one that is a whole window old is dropped."""
        second = math.floor(at_seconds)
        first, last = self.first_second, self.last_second
        if first is None or last is None or second - last >= self.window_seconds:
            values = (0.0,) * (self.window_seconds - 1) + (value,)
            return Buckets(self.window_seconds, values, second, second, self.floors)
        if second <= last - self.window_seconds:
            return self
        ahead = second - last
        if ahead > 0:
            values = self.values[ahead:] + (0.0,) * (ahead - 1) + (value,)
            return Buckets(self.window_seconds, values, first, second, self.floors)
        position = len(self.values) - 1 + ahead
        values = (*self.values[:position], self.values[position] + value, *self.values[position + 1 :])
        return Buckets(self.window_seconds, values, min(first, second), last, self.floors)

    def empty(self, at_seconds: float) -> bool:
        """Whether nothing was written for longer than the window."""
        return self.last_second is None or math.floor(at_seconds) - self.last_second > self.window_seconds

    def average(self, at_seconds: float) -> float:
        """The mean over the window (metric aggregation `linear`, the default)."""
        if self.first_second is None or self.last_second is None:
            return 0.0
        behind = max(0, math.floor(at_seconds) - self.last_second)
        if behind >= self.window_seconds:
            return 0.0
        count = min(self.last_second - self.first_second + 1, self.window_seconds - behind)
        mean = math.fsum(self.values[behind:]) / count
        return math.floor(mean * _DIGITS) / _DIGITS if self.floors else round(mean, 6)

    def weighted_average(self, at_seconds: float) -> float:
        """The mean with weights that decay with age (metric aggregation `weightedExponential`)."""
        if self.last_second is None or self.empty(at_seconds):
            return 0.0
        decay = smoothing(self.window_seconds)
        behind = max(0, math.floor(at_seconds) - self.last_second)
        kept = self.values[behind:]
        weights = (decay * (1 - decay) ** (behind + age) for age in range(len(kept)))
        return math.fsum(value * weight for value, weight in zip(reversed(kept), weights, strict=True))


def smoothing(window_seconds: int) -> float:
    """By how much the weight of a value falls with each second of its age."""
    return max(1 - math.pow(_WEIGHT_MISSING, 1 / window_seconds), _LEAST_DECAY)
