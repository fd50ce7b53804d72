"""Rows and seconds of batches in, what a batch costs out: seconds = per_row * rows + per_batch.

Least squares over the last batches, as in BentoML's dispatcher (and, before it, Clipper, NSDI 2017), but with weights
that fade, so that each batch costs the same few additions and old ones need not be kept.
"""

from typing import Final

_KEEP: Final = 0.98  # of the weight of all batches before, at each new one: about the last 50 count
_SAME: Final = 1e-3  # variation of rows, relative to their mean square, below which no slope can be told


class Cost:
    """The cost of batches of one model."""

    def __init__(self) -> None:
        self.per_row_seconds = 0.0
        self.per_batch_seconds = 0.0
        self._weight = self._x = self._y = self._xx = self._xy = 0.0

    @property
    def is_known(self) -> bool:
        """Whether there was any batch."""
        return self._weight > 0

    def add(self, rows: int, seconds: float) -> None:
        """A batch took so long."""
        self._weight = self._weight * _KEEP + 1
        self._x = self._x * _KEEP + rows
        self._y = self._y * _KEEP + seconds
        self._xx = self._xx * _KEEP + rows * rows
        self._xy = self._xy * _KEEP + rows * seconds
        x, y = self._x / self._weight, self._y / self._weight
        variance = self._xx / self._weight - x * x
        if variance <= _SAME * x * x:
            # All batches were of one size. That all of it is the batch's own is the guess that refuses nobody.
            self.per_row_seconds, self.per_batch_seconds = 0.0, y
            return
        slope = (self._xy / self._weight - x * y) / variance
        if slope <= 0:
            self.per_row_seconds, self.per_batch_seconds = 0.0, y
        elif slope * x >= y:
            self.per_row_seconds, self.per_batch_seconds = self._xy / self._xx, 0.0
        else:
            self.per_row_seconds, self.per_batch_seconds = slope, y - slope * x

    def seconds(self, rows: float) -> float:
        """What a batch of so many rows takes; 0 while nothing is known."""
        return self.per_row_seconds * rows + self.per_batch_seconds

    def waiting_pays(self, rows: int, gap_seconds: float) -> bool:
        """Whether an idle instance should wait for one more row, expected after a gap, before it computes `rows`.

        The sum of the times at which all these rows are done is compared. With T(n) = a n + b: at once it is
        n T(n) + T(n) + T(1), where the row to come waits for the batch and is computed alone; together it is
        (n + 1) (gap + T(n + 1)). The second is smaller where (n + 1) gap < b - n a.
        """
        return (rows + 1) * gap_seconds < self.per_batch_seconds - rows * self.per_row_seconds


class Gaps:
    """The mean time between arrivals, of about the last 30."""

    def __init__(self) -> None:
        self.seconds = float("inf")
        self._last_seconds: float | None = None

    def arrived(self, now_seconds: float) -> None:
        """A request is here."""
        if self._last_seconds is not None:
            gap = now_seconds - self._last_seconds
            self.seconds = gap if self.seconds == float("inf") else self.seconds + (gap - self.seconds) / 30
        self._last_seconds = now_seconds
