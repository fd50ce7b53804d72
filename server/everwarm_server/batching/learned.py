"""Full batches and their times in, the largest batch that keeps a latency objective out.

Additive increase, multiplicative decrease, as Clipper (Crankshaw et al., NSDI 2017, section 4.3.1) does it: grow the
batch while it keeps the objective, go back by a tenth where it does not. Clipper reacts to each batch, which settles
where one in four is late; here the p99 of a window of batches decides, as the objective is one of the p99. Until the
first decrease the maximum doubles instead.
"""

from typing import Final

WINDOW: Final = 100  # full batches whose p99 is looked at
LATE: Final = 2  # so many late ones in a window, and its p99 is late
DOUBLE_AFTER: Final = 5  # full batches in good time, until the first is late
BACK: Final = 0.9
CEILING: Final = 1024
FIRST: Final = 4


class LearnedRows:
    """The largest batch, for one model.

    Args:
        batch_seconds: what the p99 of batches may take. A request that comes while a batch has just begun waits for
            that one and is computed in the next, so this is half of what it may take itself.
    """

    def __init__(self, batch_seconds: float) -> None:
        self._batch_seconds = batch_seconds
        self._doubles = True
        self._good = self._late = 0
        self.max_rows = FIRST

    def computed(self, rows: int, seconds: float) -> None:
        """A batch took so long. Smaller ones than the maximum say nothing of it, unless even they are late."""
        if seconds > self._batch_seconds:
            self._late += 1
            if self._late >= LATE:
                self._set(int(min(rows, self.max_rows) * BACK))
                self._doubles = False
        elif rows >= self.max_rows:
            self._good += 1
            if self._doubles and self._good >= DOUBLE_AFTER:
                self._set(self.max_rows * 2)
            elif self._good >= WINDOW:
                self._set(self.max_rows + 1)

    def _set(self, rows: int) -> None:
        self.max_rows = max(1, min(rows, CEILING))
        self._good = self._late = 0
