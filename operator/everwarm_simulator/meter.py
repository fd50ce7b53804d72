"""What started -> what the autoscaler and the operator would have measured: one value per second, and Observations.

Concurrency is the exact time average over each second, from the times at which requests came and left. The rest is what
the operator asks Prometheus for: figures over a sliding window, of the requests that finished in it.

All of it is sums by the second, added once per request, so that a look back over a window costs no more than the
window has seconds; only a percentile goes through the window's requests again.
"""

import math
from dataclasses import dataclass

import numpy as np

from everwarm_planner.observation import MissingObservation, MissingReason, Observation
from everwarm_simulator.engine import Engine, Started
from everwarm_simulator.kernel.base import Ledger
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


class Meter:
    """Accounts of a run, second by second; `take` what started, in order, then ask.

    `limit_seconds` is where the run ends at the latest; what ends later is of no interest to it.
    """

    def __init__(self, workload: Workload, engine: Engine, window_seconds: int, limit_seconds: int) -> None:
        self._workload = workload
        self._engine = engine
        self._window = window_seconds
        self._size = limit_seconds + 1
        self._ledger = Ledger.of(self._size)
        whole = workload.arrivals.astype(np.int64)
        came = np.bincount(whole, minlength=self._size)
        self._came = came.astype(np.float64)
        self._came_part = np.bincount(whole, weights=whole + 1 - workload.arrivals, minlength=self._size)
        self._came_before = np.concatenate([[0], np.cumsum(came)])
        self._squares_before = np.concatenate([[0], np.cumsum(came * came)])
        self._ready, self._busy = np.zeros(self._size), np.zeros(self._size)
        self._second = 0  # all before it are complete
        self._in_system = self._in_service = 0.0
        self._until = 0.0
        self._oldest = 0  # all requests before it were answered before any window that is asked for again

    def take(self, started: Started, until_seconds: float) -> None:
        """Account for what started before `until_seconds`, and for the readiness of replicas until then."""
        if until_seconds > self._until:
            ready = self._engine.ready_seconds(self._until, until_seconds)
            self._ready[min(math.ceil(until_seconds) - 1, self._size - 1)] += ready
            self._until = until_seconds
        if started.stop > started.first:
            self._engine.kernel.account(self._engine.journal, started.first, started.stop, self._ledger)

    def seconds(self, until_seconds: float) -> tuple[list[float], list[float]]:
        """The mean numbers of requests in the system and in service, for each second that ended since the last call."""
        first, last = self._second, int(until_seconds)
        if last <= first:
            return [], []
        part, ledger = slice(first, last), self._ledger
        moves = zip(
            self._came[part].tolist(),
            self._came_part[part].tolist(),
            ledger.began[part].tolist(),
            ledger.began_part[part].tolist(),
            ledger.left[part].tolist(),
            ledger.left_part[part].tolist(),
            strict=True,
        )
        means: list[float] = []
        busy: list[float] = []
        for came, came_part, began, began_part, left, left_part in moves:
            means.append(max(0.0, self._in_system + came_part - left_part))
            busy.append(max(0.0, self._in_service + began_part - left_part))
            self._in_system += came - left
            self._in_service += began - left
        self._busy[part] = busy
        self._second = last
        return means, busy

    def observe(self, at_seconds: int, concurrency: int) -> Observation | MissingObservation:
        """The planner's reading at a whole second whose seconds were all asked for by `seconds`."""
        begin = max(0, at_seconds - self._window)
        if self._workload.in_hole(at_seconds) or self._workload.in_hole(begin):
            return MissingObservation(at_seconds, MissingReason.EMPTY, "the trace has a hole here")
        part = slice(begin, at_seconds)
        finished = float(self._ledger.left[part].sum())
        mean = float(self._ledger.work[part].sum()) / finished if finished else None
        ready = self._engine.ready(at_seconds)
        slots = float(self._ready[part].sum()) * concurrency
        return Observation(
            at_seconds=float(at_seconds),
            rate_per_second=float(self._came_before[at_seconds] - self._came_before[begin])
            / max(1, at_seconds - begin),
            p95_seconds=self._p95(begin, at_seconds) if finished else None,
            service_seconds=mean,
            cold_start_fraction=float(self._ledger.cold[part].sum()) / finished if finished else 0.0,
            utilization=min(1.0, float(self._busy[part].sum()) / slots) if ready > 0 and slots > 0 else None,
            ready_replicas=ready,
            in_flight=max(0.0, self._in_system),
        )

    def _p95(self, begin: int, end: int) -> float:
        journal, stop = self._engine.journal, self._engine.started
        while self._oldest < stop:
            part = slice(self._oldest, min(stop, self._oldest + 256))
            late = np.flatnonzero(journal.starts[part] + journal.services[part] >= begin)
            self._oldest += int(late[0]) if len(late) else part.stop - part.start
            if len(late):
                break
        return self._engine.kernel.latency_quantile(journal, self._oldest, stop, (begin, end), 0.95)
