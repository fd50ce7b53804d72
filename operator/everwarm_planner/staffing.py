"""A rate and a latency objective -> replicas: queueing theory, its answers remembered for equal questions.

Figures are rounded up to steps of 1 to 5 % first. What is measured is not known better, 5,000 services of a cluster ask
the same questions again, and a floor that follows the last digit of a rate would move for nothing.
"""

import functools
import math

from everwarm_planner import queueing
from everwarm_planner.queueing import Traffic

_LOAD_STEP = 0.01
_STEP = 0.05
_LONGEST = 1e6  # service times that a request may wait: as good as for ever


def replicas(traffic: Traffic, target_seconds: float, late: float, concurrency: int) -> int:
    """The fewest replicas at which no more than this part of the requests is answered late.

    Where no number is enough, because the service alone takes too long too often, they are for twice as many late ones,
    or four times, and so on; they keep up with the load in any case.

    Args:
        traffic: what comes.
        target_seconds: from when on an answer is late.
        late: part of the requests, 0 to 1.
        concurrency: requests that one replica computes at once.
    """
    if traffic.load == 0:
        return 0
    servers = _servers(
        _up(traffic.load, _LOAD_STEP),
        _up(min(target_seconds / traffic.service_seconds, _LONGEST), -_LOAD_STEP),
        _up(traffic.service_variation, _STEP),
        _up(traffic.dispersion, _STEP),
        _up(late, -_STEP),
    )
    return math.ceil(max(servers, math.floor(traffic.load) + 1) / concurrency)


@functools.lru_cache(maxsize=65_536)
def _servers(load: float, target: float, variation: float, dispersion: float, late: float) -> int:
    """In units of the service time."""
    traffic = Traffic(load, 1.0, variation, dispersion)
    while late < 0.5:
        servers = queueing.least_servers(traffic, target, 1 - late)
        if servers is not None:
            return servers
        late *= 2
    return 0


def _up(value: float, step: float) -> float:
    """The next of the numbers that are `step` (part of one) apart; the one before where the step is negative."""
    if value <= 0:
        return 0.0
    distance = math.log1p(abs(step))
    place = math.log(value) / distance
    whole = math.ceil(place - 1e-9) if step > 0 else math.floor(place + 1e-9)
    return math.exp(whole * distance)
