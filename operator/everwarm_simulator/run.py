"""Workload x control -> run: the clock that lets the engine, the reactive autoscaler and the floor take turns.

As on Knative the replicas that run are the larger of the floor and of what the autoscaler wants, within the maximum;
the floor moves at its interval and takes effect at once. With nothing running, the first request wakes the autoscaler.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from everwarm_planner.observation import MissingObservation, Observation
from everwarm_simulator.distributions import Distribution, Seconds
from everwarm_simulator.engine import ColdStarts, Engine, Replica
from everwarm_simulator.kernel import choice
from everwarm_simulator.kernel.base import Flags, Kernel
from everwarm_simulator.meter import Meter, Reading, View
from everwarm_simulator.workload import Workload

_OVERRUN_SECONDS = 3600  # after the workload's end, for what still waits; then it counts as never answered
_COLD_STARTS = 4096  # drawn per run; a run that starts more begins with the first again


class Reactive(Protocol):
    """An autoscaler that follows the load: Knative's, Kubernetes', or any rule of its own. It may keep state."""

    @property
    def interval_seconds(self) -> int:
        """How often it decides."""

    def replicas(self, reading: Reading, wanted: int, floor: int) -> int:
        """How many replicas to run, the floor left out, where `wanted` are asked for now."""


class Floor(Protocol):
    """Who moves the floor: the planner with a policy. It may keep state."""

    @property
    def interval_seconds(self) -> int:
        """How often it decides."""

    def floor(self, observation: Observation | MissingObservation) -> int:
        """Replicas to keep warm."""


@dataclass(frozen=True, slots=True)
class Service:
    """What runs.

    Attributes:
        concurrency: requests that one replica computes at once.
        cold_start: from asking for a replica until it is ready.
        max_replicas: of the autoscaler and the floor together.
        initial_replicas: ready at the beginning.
        window_seconds: what an observation looks back on; 60 s as the operator's.
        recent_seconds: the same of the most recent rate; 15 s, a scrape interval.
        objective_seconds: the latency over which a request is late for an observation; `None`: nobody counts.
    """

    concurrency: int
    cold_start: Distribution
    max_replicas: int
    initial_replicas: int = 1
    window_seconds: int = 60
    recent_seconds: int = 15
    objective_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """The replicas or the floor moved."""

    at_seconds: float
    floor: int
    wanted: int


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What happened: for each request when it started (infinite: never) and whether it met a cold start."""

    workload: Workload
    concurrency: int
    starts: Seconds
    cold: Flags
    replicas: list[Replica]
    changes: list[Change]

    @property
    def latencies(self) -> Seconds:
        """Arrival to answer, seconds."""
        return self.starts + self.workload.services - self.workload.arrivals


def simulate(
    workload: Workload,
    service: Service,
    reactive: Reactive | None,
    floor: Floor | None,
    generator: np.random.Generator,
    *,
    kernel: Kernel | None = None,
) -> Run:
    """Play the workload. `generator` draws the cold starts alone, before anything is decided.

    All kernels give the same run; `None` takes the one that is installed and pays.
    """
    cold_starts = ColdStarts(service.cold_start.draw(generator, _COLD_STARTS))
    engine = Engine(workload, service.concurrency, kernel or choice.choose(len(workload.arrivals)))
    for _ in range(service.initial_replicas):
        engine.add(0.0, 0.0)
    limit = math.ceil(workload.horizon_seconds) + _OVERRUN_SECONDS
    changes: list[Change] = []
    if reactive is None and floor is None:
        engine.advance(limit)
    else:
        changes = _Simulation(workload, service, engine, reactive, floor, cold_starts, limit).play()
    log = engine.journal
    return Run(workload, service.concurrency, log.starts, log.cold, engine.replicas, changes)


def _view(service: Service) -> View:
    return View(service.concurrency, service.window_seconds, service.recent_seconds, service.objective_seconds)


class _Simulation:
    """One run under way."""

    def __init__(
        self,
        workload: Workload,
        service: Service,
        engine: Engine,
        reactive: Reactive | None,
        floor: Floor | None,
        cold_starts: ColdStarts,
        limit_seconds: int,
    ) -> None:
        self._workload, self._service, self._cold_starts = workload, service, cold_starts
        self._reactive, self._floor = reactive, floor
        self._engine = engine
        self._limit = limit_seconds
        self._meter = Meter(workload, self._engine, _view(service), self._limit)
        self._follow = service.initial_replicas if reactive is not None else 0
        self._lowest = service.initial_replicas if floor is not None or reactive is None else 0
        self._changes: list[Change] = []
        self._in_system: list[float] = []  # what the reactive autoscaler has not read yet, second by second
        self._busy: list[float] = []

    def play(self) -> list[Change]:
        now, horizon = 0.0, self._workload.horizon_seconds
        while now < horizon or (now < self._limit and self._engine.started < len(self._workload.arrivals)):
            now, poked = self._next_moment(now)
            self._advance(now)
            self._control(now, poked)
        return self._changes

    def _next_moment(self, now: float) -> tuple[float, bool]:
        """When somebody decides next, and whether it is because a request woke them."""
        intervals = [loop.interval_seconds for loop in (self._reactive, self._floor) if loop is not None]
        ticks = [(math.floor(now / interval) + 1) * float(interval) for interval in intervals]
        tick = min([*ticks, float(self._limit)])
        if self._engine.wanted == 0 and now < (arrival := self._engine.next_arrival()) < tick:
            return arrival, True
        return tick, False

    def _advance(self, until: float) -> None:
        started = self._engine.advance(until)
        self._meter.take(started, until)
        in_system, busy = self._meter.seconds(until)
        self._in_system.extend(in_system)
        self._busy.extend(busy)

    def _control(self, now: float, poked: bool) -> None:
        if self._workload.in_hole(now):
            self._in_system.clear()
            self._busy.clear()
            return
        if self._floor is not None and now % self._floor.interval_seconds == 0:
            self._lowest = self._floor.floor(self._meter.observe(int(now)))
        if self._reactive is not None and (poked or now % self._reactive.interval_seconds == 0):
            reading = Reading(now, tuple(self._in_system), tuple(self._busy), self._engine.ready(now), poked)
            self._in_system.clear()
            self._busy.clear()
            self._follow = self._reactive.replicas(reading, self._engine.wanted, self._lowest)
        wanted = min(max(self._lowest, self._follow), self._service.max_replicas)
        if not self._changes or (self._changes[-1].floor, self._changes[-1].wanted) != (self._lowest, wanted):
            self._changes.append(Change(now, self._lowest, wanted))
            self._engine.scale(now, wanted, self._cold_starts)
