"""How long a model took in, where it runs next out: here, on the event loop, or in a thread.

A hand-over to a thread and back costs 30 to 100 us, more than a small model computes for. So a model whose
inferences are known to be shorter than a limit runs on the loop, which then answers probes as late as that. Models are
known by the size of their inputs, since a thousand rows take longer than one: by powers of two of the bytes.

A size begins in a thread. After a probation of short inferences in a row it runs here, until their mean is long or one
is very long: then it is sent back for twice as long a probation, so what is short and long by turns soon stays in the
thread. As many inferences here halve it again. The kernel sometimes lets another process run first for some
milliseconds, which looks like a long inference; so no single one counts for more than `CLIP` in the mean. In a thread
the clock also counts the waits for the interpreter's lock while the loop is busy, up to 5 ms, so there a short use of
the CPU is enough, if one of them was short by the clock too: a model that waits for others never is.
"""

import math
from dataclasses import dataclass
from typing import Final

PROBATION: Final = 8
LONGEST_PROBATION: Final = 2**20
CLIP: Final = 4.0  # times the limit
VERY_LONG: Final = 100.0  # times the limit
WAITS: Final = 20.0  # times the limit: what an inference in a thread may last that used the CPU for a short time
_WEIGHT: Final = 0.1  # of the newest inference in the mean


@dataclass(slots=True)
class _Size:
    """What is known of inputs of one size."""

    here: bool = False
    probation: int = PROBATION
    left: int = PROBATION  # short inferences until it moves, or until its probation is halved
    mean_seconds: float = 0.0
    shortest_seconds: float = math.inf  # of this probation


class Placement:
    """Decides for one model. Belongs to the event loop's thread.

    Args:
        limit_seconds: the longest mean of an inference on the loop; 0: none ever runs there.
    """

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._sizes: dict[int, _Size] = {}

    def never_again(self) -> None:
        """The model can't run on the loop."""
        self._limit_seconds = 0.0
        self._sizes.clear()

    def here(self, input_bytes: int) -> bool:
        """Whether an inference of this size should run on the loop."""
        known = self._sizes.get(input_bytes.bit_length())
        return known is not None and known.here

    def ran_here(self, input_bytes: int, seconds: float) -> None:
        """An inference on the loop took so long."""
        known = self._sizes[input_bytes.bit_length()]
        limit = self._limit_seconds
        known.mean_seconds += (min(seconds, CLIP * limit) - known.mean_seconds) * _WEIGHT
        if seconds > VERY_LONG * limit or known.mean_seconds > limit:
            known.here = False
            known.probation = known.left = min(2 * known.probation, LONGEST_PROBATION)
        else:
            known.left -= 1
            if known.left <= 0:
                known.probation = known.left = max(PROBATION, known.probation // 2)

    def ran_in_thread(self, input_bytes: int, seconds: float, cpu_seconds: float) -> None:
        """An inference in a thread took so long."""
        if not self._limit_seconds:
            return
        known = self._sizes.setdefault(input_bytes.bit_length(), _Size())
        if cpu_seconds > self._limit_seconds or seconds > WAITS * self._limit_seconds:
            known.left, known.shortest_seconds = known.probation, math.inf
            return
        known.left -= 1
        known.shortest_seconds = min(known.shortest_seconds, seconds)
        if known.left <= 0 and known.shortest_seconds <= self._limit_seconds:
            known.here, known.left = True, known.probation
            known.mean_seconds, known.shortest_seconds = cpu_seconds, math.inf
