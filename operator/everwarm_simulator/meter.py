"""What started -> what the autoscaler and the operator would have measured: one value per second, and Observations.

Concurrency is the exact time average over each second, from the times at which requests came and left. The rest is what
the operator asks Prometheus for: figures over a sliding window, of the requests that finished in it.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from everwarm_planner.observation import MissingObservation, MissingReason, Observation
from everwarm_simulator.distributions import Seconds
from everwarm_simulator.engine import Engine, Started
from everwarm_simulator.quantiles import quantile
from everwarm_simulator.workload import Workload


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reactive autoscaler sees at one tick.

    Attributes:
        at_seconds: now.
        concurrency: for each second that ended since the last reading, the mean number of requests in the system.
        busy: for each of these seconds, the mean number of them that were computed.
        ready_replicas: replicas that can take a request now.
        poked: a request came while no replica was wanted, and somebody has to start one at once.
    """

    at_seconds: float
    concurrency: tuple[float, ...]
    busy: tuple[float, ...]
    ready_replicas: int
    poked: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Finished:
    """One stretch of requests: when they end (sorted by start, not by this), what they took, which were cold."""

    ends: Seconds
    latencies: Seconds
    services: Seconds
    cold: npt.NDArray[np.bool_]


class Meter:
    """Accounts of a run, second by second; `take` what started, in order, then ask.

    `limit_seconds` is where the run ends at the latest; what ends later is of no interest to it.
    """

    def __init__(self, workload: Workload, engine: Engine, window_seconds: int, limit_seconds: int) -> None:
        self._workload = workload
        self._engine = engine
        self._window = window_seconds
        self._size = limit_seconds + 1
        whole = workload.arrivals.astype(np.int64)
        self._came = np.bincount(whole, minlength=self._size)
        self._came_part = np.bincount(whole, weights=whole + 1 - workload.arrivals, minlength=self._size)
        self._left, self._began = np.zeros(self._size), np.zeros(self._size)
        self._left_part, self._began_part = np.zeros(self._size), np.zeros(self._size)
        self._ready, self._busy = np.zeros(self._size), np.zeros(self._size)
        self._second = 0  # all before it are complete
        self._in_system = self._in_service = 0.0
        self._until = 0.0
        self._finished: deque[_Finished] = deque()

    def take(self, started: Started, until_seconds: float) -> None:
        """Account for what started before `until_seconds`, and for the readiness of replicas until then."""
        if until_seconds > self._until:
            ready = self._engine.ready_seconds(self._until, until_seconds)
            self._ready[min(int(np.ceil(until_seconds)) - 1, self._size - 1)] += ready
            self._until = until_seconds
        if len(started.starts) == 0:
            return
        part = slice(started.first, started.first + len(started.starts))
        arrivals, services = self._workload.arrivals[part], self._workload.services[part]
        ends = started.starts + services
        self._count(self._began, self._began_part, started.starts)
        self._count(self._left, self._left_part, ends)
        self._finished.append(_Finished(ends, ends - arrivals, services, started.cold))

    def _count(self, counts: Seconds, parts: Seconds, times: Seconds) -> None:
        whole = times.astype(np.int64)
        first = int(whole.min())
        amounts = np.bincount(whole - first)[: max(0, self._size - first)]
        left_over = np.bincount(whole - first, weights=whole + 1 - times)
        counts[first : first + len(amounts)] += amounts
        parts[first : first + len(amounts)] += left_over[: len(amounts)]

    def seconds(self, until_seconds: float) -> tuple[list[float], list[float]]:
        """The mean numbers of requests in the system and in service, for each second that ended since the last call."""
        first, last = self._second, int(until_seconds)
        means: list[float] = []
        for second in range(first, last):
            means.append(max(0.0, float(self._in_system + self._came_part[second] - self._left_part[second])))
            self._busy[second] = self._in_service + self._began_part[second] - self._left_part[second]
            self._in_system += float(self._came[second] - self._left[second])
            self._in_service += float(self._began[second] - self._left[second])
        self._second = max(first, last)
        return means, np.maximum(0.0, self._busy[first : self._second]).tolist()

    def observe(self, at_seconds: int, concurrency: int) -> Observation | MissingObservation:
        """The planner's reading at a whole second whose seconds were all asked for by `seconds`."""
        begin = max(0, at_seconds - self._window)
        if self._workload.in_hole(at_seconds) or self._workload.in_hole(begin):
            return MissingObservation(at_seconds, MissingReason.EMPTY, "the trace has a hole here")
        ends, latencies, services, cold = self._in_window(begin, at_seconds)
        slots = float(self._ready[begin:at_seconds].sum()) * concurrency
        ready = self._engine.ready(at_seconds)
        busy = float(self._busy[begin:at_seconds].sum())
        return Observation(
            at_seconds=float(at_seconds),
            rate_per_second=float(self._came[begin:at_seconds].sum()) / max(1, at_seconds - begin),
            p95_seconds=quantile(latencies, 0.95) if len(ends) else None,
            service_seconds=float(services.mean()) if len(ends) else None,
            cold_start_fraction=float(cold.mean()) if len(ends) else 0.0,
            utilization=min(1.0, max(0.0, busy) / slots) if ready > 0 and slots > 0 else None,
            ready_replicas=ready,
            in_flight=max(0.0, self._in_system),
        )

    def _in_window(self, begin: int, end: int) -> tuple[Seconds, Seconds, Seconds, npt.NDArray[np.bool_]]:
        while self._finished and self._finished[0].ends.max() < begin:
            self._finished.popleft()
        if not self._finished:
            return np.empty(0), np.empty(0), np.empty(0), np.empty(0, dtype=np.bool_)
        ends = np.concatenate([part.ends for part in self._finished])
        inside = (ends >= begin) & (ends < end)
        return (
            ends[inside],
            np.concatenate([part.latencies for part in self._finished])[inside],
            np.concatenate([part.services for part in self._finished])[inside],
            np.concatenate([part.cold for part in self._finished])[inside],
        )
