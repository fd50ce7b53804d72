"""Durations -> the one that a part of them does not exceed."""

import math

import numpy as np

from everwarm_simulator.distributions import Seconds


def quantile(durations: Seconds, part: float) -> float:
    """The smallest duration that this part (over 0, up to 1) does not exceed; infinite ones allowed, nan without any.

    An order statistic, not an interpolation: half of the way to infinity is no latency.
    """
    if len(durations) == 0:
        return math.nan
    place = position(len(durations), part)
    return float(np.partition(durations, place)[place])


def quantiles(durations: Seconds, parts: tuple[float, ...]) -> tuple[float, ...]:
    """`quantile` of several parts at once, which costs little more than one."""
    if len(durations) == 0:
        return (math.nan,) * len(parts)
    places = [position(len(durations), part) for part in parts]
    ordered = np.partition(durations, sorted(set(places)))
    return tuple(float(ordered[place]) for place in places)


def position(count: int, part: float) -> int:
    """Where that duration stands among `count` sorted ones, from 0."""
    return max(0, math.ceil(part * count * (1 - 1e-12)) - 1)
