"""What comes at a service, complete before the simulation starts: when, how much work, and where nothing is known."""

from dataclasses import dataclass

import numpy as np

from everwarm_simulator import arrivals
from everwarm_simulator.distributions import Distribution, Seconds


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """Requests over a horizon. Equal workloads under two policies are one comparison: nothing is drawn later.

    Attributes:
        arrivals: when each request comes, sorted, seconds from 0.
        services: how long each keeps a slot busy, seconds.
        horizon_seconds: where the workload ends.
        holes: (begin, end) of what was not measured; there no policy decides and nothing is counted.

    Raises:
        ValueError: the parts do not fit together.
    """

    arrivals: Seconds
    services: Seconds
    horizon_seconds: float
    holes: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if len(self.arrivals) != len(self.services):
            raise ValueError(f"{len(self.arrivals)} arrivals can't have {len(self.services)} service times")
        if len(self.arrivals) and not (self.arrivals[0] >= 0 and self.arrivals[-1] < self.horizon_seconds):
            raise ValueError(f"all arrivals must be within 0 and {self.horizon_seconds} s")
        if np.any(np.diff(self.arrivals) < 0) or np.any(~(self.services > 0)):
            raise ValueError("arrivals must be sorted and service times over 0")

    def in_hole(self, at_seconds: float) -> bool:
        """Whether nothing was measured at this time."""
        return any(begin <= at_seconds < end for begin, end in self.holes)

    @property
    def offered_load(self) -> float:
        """Slots that would be busy on average if there were no queue (erlang)."""
        measured = self.horizon_seconds - sum(end - begin for begin, end in self.holes)
        return float(self.services.sum() / measured) if measured > 0 else 0.0


def of_arrivals(
    generator: np.random.Generator, times: Seconds, service: Distribution, horizon_seconds: float
) -> Workload:
    """Requests at known times (a pattern, a trace of single requests), their work drawn."""
    return Workload(times, service.draw(generator, len(times)), horizon_seconds)


def of_rates(
    generator: np.random.Generator,
    rates_per_second: Seconds,
    interval_seconds: float,
    service: Distribution,
    dispersion: float = 1.0,
) -> Workload:
    """Requests at measured rates; intervals whose rate is nan become holes."""
    times = arrivals.from_rates(generator, rates_per_second, interval_seconds, dispersion)
    horizon = interval_seconds * len(rates_per_second)
    holes = holes_of(rates_per_second, interval_seconds)
    return Workload(times, service.draw(generator, len(times)), horizon, holes)


def holes_of(rates_per_second: Seconds, interval_seconds: float) -> tuple[tuple[float, float], ...]:
    """(begin, end) in seconds of each run of intervals whose rate is nan."""
    missing = np.isnan(rates_per_second)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], missing, [False]]).astype(int)))
    return tuple(
        (float(begin * interval_seconds), float(end * interval_seconds))
        for begin, end in zip(edges[::2], edges[1::2], strict=True)
    )
