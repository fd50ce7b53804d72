"""How many replicas to run: Knative's own autoscaler, as the planner models it, fed with what this gateway measures.

The planner's loop wants one mean per whole second. The gateway is read about once a second, never on the second, so
what was in flight between two readings is spread over the seconds that they touch.
"""

import math
from dataclasses import dataclass

from everwarm_planner.policies import kpa
from everwarm_planner.policies.kpa_loop import Loop


@dataclass(frozen=True, slots=True)
class Limits:
    """The autoscaler's settings: bounds in replicas, requests per replica, and the stable window."""

    min_replicas: int
    max_replicas: int
    concurrency: int
    stable_window_seconds: int = 60


class Autoscaler:
    """A pod autoscaler before whose replicas the gateway stands, as Knative's activator does with every request.

    Like it, it starts one replica at once for the first request that finds none.
    """

    def __init__(self, limits: Limits, now: float) -> None:
        defaults = kpa.Settings.of_concurrency(limits.concurrency)
        settings = kpa.Settings(
            defaults.target,
            defaults.total,
            stable_window_seconds=limits.stable_window_seconds,
            target_burst_capacity=-1,  # the gateway is always in the way
        )
        self._limits = limits
        self._loop = Loop(settings, limits.max_replicas, 0, begin_seconds=now)
        self._read_at = now
        self._open_area = 0.0  # request-seconds in flight since the last whole second
        self._decided_at = -math.inf
        self._wanted = limits.min_replicas

    def replicas(self, now: float, in_flight: float, waiting: bool, ready: int, running: int, floor: int) -> int:
        """The replicas to run, within the limits and never under the floor.

        Args:
            now: monotonic seconds.
            in_flight: mean requests in flight since the last call.
            waiting: whether a request is in flight now.
            ready: replicas that can answer.
            running: replicas that run or start.
            floor: the planner's.
        """
        self._report(now, in_flight, ready)
        poked = waiting and running == 0
        if poked:
            self._loop.poke(now)
        lowest = max(floor, self._limits.min_replicas)
        if poked or now - self._decided_at >= kpa.TICK_SECONDS:
            self._decided_at = now
            self._wanted = self._loop.decide(now, ready, self._wanted, lowest)
        least = max(lowest, 1 if waiting else 0)
        return min(max(self._wanted, least), self._limits.max_replicas)

    def _report(self, now: float, in_flight: float, ready: int) -> None:
        """Close each second that ended since the last reading."""
        begin = self._read_at
        for second in range(math.floor(begin) + 1, math.floor(now) + 1):
            self._open_area += in_flight * (second - begin)
            self._loop.report(second, self._open_area, ready)
            self._open_area, begin = 0.0, float(second)
        self._open_area += in_flight * (now - begin)
        self._read_at = now
