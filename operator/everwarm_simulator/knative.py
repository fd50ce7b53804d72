"""Knative around the planner's model of its autoscaler: readings of the meter -> replicas that run.

What queue-proxies and activator report each second is taken as complete and undisturbed: no sampling of pods, no lost
scrape. A first request at zero replicas is reported at once, as one request in flight, and taken off the next report.
"""

import math

from everwarm_planner.policies import kpa, kpa_scale
from everwarm_planner.policies.buckets import Buckets
from everwarm_planner.policies.kpa_scale import Activity, Phase, ZeroSettings
from everwarm_simulator.meter import Reading


class Knative:
    """A PodAutoscaler of class kpa: a `Reactive` for `run.simulate`. `initial_replicas` are ready when it starts."""

    def __init__(
        self,
        settings: kpa.Settings,
        max_replicas: int,
        initial_replicas: int = 1,
        zero: ZeroSettings | None = None,
    ) -> None:
        self._settings = settings
        self._zero = zero or ZeroSettings(stable_window_seconds=settings.stable_window_seconds)
        self._max_replicas = max_replicas
        self._stable = Buckets(settings.stable_window_seconds)
        self._panic = Buckets(settings.panic_window_seconds)
        self._state = kpa.State.start(0.0, initial_replicas)
        self._activity = Activity(Phase.ACTIVE if initial_replicas else Phase.INACTIVE, 0.0)
        self._desired: int | None = None
        self._excess = -1
        self._ready = initial_replicas
        self._reported_early = 0.0

    @property
    def interval_seconds(self) -> int:
        """Two seconds, and not configurable upstream."""
        return kpa.TICK_SECONDS

    def replicas(self, reading: Reading, wanted: int, floor: int) -> int:
        """The replicas to run, the floor as min-scale included; `wanted` where nothing shall change."""
        self._record(reading)
        now = reading.at_seconds
        stable = None if self._stable.empty(now) else self._stable.average(now)
        sample = kpa.Sample(now, stable, self._panic.average(now), reading.ready_replicas)
        result, self._state = kpa.step(self._settings, self._state, sample)
        if result.replicas is not None:
            self._desired, self._excess = result.replicas, result.excess_burst_capacity
        bounds = kpa_scale.Bounds(floor, self._max_replicas)
        target = kpa_scale.target(self._zero, bounds, self._activity, now, self._desired)
        self._activity = kpa_scale.next_activity(
            self._activity, now, target, reading.ready_replicas, self._excess, floor
        )
        return target.replicas if target.applied and target.replicas is not None else wanted

    def _record(self, reading: Reading) -> None:
        """Write each second's mean to the second after it, when it is reported; without pods nobody reports a zero."""
        first = math.floor(reading.at_seconds) - len(reading.concurrency) + 1
        watched = self._ready > 0 or reading.ready_replicas > 0
        for second, mean in enumerate(reading.concurrency, start=first):
            if watched or mean > 0:
                rest = max(0.0, mean - self._reported_early)
                self._stable, self._panic = self._stable.record(second, rest), self._panic.record(second, rest)
            self._reported_early = 0.0
        self._ready = reading.ready_replicas
        if reading.poked:
            self._stable, self._panic = (
                self._stable.record(reading.at_seconds, 1.0),
                self._panic.record(reading.at_seconds, 1.0),
            )
            self._reported_early = 1.0
