"""Latencies in, how many requests may be inside at once out: the limit falls while latency rises above what it was.

Netflix's Gradient2Limit (github.com/Netflix/concurrency-limits, Gradient2Limit.java and WindowedLimit.java): over
windows of a second, limit' = limit * max(0.5, min(1, long / short)) + queue, where `short` is the mean latency of the
window and `long` its slow average; smoothed by 0.2. The one difference: this one is called with the time.
"""

from typing import Final

WINDOW_SECONDS: Final = 1.0
WINDOW_SAMPLES: Final = 10
LONG_WINDOWS: Final = 600
WARM_UP_WINDOWS: Final = 10
SMOOTHING: Final = 0.2
QUEUE: Final = 4  # requests that may wait for nothing but their turn
INITIAL: Final = 20


class Gradient:
    """The limit of one model.

    Args:
        minimum, maximum: of the limit.
    """

    def __init__(self, minimum: int, maximum: int) -> None:
        self._minimum, self._maximum = minimum, max(minimum, maximum)
        self._limit = float(max(minimum, min(INITIAL, maximum)))
        self._long_seconds = 0.0
        self._windows = 0
        self._end_seconds = 0.0
        self._sum_seconds = 0.0
        self._samples = self._most_inside = 0

    @property
    def limit(self) -> int:
        """Requests that may be inside."""
        return int(self._limit)

    def ended(self, latency_seconds: float, inside: int, now_seconds: float) -> None:
        """A request has its answer, with so many inside, itself included."""
        self._sum_seconds += latency_seconds
        self._samples += 1
        self._most_inside = max(self._most_inside, inside)
        if now_seconds < self._end_seconds or self._samples < WINDOW_SAMPLES:
            return
        self._update(self._sum_seconds / self._samples)
        self._end_seconds = now_seconds + WINDOW_SECONDS
        self._sum_seconds = 0.0
        self._samples = self._most_inside = 0

    def _update(self, short_seconds: float) -> None:
        self._windows += 1
        if self._windows <= WARM_UP_WINDOWS:
            self._long_seconds += (short_seconds - self._long_seconds) / self._windows
        else:
            self._long_seconds += (short_seconds - self._long_seconds) * 2 / (LONG_WINDOWS + 1)
        if self._long_seconds > 2 * short_seconds:  # the load that had raised it is over
            self._long_seconds *= 0.9
        if self._most_inside < self._limit / 2:  # it is not the limit that keeps them out
            return
        gradient = max(0.5, min(1.0, self._long_seconds / short_seconds)) if short_seconds > 0 else 1.0
        wanted = self._limit * gradient + QUEUE
        smoothed = self._limit * (1 - SMOOTHING) + wanted * SMOOTHING
        self._limit = max(self._minimum, min(self._maximum, smoothed))
