"""The pattern of the load: three bursts with short breaks, a long silence, and so on; pure, seeded, Poisson arrivals.

It tells a story. The first burst after a silence finds nothing warm; the next ones come before the floor has gone down
again; the third needs more than one replica; in the long silence the floor goes down step by step.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

# Measuring made the first replica busy, for which the autoscaler started a second: its window passes first.
_FIRST_QUIET_SECONDS = 12.0
_BURST_SECONDS = 15.0
_BREAK_SECONDS = 15.0
# Longer than two windows of low utilisation (30 s each) and the autoscaler's own (10 s).
_SILENCE_SECONDS = 80.0
_JITTER = 0.1
# As parts of what one replica can answer. Two CPUs, which also run the load and the gateway, serve all of them.
BURST_REPLICAS = (0.6, 0.6, 1.1)


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of time with a constant mean rate, in units of what one replica can answer."""

    name: str
    seconds: float
    replicas: float


def phases(source: random.Random) -> Iterator[Phase]:
    """Quiet and burst in turn, without end."""

    def about(seconds: float) -> float:
        return seconds * source.uniform(1 - _JITTER, 1 + _JITTER)

    quiet_seconds = _FIRST_QUIET_SECONDS
    while True:
        for replicas in BURST_REPLICAS:
            yield Phase("quiet", quiet_seconds, 0.0)
            yield Phase("burst", about(_BURST_SECONDS), replicas)
            quiet_seconds = about(_BREAK_SECONDS)
        quiet_seconds = about(_SILENCE_SECONDS)


def arrivals(phase: Phase, capacity_per_second: float, source: random.Random) -> Iterator[float]:
    """When the requests of a phase come, in seconds from its beginning; `capacity_per_second` is of one replica."""
    rate_per_second = phase.replicas * capacity_per_second
    at = source.expovariate(rate_per_second) if rate_per_second else phase.seconds
    while at < phase.seconds:
        yield at
        at += source.expovariate(rate_per_second)
