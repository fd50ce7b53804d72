"""Function instances as a function service (AWS Lambda and its like) gives them, with or without provisioned ones.

One request per instance. A request that finds an idle instance takes the one that idled last; a request that finds none
gets a new one for itself and waits for its initialisation. Who idles for too long is gone, but for the provisioned
instances: as many as the floor says are never taken away, and are started ahead when there are fewer. Nobody else
decides on instances, and requests never wait for each other: that is what tells this apart from `run`, where replicas
are shared and a queue stands before them. After the model of SimFaaS (newest idle first, a fixed expiry).
"""

import heapq
import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from everwarm_planner.observation import Observation
from everwarm_simulator.distributions import Distribution, Seconds
from everwarm_simulator.quantiles import quantile
from everwarm_simulator.run import Floor
from everwarm_simulator.workload import Workload


@dataclass(frozen=True, slots=True)
class Functions:
    """What the service does by itself.

    Attributes:
        initialisation: from the request that found no idle instance until the new one computes it.
        expiry_seconds: an instance that idled for this long is gone.
        lead_seconds: from asking for a provisioned instance until it can answer.
        window_seconds: what an observation looks back on.
    """

    initialisation: Distribution
    expiry_seconds: float
    lead_seconds: float = 5.0
    window_seconds: int = 60


@dataclass(frozen=True, slots=True, eq=False)
class FunctionRun:
    """What happened: latencies and cold starts by request, provisioned instances over time, instance-seconds.

    Attributes:
        latencies: arrival to answer, seconds.
        waits: the part of it that was an initialisation, seconds.
        cold: who waited for an initialisation.
        provisioned: (seconds, provisioned instances) of each change.
        mean_provisioned: over the horizon.
        mean_instances: ready ones, over the horizon.
    """

    latencies: Seconds
    waits: Seconds
    cold: npt.NDArray[np.bool_]
    provisioned: list[tuple[float, int]]
    mean_provisioned: float
    mean_instances: float


def simulate(
    workload: Workload, service: Functions, floor: Floor | None, generator: np.random.Generator
) -> FunctionRun:
    """Play the workload; `generator` draws the initialisations alone, the nth request's equal under each floor."""
    initialisations = service.initialisation.draw(generator, len(workload.arrivals))
    return _Play(workload, service, floor, initialisations).play()


class _Play:
    """One run under way."""

    def __init__(self, workload: Workload, service: Functions, floor: Floor | None, initialisations: Seconds) -> None:
        self._workload, self._service, self._floor = workload, service, floor
        self._initialisations = initialisations
        self._idle: deque[float] = deque()  # since when each idles, oldest first
        self._busy: list[float] = []  # heap of when each will idle: those that compute, initialise or start ahead
        self._kept = 0
        self._lowered_at = 0.0
        self._now = self._ready_seconds = self._kept_seconds = 0.0
        self._recent: deque[tuple[float, float, float, bool]] = deque()  # end, latency, service, cold

    def play(self) -> FunctionRun:
        workload, initialisations = self._workload, self._initialisations.tolist()
        count = len(workload.arrivals)
        waits, cold = np.zeros(count), np.zeros(count, dtype=np.bool_)
        provisioned: list[tuple[float, int]] = []
        interval = math.inf if self._floor is None else float(self._floor.interval_seconds)
        tick = interval
        for number, (at, work) in enumerate(zip(workload.arrivals.tolist(), workload.services.tolist(), strict=True)):
            while self._floor is not None and tick <= at:
                self._control(self._floor, tick, provisioned)
                tick += interval
            self._pass(at)
            if self._idle:
                self._ready_seconds += at - self._idle.pop()
                wait = 0.0
            else:
                waits[number] = wait = initialisations[number]
                cold[number] = True
            self._begin(at, wait, work)
        horizon = workload.horizon_seconds
        self._pass(horizon)
        self._ready_seconds += math.fsum(horizon - since for since in self._idle)
        means = self._kept_seconds / horizon, self._ready_seconds / horizon
        return FunctionRun(waits + workload.services, waits, cold, provisioned, *means)

    def _begin(self, at: float, wait: float, work: float) -> None:
        """Occupy an instance; what it computes is known beforehand, so is accounted for at once."""
        end = at + wait + work
        heapq.heappush(self._busy, end)
        self._ready_seconds += work
        if self._floor is not None:
            self._recent.append((end, wait + work, work, wait > 0))

    def _pass(self, until: float) -> None:
        """Let time go on: instances get idle, and those that idled for too long are gone."""
        while self._busy and self._busy[0] <= until:
            end = heapq.heappop(self._busy)
            self._expire(end)
            self._idle.append(end)
        self._expire(until)
        self._kept_seconds += self._kept * (until - self._now)
        self._now = until

    def _expire(self, until: float) -> None:
        """Take away who may go at this time: the longest idle first, at its expiry or when the floor let it go."""
        expiry = self._service.expiry_seconds
        while self._idle and self._idle[0] + expiry <= until and len(self._idle) + len(self._busy) > self._kept:
            since = self._idle.popleft()
            self._ready_seconds += max(since + expiry, self._lowered_at) - since

    def _control(self, floor: Floor, at: float, provisioned: list[tuple[float, int]]) -> None:
        self._pass(at)
        before, self._kept = self._kept, floor.floor(self._observe(at))
        if self._kept < before:
            self._lowered_at = at
        if self._kept != before:
            provisioned.append((at, self._kept))
        for _ in range(self._kept - len(self._idle) - len(self._busy)):
            heapq.heappush(self._busy, at + self._service.lead_seconds)

    def _observe(self, at: float) -> Observation:
        begin = max(0.0, at - self._service.window_seconds)
        while self._recent and self._recent[0][0] < begin:
            self._recent.popleft()
        ended = [entry for entry in self._recent if begin <= entry[0] < at]
        came = [entry for entry in self._recent if entry[0] - entry[1] >= begin]
        services = math.fsum(entry[2] for entry in ended)
        ready = len(self._idle) + len(self._busy)
        span = at - begin
        return Observation(
            at_seconds=at,
            rate_per_second=len(came) / span,
            p95_seconds=quantile(np.array([entry[1] for entry in ended]), 0.95) if ended else None,
            service_seconds=services / len(ended) if ended else None,
            cold_start_fraction=sum(entry[3] for entry in ended) / len(ended) if ended else 0.0,
            utilization=min(1.0, services / span / ready) if ready else None,
            ready_replicas=ready,
            in_flight=float(len(self._busy)),
        )
