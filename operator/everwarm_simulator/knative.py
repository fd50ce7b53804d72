"""Knative around the planner's model of its autoscaler: readings of the meter -> replicas that run.

What queue-proxies and activator report each second is taken as complete and undisturbed: no sampling of pods, no lost
scrape.
"""

import math

from everwarm_planner.policies import kpa
from everwarm_planner.policies.kpa_loop import Loop
from everwarm_planner.policies.kpa_scale import ZeroSettings
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
        self._loop = Loop(settings, max_replicas, initial_replicas, zero)

    @property
    def interval_seconds(self) -> int:
        """Two seconds, and not configurable upstream."""
        return kpa.TICK_SECONDS

    def replicas(self, reading: Reading, wanted: int, floor: int) -> int:
        """The replicas to run, the floor as min-scale included; `wanted` where nothing shall change."""
        now, ready = reading.at_seconds, reading.ready_replicas
        # Each second's mean is written to the second after it, when it is reported.
        first = math.floor(now) - len(reading.concurrency) + 1
        for second, mean in enumerate(reading.concurrency, start=first):
            self._loop.report(second, mean, ready)
        if reading.poked:
            self._loop.poke(now)
        return self._loop.decide(now, ready, wanted, floor)
