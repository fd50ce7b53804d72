"""Requests meet replicas: one queue, first come first served, and one heap of the times at which slots get free.

There are no events. The head of the queue starts at the later of its arrival and the earliest free slot; that is known
at once, so a request costs one heap operation. It is done only while that start is before the next moment at which
somebody may change the replicas: so scale-up, drain and cold start are exact, not approximated on a grid.

In: arrivals, service times, and how many replicas to run from when on. Out: who started when, where. A replica has
`concurrency` slots that do not slow each other down; a starting one has slots that get free when it is ready.
"""

import heapq
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from everwarm_simulator.distributions import Seconds
from everwarm_simulator.workload import Workload

_BLOCK = 65536  # requests that are held as Python numbers at once: lists are four times as fast, and as large
_STRIDE = 512  # requests looked at between two checks of the block's end; copies cost nothing at this size


@dataclass(slots=True)
class Replica:
    """One replica's life: asked for, ready, and gone; seconds. `gone` is infinite while it is wanted."""

    asked_seconds: float
    ready_seconds: float
    gone_seconds: float = math.inf


@dataclass(frozen=True, slots=True, eq=False)
class Started:
    """Requests that started since the last `advance`, in order of arrival: [first, first + len(starts)).

    Cold are those that were answered by a replica that got ready only after they had come.
    """

    first: int
    starts: Seconds
    replicas: npt.NDArray[np.int64]
    cold: npt.NDArray[np.bool_]


class Engine:
    """The queue and the replicas at one time; it only ever goes forward."""

    def __init__(self, workload: Workload, concurrency: int) -> None:
        if concurrency < 1:
            raise ValueError(f"a replica has at least one slot, not {concurrency}")
        self._workload = workload
        self._concurrency = concurrency
        self._next = 0
        self._block_begin = 0
        self._arrivals: list[float] = []
        self._services: list[float] = []
        self._slots: list[tuple[float, int]] = []
        self._wanted: list[int] = []
        self._last_ready = -math.inf
        self.replicas: list[Replica] = []

    @property
    def started(self) -> int:
        """Requests that have started so far."""
        return self._next

    @property
    def wanted(self) -> int:
        """Replicas that run or start, those that drain left out."""
        return len(self._wanted)

    def ready(self, now_seconds: float) -> int:
        """Replicas that can take a request now."""
        if self._last_ready <= now_seconds:
            return len(self._wanted)
        return sum(1 for number in self._wanted if self.replicas[number].ready_seconds <= now_seconds)

    def next_arrival(self) -> float:
        """When the head of the queue came, or the next request will; infinite after the last."""
        waiting = self._next < len(self._workload.arrivals)
        return float(self._workload.arrivals[self._next]) if waiting else math.inf

    def advance(self, until_seconds: float) -> Started:
        """Start all requests whose start is before `until_seconds` under the replicas that there are."""
        first = self._next
        starts: list[float] = []
        taken_by: list[int] = []
        while self._slots and self._next < len(self._workload.arrivals):
            if self._next >= self._block_begin + len(self._arrivals):
                self._load_block()
            if not self._advance_stride(until_seconds, starts, taken_by):
                break
        began, replicas = np.array(starts, dtype=np.float64), np.array(taken_by, dtype=np.int64)
        return Started(first, began, replicas, self._cold(first, replicas))

    def _cold(self, first: int, replicas: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        if len(replicas) == 0 or self._workload.arrivals[first] >= self._last_ready:
            return np.zeros(len(replicas), dtype=np.bool_)
        arrivals = self._workload.arrivals[first : first + len(replicas)].tolist()
        lives = self.replicas
        pairs = zip(replicas.tolist(), arrivals, strict=True)
        return np.array([lives[number].ready_seconds > arrival for number, arrival in pairs], dtype=np.bool_)

    def _advance_stride(self, until: float, starts: list[float], taken_by: list[int]) -> bool:
        """The hot loop; whether it came to the end of its stride, so that there may be more to start."""
        begin = self._next - self._block_begin
        stop = begin + _STRIDE
        slots, replace, before = self._slots, heapq.heapreplace, len(starts)
        add_start, add_replica = starts.append, taken_by.append
        for arrival, service in zip(self._arrivals[begin:stop], self._services[begin:stop], strict=True):
            start, replica = slots[0]
            if arrival > start:
                start = arrival
            if start >= until:
                break
            add_start(start)
            add_replica(replica)
            replace(slots, (start + service, replica))
        else:
            self._next += len(starts) - before
            return True
        self._next += len(starts) - before
        return False

    def _load_block(self) -> None:
        self._block_begin = self._next
        part = slice(self._next, self._next + _BLOCK)
        self._arrivals = self._workload.arrivals[part].tolist()
        self._services = self._workload.services[part].tolist()

    def scale(self, now_seconds: float, wanted: int, cold_starts: "ColdStarts") -> None:
        """Run `wanted` replicas from now on: start new ones, or drain the youngest, as Kubernetes' ReplicaSets do.

        A replica that is not ready yet goes first and at once; one that computes finishes what it has.
        """
        for _ in range(wanted - len(self._wanted)):
            self.add(now_seconds, now_seconds + cold_starts.next())
        if wanted < len(self._wanted):
            self._drain(now_seconds, len(self._wanted) - wanted)

    def ready_seconds(self, begin_seconds: float, end_seconds: float) -> float:
        """Replica-seconds of readiness between two times, of those that are wanted at the end."""
        if self._last_ready <= begin_seconds:
            return len(self._wanted) * (end_seconds - begin_seconds)
        ready = (max(begin_seconds, self.replicas[number].ready_seconds) for number in self._wanted)
        return sum(max(0.0, end_seconds - since) for since in ready)

    def add(self, asked_seconds: float, ready_seconds: float) -> None:
        """Start one replica that will be ready at a known time."""
        number = len(self.replicas)
        self.replicas.append(Replica(asked_seconds, ready_seconds))
        self._wanted.append(number)
        self._last_ready = max(self._last_ready, ready_seconds)
        for _ in range(self._concurrency):
            heapq.heappush(self._slots, (ready_seconds, number))

    def _drain(self, now: float, count: int) -> None:
        self._wanted.sort(key=lambda number: self.replicas[number].ready_seconds)
        leaving = set(self._wanted[-count:])
        del self._wanted[-count:]
        for number in leaving:
            self.replicas[number].gone_seconds = now
        for free, number in self._slots:
            if number in leaving and self.replicas[number].ready_seconds <= now:
                self.replicas[number].gone_seconds = max(self.replicas[number].gone_seconds, free)
        self._slots = [slot for slot in self._slots if slot[1] not in leaving]
        heapq.heapify(self._slots)


class ColdStarts:
    """Times from asking for a replica until it is ready: drawn beforehand, so that they don't depend on the policy.

    The nth replica of a run starts as slowly under each policy; after the last draw it begins again.
    """

    def __init__(self, seconds: Seconds) -> None:
        self._seconds: list[float] = seconds.tolist()
        self._drawn = 0

    def next(self) -> float:
        """Seconds until the next replica is ready."""
        value = self._seconds[self._drawn % len(self._seconds)]
        self._drawn += 1
        return value
