"""The kernel compiled by numba (extra `fast`): the same loops at ten million requests per second and more.

The first call of each loop compiles it, which takes seconds; the result is kept beside the module or in the user's
cache, where one of them can be written. Without numba it is far slower than the pure kernel: `choice` knows.
"""

from collections.abc import Set

import numpy as np

from everwarm_simulator.distributions import Seconds
from everwarm_simulator.kernel.base import Flags, Journal, Ledger, Numbers
from everwarm_simulator.kernel.jit import jit
from everwarm_simulator.quantiles import position


class CompiledSlots:
    """The heap as two arrays, of times and of replicas, ordered by both."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._free: Seconds = np.empty(64)
        self._owner: Numbers = np.empty(64, dtype=np.int64)
        self._size = 0
        self._ready: Seconds = np.empty(64)
        self._replicas = 0

    def add(self, ready_seconds: float, replica: int, count: int) -> None:
        """A replica's slots, free from when it is ready."""
        if self._replicas == len(self._ready):
            self._ready = np.concatenate([self._ready, np.empty_like(self._ready)])
        self._ready[replica] = ready_seconds
        self._replicas += 1
        while self._size + count > len(self._free):
            self._free = np.concatenate([self._free, np.empty_like(self._free)])
            self._owner = np.concatenate([self._owner, np.empty_like(self._owner)])
        _push(self._free, self._owner, self._size, ready_seconds, replica, count)
        self._size += count

    def remove(self, replicas: Set[int]) -> list[tuple[float, int]]:
        """Take the slots of these replicas away."""
        free, owner = self._free[: self._size], self._owner[: self._size]
        leaving = np.zeros(self._replicas, dtype=np.bool_)
        leaving[list(replicas)] = True
        goes = leaving[owner]
        removed = list(zip(free[goes].tolist(), owner[goes].tolist(), strict=True))
        kept_free, kept_owner = free[~goes], owner[~goes]
        order = np.lexsort((kept_owner, kept_free))  # what is sorted is a heap
        self._size = len(order)
        self._free[: self._size], self._owner[: self._size] = kept_free[order], kept_owner[order]
        return removed

    def advance(self, first: int, until_seconds: float) -> int:
        """Start requests from `first` on, while they start before `until_seconds`; the first that did not."""
        if self._size == 0:
            return first
        log = self._journal
        heap = (self._free, self._owner, self._size, self._ready)
        return int(
            _advance(log.arrivals, log.services, log.starts, log.replicas, log.cold, *heap, first, until_seconds)
        )


class CompiledKernel:
    """Machine code."""

    def slots(self, journal: Journal) -> CompiledSlots:
        """No slots yet."""
        return CompiledSlots(journal)

    def account(self, journal: Journal, first: int, stop: int, ledger: Ledger) -> None:
        """Add the requests [first, stop), which have started, to the sums."""
        lines = (journal.arrivals, journal.services, journal.starts, journal.cold)
        began, left = (ledger.began, ledger.began_part), (ledger.left, ledger.left_part)
        finished = (ledger.work, ledger.work_squared, ledger.cold, ledger.late)
        _account(*lines, first, stop, ledger.objective_seconds, *began, *left, *finished)

    def latency_quantile(self, journal: Journal, first: int, stop: int, span: tuple[int, int], part: float) -> float:
        """Of those of [first, stop) that are answered within the span: the latency that a part does not exceed."""
        latencies = np.empty(stop - first)
        count = int(_inside(journal.arrivals, journal.services, journal.starts, first, stop, *span, latencies))
        return float(_select(latencies[:count], position(count, part))) if count else float("nan")


@jit
def _push(free: Seconds, owner: Numbers, size: int, time: float, replica: int, count: int) -> None:
    for _ in range(count):
        place = size
        while place > 0:
            parent = (place - 1) >> 1
            if free[parent] < time or (free[parent] == time and owner[parent] <= replica):
                break
            free[place], owner[place] = free[parent], owner[parent]
            place = parent
        free[place], owner[place] = time, replica
        size += 1


@jit
def _advance(
    arrivals: Seconds,
    services: Seconds,
    starts: Seconds,
    replicas: Numbers,
    cold: Flags,
    free: Seconds,
    owner: Numbers,
    size: int,
    ready: Seconds,
    first: int,
    until: float,
) -> int:
    number = first
    while number < len(arrivals):
        arrival, start, replica = arrivals[number], free[0], owner[0]
        start = max(start, arrival)
        if start >= until:
            break
        starts[number], replicas[number], cold[number] = start, replica, ready[replica] > arrival
        end = start + services[number]
        place, child = 0, 1
        while child < size:
            right = child + 1
            if right < size and (
                free[right] < free[child] or (free[right] == free[child] and owner[right] < owner[child])
            ):
                child = right
            if free[child] > end or (free[child] == end and owner[child] >= replica):
                break
            free[place], owner[place] = free[child], owner[child]
            place, child = child, 2 * child + 1
        free[place], owner[place] = end, replica
        number += 1
    return number


@jit
def _account(
    arrivals: Seconds,
    services: Seconds,
    starts: Seconds,
    cold: Flags,
    first: int,
    stop: int,
    objective: float,
    began: Seconds,
    began_part: Seconds,
    left: Seconds,
    left_part: Seconds,
    work: Seconds,
    work_squared: Seconds,
    cold_left: Seconds,
    late_left: Seconds,
) -> None:
    past_end = len(began) - 1
    for number in range(first, stop):
        start, service = starts[number], services[number]
        end = start + service
        began_in, left_in = min(int(start), past_end), min(int(end), past_end)
        began[began_in] += 1.0
        began_part[began_in] += began_in + 1 - start
        left[left_in] += 1.0
        left_part[left_in] += left_in + 1 - end
        work[left_in] += service
        work_squared[left_in] += service * service
        if cold[number]:
            cold_left[left_in] += 1.0
        if end - arrivals[number] > objective:
            late_left[left_in] += 1.0


@jit
def _inside(
    arrivals: Seconds,
    services: Seconds,
    starts: Seconds,
    first: int,
    stop: int,
    begin: int,
    end: int,
    latencies: Seconds,
) -> int:
    count = 0
    for number in range(first, stop):
        done = starts[number] + services[number]
        if begin <= done < end:
            latencies[count] = done - arrivals[number]
            count += 1
    return count


@jit
def _select(values: Seconds, place: int) -> float:
    """Hoare's selection: the value that would stand at this place if they were sorted; they are reordered."""
    low, high = 0, len(values) - 1
    while low < high:
        pivot = values[(low + high) >> 1]
        left, right = low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while values[right] > pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if place <= right:
            high = right
        elif place >= left:
            low = left
        else:
            break
    return float(values[place])
