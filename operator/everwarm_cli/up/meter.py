"""What the gateway itself measures: arrivals, latencies, requests in flight, and how much of the ready slots was used.

All are totals since the start (integrals over time for what has a level): two readings give the span between them.
"""

from collections import Counter
from dataclasses import dataclass, field

from everwarm_cli.up.latency import Buckets, bucket


@dataclass(frozen=True, slots=True)
class GatewayTotals:
    """A reading of the gateway.

    Attributes:
        at_seconds: when it was read, on the monotonic clock.
        arrivals: requests that came.
        errors: requests answered with 500 and above, or not at all.
        latencies: finished requests by bucket of `everwarm_cli.up.latency`, waiting included.
        in_flight: requests here now, those that wait included.
        in_flight_seconds: its integral over time.
        busy_seconds: integral of the slots in use.
        ready_seconds: integral of the replicas that can answer (replica-seconds).
        alive_seconds: integral of all replica processes, those that start or drain included.
    """

    at_seconds: float
    arrivals: int = 0
    errors: int = 0
    latencies: Buckets = field(default_factory=dict)
    in_flight: int = 0
    in_flight_seconds: float = 0.0
    busy_seconds: float = 0.0
    ready_seconds: float = 0.0
    alive_seconds: float = 0.0


class Meter:
    """Counts what passes; time is an argument of each call (monotonic seconds)."""

    def __init__(self, now: float) -> None:
        self._last = now
        self._levels = {"in_flight": 0, "busy": 0, "ready": 0, "alive": 0}
        self._areas = dict.fromkeys(self._levels, 0.0)
        self._arrivals = 0
        self._errors = 0
        self._latencies: Counter[int] = Counter()

    def arrived(self, now: float) -> None:
        """A request came."""
        self._arrivals += 1
        self._change("in_flight", self._levels["in_flight"] + 1, now)

    def started(self, now: float) -> None:
        """A request took a slot."""
        self._change("busy", self._levels["busy"] + 1, now)

    def freed(self, now: float) -> None:
        """A slot was given back."""
        self._change("busy", self._levels["busy"] - 1, now)

    def finished(self, now: float, latency_seconds: float, status: int) -> None:
        """A request was answered, or given up (status 0)."""
        self._change("in_flight", self._levels["in_flight"] - 1, now)
        self._latencies[bucket(latency_seconds)] += 1
        self._errors += status == 0 or status >= 500

    def replicas(self, now: float, ready: int, alive: int) -> None:
        """The number of replicas changed, or did not."""
        self._change("ready", ready, now)
        self._change("alive", alive, now)

    def read(self, now: float) -> GatewayTotals:
        """All totals up to now."""
        self._advance(now)
        return GatewayTotals(
            at_seconds=now,
            arrivals=self._arrivals,
            errors=self._errors,
            latencies=dict(self._latencies),
            in_flight=self._levels["in_flight"],
            in_flight_seconds=self._areas["in_flight"],
            busy_seconds=self._areas["busy"],
            ready_seconds=self._areas["ready"],
            alive_seconds=self._areas["alive"],
        )

    def _change(self, name: str, level: int, now: float) -> None:
        self._advance(now)
        self._levels[name] = level

    def _advance(self, now: float) -> None:
        span = max(0.0, now - self._last)
        for name, level in self._levels.items():
            self._areas[name] += level * span
        self._last = max(self._last, now)
