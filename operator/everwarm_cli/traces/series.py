"""What a trace is once it has been read: rates per interval with holes, or the times of single requests."""

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests per second, interval by interval; nan is a hole: nothing was measured there.

    Attributes:
        interval_seconds: length of each interval.
        per_second: mean rate in each.
        begin_seconds: unix time of the first; 0 where the trace does not say.
    """

    interval_seconds: float
    per_second: list[float]
    begin_seconds: float = 0.0

    @property
    def horizon_seconds(self) -> float:
        """From the first interval's begin to the last one's end."""
        return self.interval_seconds * len(self.per_second)

    @property
    def missing(self) -> int:
        """Intervals without a measurement."""
        return sum(map(math.isnan, self.per_second))

    @property
    def mean_per_second(self) -> float:
        """Over what was measured; 0 where nothing was."""
        known = [rate for rate in self.per_second if not math.isnan(rate)]
        return math.fsum(known) / len(known) if known else 0.0

    def between(self, begin_seconds: float, end_seconds: float) -> "Rates":
        """The intervals that begin within [begin, end), counted from the trace's own begin."""
        first = math.ceil(begin_seconds / self.interval_seconds - 1e-9)
        last = math.ceil(end_seconds / self.interval_seconds - 1e-9)
        part = self.per_second[max(0, first) : max(0, last)]
        return replace(self, per_second=part, begin_seconds=self.begin_seconds + first * self.interval_seconds)

    def scaled(self, factor: float) -> "Rates":
        """All rates times a factor."""
        return replace(self, per_second=[rate * factor for rate in self.per_second])


@dataclass(frozen=True, slots=True)
class Requests:
    """When each request came, in seconds from the first, in order.

    Attributes:
        at_seconds: the times.
        begin_seconds: unix time of the first; 0 where the trace does not say.
        service_seconds: how long each was computed, in the same order; `None` where the trace does not say.
    """

    at_seconds: list[float]
    begin_seconds: float = 0.0
    service_seconds: list[float] | None = None

    @property
    def horizon_seconds(self) -> float:
        """To the whole second after the last request."""
        return math.floor(self.at_seconds[-1]) + 1.0 if self.at_seconds else 0.0

    @property
    def mean_per_second(self) -> float:
        """Over the horizon."""
        return len(self.at_seconds) / self.horizon_seconds if self.at_seconds else 0.0


Trace = Rates | Requests
