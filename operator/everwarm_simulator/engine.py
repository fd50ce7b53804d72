"""Requests meet replicas: one queue, first come first served, and one heap of the times at which slots get free.

There are no events. The head of the queue starts at the later of its arrival and the earliest free slot; that is known
at once, so a request costs one heap operation. It is done only while that start is before the next moment at which
somebody may change the replicas: so scale-up, drain and cold start are exact, not approximated on a grid.

In: arrivals, service times, and how many replicas to run from when on. Out: who started when, where. A replica has
`concurrency` slots that do not slow each other down; a starting one has slots that get free when it is ready.
"""

import bisect
import heapq
import math
from dataclasses import dataclass

from everwarm_simulator.distributions import Seconds
from everwarm_simulator.kernel.base import Flags, Journal, Kernel, Numbers
from everwarm_simulator.kernel.pure import PureKernel
from everwarm_simulator.workload import Workload

_STARTS_KEPT = 64  # cold starts that the time to ready is estimated from


@dataclass(slots=True)
class Replica:
    """One replica's life: asked for, ready, told to go, and gone; seconds, the latter two infinite while it stays."""

    asked_seconds: float
    ready_seconds: float
    leaving_seconds: float = math.inf
    gone_seconds: float = math.inf


@dataclass(frozen=True, slots=True, eq=False)
class Started:
    """Requests that started since the last `advance`, in order of arrival: [first, first + len(starts)).

    Cold are those that were answered by a replica that got ready only after they had come.
    """

    first: int
    starts: Seconds
    replicas: Numbers
    cold: Flags

    @property
    def stop(self) -> int:
        """The first request that has not started."""
        return self.first + len(self.starts)


class Engine:
    """The queue and the replicas at one time; it only ever goes forward."""

    def __init__(self, workload: Workload, concurrency: int, kernel: Kernel | None = None) -> None:
        if concurrency < 1:
            raise ValueError(f"a replica has at least one slot, not {concurrency}")
        self.kernel = kernel or PureKernel()
        self.journal = Journal.of(workload)
        self._slots = self.kernel.slots(self.journal)
        self._concurrency = concurrency
        self._next = 0
        self._wanted: list[int] = []  # by the time at which they are ready
        self._ready_from: list[float] = []  # those times
        self._starting: list[tuple[float, int]] = []
        self._took: list[float] = []  # the last times to ready, in order of getting ready
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
        return bisect.bisect_right(self._ready_from, now_seconds)

    def time_to_ready(self, now_seconds: float, part: float = 0.9) -> float | None:
        """How long cold starts took that are over by now, the last 64: what this part of them did not exceed; seconds.

        `None` before the first; those that were told to go while they started tell nothing.
        """
        while self._starting and self._starting[0][0] <= now_seconds:
            life = self.replicas[heapq.heappop(self._starting)[1]]
            if life.leaving_seconds >= life.ready_seconds:
                self._took = [*self._took[1 - _STARTS_KEPT :], life.ready_seconds - life.asked_seconds]
        if not self._took:
            return None
        return sorted(self._took)[math.ceil(part * len(self._took)) - 1]

    def next_arrival(self) -> float:
        """When the head of the queue came, or the next request will; infinite after the last."""
        waiting = self._next < len(self.journal.arrivals)
        return float(self.journal.arrivals[self._next]) if waiting else math.inf

    def advance(self, until_seconds: float) -> Started:
        """Start all requests whose start is before `until_seconds` under the replicas that there are."""
        first, log = self._next, self.journal
        self._next = self._slots.advance(first, until_seconds)
        part = slice(first, self._next)
        return Started(first, log.starts[part], log.replicas[part], log.cold[part])

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
        before = self.ready(begin_seconds)
        after = self._ready_from[before : bisect.bisect_left(self._ready_from, end_seconds)]
        return before * (end_seconds - begin_seconds) + sum(end_seconds - since for since in after)

    def add(self, asked_seconds: float, ready_seconds: float) -> None:
        """Start one replica that will be ready at a known time."""
        number = len(self.replicas)
        self.replicas.append(Replica(asked_seconds, ready_seconds))
        place = bisect.bisect_right(self._ready_from, ready_seconds)
        self._wanted.insert(place, number)
        self._ready_from.insert(place, ready_seconds)
        if ready_seconds > asked_seconds:
            heapq.heappush(self._starting, (ready_seconds, number))
        self._slots.add(ready_seconds, number, self._concurrency)

    def _drain(self, now: float, count: int) -> None:
        leaving = set(self._wanted[-count:])
        del self._wanted[-count:], self._ready_from[-count:]
        for number in leaving:
            self.replicas[number].leaving_seconds = self.replicas[number].gone_seconds = now
        for free, number in self._slots.remove(leaving):
            if self.replicas[number].ready_seconds <= now:
                self.replicas[number].gone_seconds = max(self.replicas[number].gone_seconds, free)


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
