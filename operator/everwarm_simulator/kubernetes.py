"""Kubernetes around the planner's model of its HPA: readings of the meter -> replicas that run.

The metric is the busy part of a replica's slots, as CPU is for a model that computes; like CPU it can't go over 1, so a
queue is invisible to it. It is averaged over the time since the last decision.
"""

import math

from everwarm_planner.policies import hpa
from everwarm_simulator.meter import Reading


class HorizontalPods:
    """A HorizontalPodAutoscaler on utilisation: a `Reactive` for `run.simulate`.

    The floor is its `minReplicas`; like upstream's it never goes to zero, and never leaves it.
    """

    def __init__(self, settings: hpa.Settings, concurrency: int) -> None:
        self._settings = settings
        self._concurrency = concurrency
        self._state = hpa.State()

    @property
    def interval_seconds(self) -> int:
        """15 s, upstream's default."""
        return hpa.SYNC_SECONDS

    def replicas(self, reading: Reading, wanted: int, floor: int) -> int:
        """The replicas to run; `wanted` where there is nothing to go by."""
        if reading.poked or not reading.busy or wanted == 0:
            return max(wanted, floor)
        ready = reading.ready_replicas
        total = min(float(ready), math.fsum(reading.busy) / len(reading.busy) / self._concurrency)
        usage = hpa.Usage(total, ready, unready=wanted - ready)
        replicas, self._state = hpa.step(self._settings, self._state, reading.at_seconds, max(wanted, floor), usage)
        return replicas
