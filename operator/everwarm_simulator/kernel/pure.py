"""The kernel in Python and numpy: the reference, and fast enough for most (over a million requests per second)."""

import heapq
from collections.abc import Set

import numpy as np

from everwarm_simulator.distributions import Seconds
from everwarm_simulator.kernel.base import Journal, Ledger
from everwarm_simulator.quantiles import quantile

_BLOCK = 65536  # requests that are held as Python numbers at once: lists are four times as fast, and as large
_STRIDE = 512  # requests looked at between two checks of the block's end; copies cost nothing at this size


class PureSlots:
    """A heap of (time at which a slot gets free, replica)."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._block_begin = 0
        self._arrivals: list[float] = []
        self._services: list[float] = []
        self._heap: list[tuple[float, int]] = []
        self._ready: list[float] = []
        self._last_ready = -np.inf

    def add(self, ready_seconds: float, replica: int, count: int) -> None:
        """A replica's slots, free from when it is ready."""
        self._ready.append(ready_seconds)
        self._last_ready = max(self._last_ready, ready_seconds)
        for _ in range(count):
            heapq.heappush(self._heap, (ready_seconds, replica))

    def remove(self, replicas: Set[int]) -> list[tuple[float, int]]:
        """Take the slots of these replicas away."""
        removed = [slot for slot in self._heap if slot[1] in replicas]
        self._heap = [slot for slot in self._heap if slot[1] not in replicas]
        heapq.heapify(self._heap)
        return removed

    def advance(self, first: int, until_seconds: float) -> int:
        """Start requests from `first` on, while they start before `until_seconds`; the first that did not."""
        starts: list[float] = []
        taken_by: list[int] = []
        count = len(self._journal.arrivals)
        while self._heap and first + len(starts) < count:
            position = first + len(starts)
            if not self._block_begin <= position < self._block_begin + len(self._arrivals):
                self._load_block(position)
            if not self._advance_stride(position - self._block_begin, until_seconds, starts, taken_by):
                break
        stop = first + len(starts)
        if starts:
            self._write(first, stop, starts, taken_by)
        return stop

    def _write(self, first: int, stop: int, starts: list[float], taken_by: list[int]) -> None:
        journal = self._journal
        journal.starts[first:stop] = starts
        journal.replicas[first:stop] = taken_by
        if journal.arrivals[first] < self._last_ready:
            lives = self._ready
            pairs = zip(taken_by, journal.arrivals[first:stop].tolist(), strict=True)
            journal.cold[first:stop] = [lives[number] > arrival for number, arrival in pairs]

    def _advance_stride(self, begin: int, until: float, starts: list[float], taken_by: list[int]) -> bool:
        """The hot loop; whether it came to the end of its stride, so that there may be more to start."""
        stop = begin + _STRIDE
        heap, replace = self._heap, heapq.heapreplace
        add_start, add_replica = starts.append, taken_by.append
        for arrival, service in zip(self._arrivals[begin:stop], self._services[begin:stop], strict=True):
            start, replica = heap[0]
            if arrival > start:
                start = arrival
            if start >= until:
                return False
            add_start(start)
            add_replica(replica)
            replace(heap, (start + service, replica))
        return True

    def _load_block(self, first: int) -> None:
        self._block_begin = first
        part = slice(first, first + _BLOCK)
        self._arrivals = self._journal.arrivals[part].tolist()
        self._services = self._journal.services[part].tolist()


class PureKernel:
    """Python's heap, numpy's sums."""

    def slots(self, journal: Journal) -> PureSlots:
        """No slots yet."""
        return PureSlots(journal)

    def account(self, journal: Journal, first: int, stop: int, ledger: Ledger) -> None:
        """Add the requests [first, stop), which have started, to the sums."""
        starts, services = journal.starts[first:stop], journal.services[first:stop]
        past_end = len(ledger.left) - 1
        _add(ledger.began, ledger.began_part, np.minimum(starts.astype(np.int64), past_end), starts)
        ends = starts + services
        whole = np.minimum(ends.astype(np.int64), past_end)
        _add(ledger.left, ledger.left_part, whole, ends)
        np.add.at(ledger.work, whole, services)
        np.add.at(ledger.work_squared, whole, services * services)
        cold = journal.cold[first:stop]
        if cold.any():
            np.add.at(ledger.cold, whole[cold], 1.0)
        late = ends - journal.arrivals[first:stop] > ledger.objective_seconds
        if late.any():
            np.add.at(ledger.late, whole[late], 1.0)

    def latency_quantile(self, journal: Journal, first: int, stop: int, span: tuple[int, int], part: float) -> float:
        """Of those of [first, stop) that are answered within the span: the latency that a part does not exceed."""
        ends = journal.starts[first:stop] + journal.services[first:stop]
        inside = (ends >= span[0]) & (ends < span[1])
        return quantile((ends - journal.arrivals[first:stop])[inside], part)


def _add(counts: Seconds, parts: Seconds, whole: np.ndarray[tuple[int], np.dtype[np.int64]], times: Seconds) -> None:
    np.add.at(counts, whole, 1.0)
    np.add.at(parts, whole, whole + 1 - times)
