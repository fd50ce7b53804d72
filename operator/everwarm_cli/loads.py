"""Where simulated requests come from: a pattern or a part of a trace -> workloads, and what came before that part.

What lies before the part that is played is not played: policies that learn may learn from it, as they would have.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from everwarm_cli.errors import CommandError
from everwarm_cli.options import Pattern
from everwarm_cli.traces import shipped
from everwarm_cli.traces.series import Rates, Requests, Trace
from everwarm_planner import wording
from everwarm_planner.history import Series
from everwarm_simulator import arrivals, workload
from everwarm_simulator.distributions import Lognormal
from everwarm_simulator.workload import Workload

_PATTERN_SECONDS = 3600.0
_STEP_SECONDS = 60.0  # of the history that single requests become
_TRACE_SECONDS = 86_400.0
_REQUESTS = 1_000_000  # of a run, where nobody says how many: some seconds
_MOST_REQUESTS = 100_000_000  # of a run, whoever says so: 8 GB


@dataclass(frozen=True, slots=True)
class Load:
    """Requests, and how much work they are.

    Attributes:
        source: a pattern, or the part of a trace that is played.
        service_seconds, service_sigma: work per request, lognormal.
        rate_per_second: mean rate of a pattern; bursts are ten times the rate for a tenth of the time.
        horizon_seconds: length of a pattern.
        dispersion: index of dispersion within the intervals of a trace of rates.
        scale: multiplies the rates of a trace; single requests are kept with this probability.
        history: rates before the part that is played, scaled; `None` where nothing is known.
    """

    source: Pattern | Trace
    service_seconds: float
    service_sigma: float
    rate_per_second: float = 10.0
    horizon_seconds: float = _PATTERN_SECONDS
    dispersion: float = 1.0
    scale: float = 1.0
    history: Series | None = None

    @property
    def begin_seconds(self) -> float:
        """Unix time of the first second that is played; 0 where nobody knows."""
        return 0.0 if isinstance(self.source, Pattern) else self.source.begin_seconds

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.horizon_seconds if isinstance(self.source, Pattern) else self.source.horizon_seconds

    @property
    def mean_per_second(self) -> float:
        """Over what was measured."""
        return self.rate_per_second if isinstance(self.source, Pattern) else self.source.mean_per_second * self.scale

    @property
    def requests(self) -> float:
        """How many are expected."""
        missing = self.source.missing * self.source.interval_seconds if isinstance(self.source, Rates) else 0.0
        return self.mean_per_second * (self.seconds - missing)

    def last(self, seconds: float) -> Self:
        """The end of the trace, the rest being history; a trace that is not longer is played as a whole."""
        if isinstance(self.source, Pattern) or seconds >= self.source.horizon_seconds:
            return self
        split = self.source.horizon_seconds - seconds
        if isinstance(self.source, Rates):
            before, after = self.source.between(0.0, split), self.source.between(split, self.source.horizon_seconds)
            return replace(self, source=after, history=_series(before, self.scale))
        at = [time for time in self.source.at_seconds if time < split]
        history = _series(per_interval(replace(self.source, at_seconds=at), split), self.scale) if at else None
        return replace(self, source=_after(self.source, split), history=history)

    def workload(self, generator: np.random.Generator) -> Workload:
        """Draw it."""
        service = Lognormal(self.service_seconds, self.service_sigma)
        if isinstance(self.source, Rates):
            rates = np.array(self.source.per_second) * self.scale
            return workload.of_rates(generator, rates, self.source.interval_seconds, service, self.dispersion)
        if isinstance(self.source, Requests):
            times = np.array(self.source.at_seconds)
            if self.scale < 1:
                times = times[generator.uniform(size=len(times)) < self.scale]
            return workload.of_arrivals(generator, times, service, self.source.horizon_seconds)
        horizon, rate = self.horizon_seconds, self.rate_per_second
        if self.source is Pattern.POISSON:
            times = arrivals.poisson(generator, rate, horizon)
        else:
            times = arrivals.on_off(generator, (10 * rate, 0.0), (30.0, 270.0), horizon)
        return workload.of_arrivals(generator, times, service, horizon)


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of a trace is played; `None`: as much as takes some seconds.

    Attributes:
        seconds: of its end.
        scale: of its rates.
        dispersion: within its intervals; of a shipped trace the measured one, else 1.
    """

    seconds: float | None = None
    scale: float | None = None
    dispersion: float | None = None


def of_trace(load: Load, name: str, column: str | None, extent: Extent) -> Load:
    """The end of a trace, a shipped one or a file: by default a day, and thinned to a million requests.

    Raises:
        CommandError: there is no such trace.
    """
    own = next((trace.dispersion for trace in shipped.TRACES if trace.name == name), 1.0)
    load = replace(load, source=shipped.read(name, column), dispersion=extent.dispersion or own)
    seconds = min(load.seconds, extent.seconds or _TRACE_SECONDS)
    expected = load.last(seconds).requests
    scale = extent.scale
    if scale is None:
        scale = 1.0 if extent.seconds is not None else min(1.0, _REQUESTS / max(1.0, expected))
    return replace(load, scale=scale).last(seconds)


def checked(load: Load, name: str, remedy: str) -> Load:
    """The load, if it can be played; `remedy` are the options that make it smaller.

    Raises:
        CommandError: it has no request, or too many, or is to have more single requests than there are.
    """
    requests, seconds = load.requests, wording.duration(load.seconds)
    if requests < 1:
        raise CommandError(f"No request of {name} lies in the {seconds} to play.", exit_code=2)
    if requests > _MOST_REQUESTS:
        many = f"{seconds} of {name} are {requests:.2g} requests, too many for one run"
        raise CommandError(f"{many}: give a {remedy}.", exit_code=2)
    if isinstance(load.source, Requests) and load.scale > 1:
        raise CommandError("--scale can't be over 1 where the trace has single requests.", exit_code=2)
    return load


def per_interval(requests: Requests, horizon_seconds: float) -> Rates:
    """Single requests as rates by the minute; the last minute only if it is whole."""
    minutes = int(horizon_seconds // _STEP_SECONDS)
    counts = np.bincount((np.array(requests.at_seconds) // _STEP_SECONDS).astype(int), minlength=minutes)[:minutes]
    return Rates(_STEP_SECONDS, (counts / _STEP_SECONDS).tolist(), requests.begin_seconds)


def _after(requests: Requests, split: float) -> Requests:
    at = [time - split for time in requests.at_seconds if time >= split]
    return Requests(at, requests.begin_seconds + split, None)


def _series(rates: Rates, scale: float) -> Series | None:
    scaled = tuple(rate * scale for rate in rates.per_second)
    return Series(rates.begin_seconds, rates.interval_seconds, scaled) if scaled else None
