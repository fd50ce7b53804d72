"""Readings of the gateway and of all replicas over a sliding window -> the planner's own `Observation`. Pure.

The operator gets the same figures from Prometheus; here nothing is between them and the planner.
"""

from collections import deque
from dataclasses import dataclass

from everwarm_cli.up import latency
from everwarm_cli.up.counts import Counts
from everwarm_cli.up.meter import GatewayTotals
from everwarm_planner.observation import Observation


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that was counted until one instant."""

    gateway: GatewayTotals
    replicas: Counts


class Window:
    """The last readings; `observe` compares the newest with the one a window ago."""

    def __init__(self, window_seconds: float, concurrency: int, start: Reading) -> None:
        self._window_seconds = window_seconds
        self._concurrency = concurrency
        self._readings: deque[Reading] = deque([start])

    def observe(self, reading: Reading, ready_replicas: int, target_seconds: float) -> Observation | None:
        """The observation at this reading; `None` if no time has passed since the last one.

        Its time is the reading's; what only the fleet knows (replicas that start, how long that takes) is left out.
        """
        now = reading.gateway.at_seconds
        if now <= self._readings[-1].gateway.at_seconds:
            return None
        self._readings.append(reading)
        # The newest reading that is a whole window old is kept, so that a full window is never cut short.
        while len(self._readings) > 2 and self._readings[1].gateway.at_seconds <= now - self._window_seconds:
            self._readings.popleft()
        first = self._readings[0]
        latencies = latency.difference(reading.gateway.latencies, first.gateway.latencies)
        span = now - first.gateway.at_seconds
        counted = reading.replicas - first.replicas
        slots = (reading.gateway.ready_seconds - first.gateway.ready_seconds) * self._concurrency
        served = sum(latencies.values())
        busy = reading.gateway.busy_seconds - first.gateway.busy_seconds
        return Observation(
            at_seconds=now,
            rate_per_second=(reading.gateway.arrivals - first.gateway.arrivals) / span,
            p95_seconds=latency.quantile(latencies, 0.95),
            service_seconds=busy / served if served and busy > 0 else None,
            cold_start_fraction=min(1.0, counted.cold_starts / counted.requests) if counted.requests > 0 else 0.0,
            utilization=min(1.0, busy / slots) if ready_replicas > 0 and slots > 0 else None,
            ready_replicas=ready_replicas,
            in_flight=float(reading.gateway.in_flight),
            late_fraction=latency.part_over(latencies, target_seconds),
        )
