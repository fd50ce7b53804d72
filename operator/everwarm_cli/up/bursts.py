"""The pattern of the load: quiet, burst, quiet, ... with random lengths and Poisson arrivals. Pure and seeded."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

# Measuring made the first replica busy, for which the autoscaler started a second: its window passes first.
_FIRST_QUIET_SECONDS = 12.0
_BURST_SECONDS = (14.0, 22.0)
_QUIET_SECONDS = (12.0, 24.0)
# As a part of what one replica can answer: it saturates one; two can serve it, on two CPUs that also run the load.
BURST_REPLICAS = 1.3
_QUIET_REPLICAS = 0.08


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of time with a constant mean rate, in units of what one replica can answer."""

    name: str
    seconds: float
    replicas: float


def phases(source: random.Random) -> Iterator[Phase]:
    """Quiet and burst in turn, without end."""
    yield Phase("quiet", _FIRST_QUIET_SECONDS, _QUIET_REPLICAS)
    while True:
        yield Phase("burst", source.uniform(*_BURST_SECONDS), BURST_REPLICAS)
        yield Phase("quiet", source.uniform(*_QUIET_SECONDS), _QUIET_REPLICAS)


def arrivals(phase: Phase, capacity_per_second: float, source: random.Random) -> Iterator[float]:
    """When the requests of a phase come, in seconds from its beginning; `capacity_per_second` is of one replica."""
    at = source.expovariate(phase.replicas * capacity_per_second)
    while at < phase.seconds:
        yield at
        at += source.expovariate(phase.replicas * capacity_per_second)
