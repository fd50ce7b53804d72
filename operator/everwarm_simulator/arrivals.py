"""When requests arrive: a pattern or measured rates, and a generator -> sorted times in seconds from 0.

A rate of nan is a hole: nothing was measured there. A hole is not a time without traffic: `workload.Workload` keeps the
two apart.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from everwarm_simulator.distributions import Seconds

_UNDER_ONE = 1 - 1e-9  # of an interval: a last gap that rounds to nothing does not move a request into the next
_LEAST_SHAPE = 0.01  # of a Gamma or Weibull gap; under it all requests of an interval come at one instant


def poisson(generator: np.random.Generator, rate_per_second: float, horizon_seconds: float) -> Seconds:
    """Independent arrivals at a constant rate: given their number, they are uniform over the horizon."""
    count = generator.poisson(rate_per_second * horizon_seconds)
    return _sorted_before(generator.uniform(0.0, horizon_seconds, count), horizon_seconds)


def on_off(
    generator: np.random.Generator,
    rates_per_second: tuple[float, float],
    mean_lengths_seconds: tuple[float, float],
    horizon_seconds: float,
) -> Seconds:
    """Bursts: phases of two kinds in turn, beginning with the second (quiet) one, each of exponential length.

    `rates_per_second` and `mean_lengths_seconds` are those of the busy and of the quiet phases.
    """
    parts: list[Seconds] = []
    begin, busy = 0.0, False
    while begin < horizon_seconds:
        kind = 0 if busy else 1
        length = min(generator.exponential(mean_lengths_seconds[kind]), horizon_seconds - begin)
        parts.append(begin + poisson(generator, rates_per_second[kind], length))
        begin, busy = begin + length, not busy
    return _sorted_before(np.concatenate(parts), horizon_seconds)


def from_rates(
    generator: np.random.Generator, rates_per_second: Seconds, interval_seconds: float, dispersion: float = 1.0
) -> Seconds:
    """Arrivals whose rate is known interval by interval; none in an interval whose rate is nan.

    `dispersion` is the index of dispersion of the counts of one second (variance over mean): 1 gives Poisson arrivals,
    more makes each second's own rate Gamma distributed around the interval's, so that the counts are negative binomial.

    Raises:
        ValueError: a rate is negative or infinite, or the dispersion is under 1.
    """
    if dispersion < 1:
        raise ValueError(f"an index of dispersion under 1 is not modelled: {dispersion}")
    if np.any(rates_per_second < 0) or np.any(np.isinf(rates_per_second)):
        raise ValueError("rates must be finite and not negative; nan marks what was not measured")
    horizon = interval_seconds * len(rates_per_second)
    seconds = max(1, math.ceil(horizon))
    middles = np.minimum(np.arange(seconds) + 0.5, horizon)
    intervals = np.minimum(middles // interval_seconds, len(rates_per_second) - 1).astype(int)
    means = np.nan_to_num(rates_per_second)[intervals]
    if dispersion > 1:
        means = generator.gamma(means / (dispersion - 1), dispersion - 1)
    counts = generator.poisson(means)
    times = np.repeat(np.arange(seconds, dtype=np.float64), counts) + generator.uniform(0.0, 1.0, int(counts.sum()))
    kept = times[times < horizon]
    inside = ~np.isnan(rates_per_second[(kept // interval_seconds).astype(int)])
    return _sorted_before(kept[inside], horizon)


@dataclass(frozen=True, slots=True, eq=False)
class Renewals:
    """What clients sent, one row per client and interval (ServeGen, arXiv:2505.09999).

    Attributes:
        begins: where the interval begins, seconds.
        rates: the client's mean rate in it, per second.
        shapes: of the distribution of the gaps between its requests; 1: exponential, less: bursts.
        weibull: whether the gaps are Weibull distributed; Gamma where not.
        length_seconds: of each interval.
    """

    begins: Seconds
    rates: Seconds
    shapes: Seconds
    weibull: npt.NDArray[np.bool_]
    length_seconds: float


def from_clients(generator: np.random.Generator, clients: Renewals, horizon_seconds: float) -> Seconds:
    """Arrivals of many clients, each with gaps of its own kind.

    A client sends as many requests in an interval as were measured (a fraction is drawn); its gaps are drawn, and
    stretched so that they fill the interval. So the rates are the trace's, and the bursts within are the client's.
    """
    counts = np.floor(clients.rates * clients.length_seconds + generator.uniform(0.0, 1.0, len(clients.rates)))
    gaps_each = counts.astype(np.int64) + 1  # the last one leads to the interval's end
    row = np.repeat(np.arange(len(gaps_each)), gaps_each)
    shapes = np.maximum(clients.shapes, _LEAST_SHAPE)[row]
    gaps = np.where(clients.weibull[row], generator.weibull(shapes), generator.standard_gamma(shapes))
    ends = np.cumsum(gaps_each)
    reached = np.cumsum(gaps)
    before = np.concatenate([[0.0], reached[ends[:-1] - 1]])
    sums = np.maximum(reached[ends - 1] - before, np.finfo(np.float64).tiny)  # gaps that are all zero stay so
    parts = (reached - before[row]) / sums[row]
    inside = np.ones(len(gaps), dtype=np.bool_)
    inside[ends - 1] = False
    times = (clients.begins[row] + np.minimum(parts, _UNDER_ONE) * clients.length_seconds)[inside]
    return _sorted_before(times, horizon_seconds)


def index_of_dispersion(arrivals: Seconds, horizon_seconds: float) -> float:
    """Variance over mean of the counts of whole seconds: 1 for Poisson arrivals; nan without any."""
    counts = np.bincount(arrivals[arrivals < math.floor(horizon_seconds)].astype(int), minlength=int(horizon_seconds))
    mean = counts.mean() if len(counts) else 0.0
    return float(counts.var() / mean) if mean > 0 else math.nan


def _sorted_before(times: Seconds, horizon_seconds: float) -> Seconds:
    """In order; begin + length may round up to the horizon itself, which is outside."""
    times.sort()
    return times[times < horizon_seconds]
