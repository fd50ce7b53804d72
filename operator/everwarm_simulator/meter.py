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


@dataclass(frozen=True, slots=True)
class View:
    """How the planner looks at a service: `run.Service` says what each field is."""

    concurrency: int
    window_seconds: int
    recent_seconds: int = 15
    objective_seconds: float | None = None


class Meter:
    """Accounts of a run, second by second; `take` what started, in order, then ask.

    `limit_seconds` is where the run ends at the latest; what ends later is of no interest to it.
    """

    def __init__(self, workload: Workload, engine: Engine, view: View, limit_seconds: int) -> None:
        self._workload = workload
        self._engine = engine
        self._view = view
        self._size = limit_seconds + 1
        self._ledger = Ledger.of(self._size, view.objective_seconds)
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

    def observe(self, at_seconds: int) -> Observation | MissingObservation:
        """The planner's reading at a whole second whose seconds were all asked for by `seconds`."""
        begin, now = max(0, at_seconds - self._view.window_seconds), float(at_seconds)
        if self._workload.in_hole(at_seconds) or self._workload.in_hole(begin):
            return MissingObservation(now, MissingReason.EMPTY, "the trace has a hole here")
        part, ledger = slice(begin, at_seconds), self._ledger
        finished = float(ledger.left[part].sum())
        work, variation = self._work(part, finished)
        ready = self._engine.ready(at_seconds)
        slots = float(self._ready[part].sum()) * self._view.concurrency
        return Observation(
            at_seconds=now,
            rate_per_second=self._rate(begin, at_seconds),
            p95_seconds=self._p95(begin, at_seconds) if finished else None,
            service_seconds=work,
            cold_start_fraction=float(ledger.cold[part].sum()) / finished if finished else 0.0,
            utilization=min(1.0, float(self._busy[part].sum()) / slots) if ready > 0 and slots > 0 else None,
            ready_replicas=ready,
            in_flight=max(0.0, self._in_system),
            dispersion=self._dispersion(begin, at_seconds),
            service_variation=variation,
            starting_replicas=self._engine.wanted - ready,
            time_to_ready_seconds=self._engine.time_to_ready(at_seconds),
            recent_rate_per_second=self._rate(max(0, at_seconds - self._view.recent_seconds), at_seconds),
            late_fraction=float(ledger.late[part].sum()) / finished
            if finished and self._view.objective_seconds is not None
            else None,
        )

    def _rate(self, begin: int, end: int) -> float:
        return float(self._came_before[end] - self._came_before[begin]) / max(1, end - begin)

    def _dispersion(self, begin: int, end: int) -> float | None:
        """Variance over mean of the counts of the window's seconds, as the server exports it."""
        seconds = end - begin
        came = float(self._came_before[end] - self._came_before[begin])
        if seconds < 2 or came == 0:
            return None
        squares = float(self._squares_before[end] - self._squares_before[begin])
        return max(0.0, squares / came - came / seconds)

    def _work(self, part: slice, finished: float) -> tuple[float | None, float | None]:
        """Mean service time, and its squared coefficient of variation."""
        if not finished:
            return None, None
        mean = float(self._ledger.work[part].sum()) / finished
        square = float(self._ledger.work_squared[part].sum()) / finished
        return mean, max(0.0, square / mean**2 - 1)

    def _p95(self, begin: int, end: int) -> float:
        journal, stop = self._engine.journal, self._engine.started
        while self._oldest < stop:
            part = slice(self._oldest, min(stop, self._oldest + 256))
            late = np.flatnonzero(journal.starts[part] + journal.services[part] >= begin)
            self._oldest += int(late[0]) if len(late) else part.stop - part.start
            if len(late):
                break
        return self._engine.kernel.latency_quantile(journal, self._oldest, stop, (begin, end), 0.95)
