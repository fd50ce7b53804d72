"""Queueing theory: a load and a number of servers -> how long requests wait; a latency objective -> how many servers.

A server is one slot: replica x concurrency. Requests wait in one queue, first come first served.

    load a = rate x mean service time                                 in erlang: servers that are busy on average
    Erlang B:  B(0) = 1,  B(c) = a B(c-1) / (c + a B(c-1))            stable for any load
    Erlang C:  P(wait > 0) = c B / (c - a (1 - B))                    exact for M/M/c
    P(wait > t) = P(wait > 0) x exp(-(c - a) / service x t / v)       exact for M/M/c, where v = 1
    v = (arrival dispersion + squared variation of the service) / 2   Allen and Cunneen's factor

The mean wait is exact for M/G/1 too (Pollaczek and Khinchine); elsewhere the factor is an approximation that the
simulator is held against. Latency is wait plus service, the two independent; the service is taken as lognormal with the
mean and the variation that were measured.
"""

import bisect
import functools
import math
from dataclasses import dataclass
from statistics import NormalDist

_SERVERS_LIMIT = 1_000_000
_STRATA = 64  # parts of equal probability that the service time is cut into


@dataclass(frozen=True, slots=True)
class Traffic:
    """What comes, and how long it takes.

    Attributes:
        rate_per_second: mean arrivals.
        service_seconds: mean time that a request keeps a server busy.
        service_variation: variance of that time over its squared mean; 1 for exponential, 0 for a constant.
        dispersion: index of dispersion of the arrivals (variance over mean of the counts of a second); 1 for Poisson.

    Raises:
        ValueError: a figure has no meaning, for example a service time of 0.
    """

    rate_per_second: float
    service_seconds: float
    service_variation: float = 1.0
    dispersion: float = 1.0

    def __post_init__(self) -> None:
        for name in ("rate_per_second", "service_variation", "dispersion"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} can't be {value}")
        if not 0 < self.service_seconds < math.inf:
            raise ValueError(f"service_seconds must be over 0, not {self.service_seconds}")

    @property
    def load(self) -> float:
        """Servers that are busy on average (erlang)."""
        return self.rate_per_second * self.service_seconds

    @property
    def factor(self) -> float:
        """How much longer waits are than in M/M/c: Allen and Cunneen's v."""
        return (self.dispersion + self.service_variation) / 2

    def service_quantile(self, part: float) -> float:
        """The service time that this part of the requests does not exceed, taken as lognormal; seconds."""
        spread = math.log1p(self.service_variation)
        return self.service_seconds * math.exp(NormalDist().inv_cdf(part) * math.sqrt(spread) - spread / 2)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long requests wait at a number of servers; unstable (the load is not under it) means for ever."""

    traffic: Traffic
    servers: int
    probability: float

    @property
    def mean_seconds(self) -> float:
        """The mean wait, of those that do not wait too."""
        spare = self.servers - self.traffic.load
        if spare <= 0:
            return math.inf
        return self.probability * self.traffic.service_seconds / spare * self.traffic.factor

    def exceeds(self, seconds: float) -> float:
        """The part of the requests that wait for longer, 0 to 1."""
        if seconds < 0:
            return 1.0
        spare = self.servers - self.traffic.load
        if spare <= 0:
            return 1.0
        if self.traffic.factor == 0:
            return 0.0
        return self.probability * math.exp(-spare * seconds / self.traffic.service_seconds / self.traffic.factor)

    def quantile(self, part: float) -> float:
        """The wait that this part of the requests does not exceed; seconds."""
        missed = 1 - part
        spare = self.servers - self.traffic.load
        if spare <= 0:
            return math.inf
        if missed >= self.probability:
            return 0.0
        return math.log(self.probability / missed) * self.traffic.factor * self.traffic.service_seconds / spare

    def latency_exceeds(self, seconds: float) -> float:
        """The part of the requests whose wait and service together take longer, 0 to 1."""
        spare = self.servers - self.traffic.load
        if spare <= 0:
            return 1.0
        services = _services(self.traffic.service_seconds, self.traffic.service_variation)
        in_time = bisect.bisect_right(services, seconds)
        late = float(_STRATA - in_time)
        if self.traffic.factor > 0:
            decay = spare / self.traffic.service_seconds / self.traffic.factor
            late += self.probability * sum([math.exp(decay * (service - seconds)) for service in services[:in_time]])
        return late / _STRATA

    def latency_quantile(self, part: float) -> float:
        """The latency, wait and service, that this part of the requests does not exceed; seconds, to 0.1 %."""
        if self.servers <= self.traffic.load:
            return math.inf
        low, high = 0.0, self.traffic.service_seconds
        while self.latency_exceeds(high) > 1 - part:
            low, high = high, 2 * high
        while high - low > 1e-3 * high:
            middle = (low + high) / 2
            low, high = (middle, high) if self.latency_exceeds(middle) > 1 - part else (low, middle)
        return high


def waiting(traffic: Traffic, servers: int) -> Waiting:
    """What theory says of this traffic at this number of servers (over 0)."""
    if not 0 < servers <= _SERVERS_LIMIT:
        raise ValueError(f"servers must be within 1 and {_SERVERS_LIMIT}, not {servers}")
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = _erlang_b(number, traffic.load, blocked)
    return Waiting(traffic, servers, _erlang_c(servers, traffic.load, blocked))


def least_servers(traffic: Traffic, latency_seconds: float, part: float = 0.95) -> int | None:
    """The fewest servers at which this part of the requests is answered in time; 0 without traffic.

    `None` where no number helps, for the service alone takes too long too often; or more than a million.
    """
    if not 0 < part < 1:
        raise ValueError(f"a part of the requests is within 0 and 1, not {part}")
    if traffic.load == 0:
        return 0
    services = _services(traffic.service_seconds, traffic.service_variation)
    slow = sum(service > latency_seconds for service in services) / len(services)
    if slow > 1 - part or traffic.load > _SERVERS_LIMIT:
        return None
    blocked = [1.0]  # Erlang B by the number of servers, as far as it was needed

    def misses(servers: int) -> bool:
        while len(blocked) <= servers:
            blocked.append(_erlang_b(len(blocked), traffic.load, blocked[-1]))
        at = Waiting(traffic, servers, _erlang_c(servers, traffic.load, blocked[servers]))
        return at.latency_exceeds(latency_seconds) > 1 - part

    low, step = math.floor(traffic.load), 1  # at `low` the queue grows without end
    while misses(low + step):
        low, step = low + step, 2 * step
        if low > _SERVERS_LIMIT:
            return None
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if misses(middle) else (low, middle)
    return high


def _erlang_b(servers: int, load: float, one_fewer: float) -> float:
    return load * one_fewer / (servers + load * one_fewer)


def _erlang_c(servers: int, load: float, blocked: float) -> float:
    return 1.0 if load >= servers else servers * blocked / (servers - load * (1 - blocked))


@functools.lru_cache(maxsize=1024)
def _services(mean_seconds: float, variation: float) -> tuple[float, ...]:
    """The middles of parts of equal probability, longest last, scaled to the mean that was asked for."""
    traffic = Traffic(0.0, mean_seconds, variation)
    middles = [traffic.service_quantile((number + 0.5) / _STRATA) for number in range(_STRATA)]
    correction = mean_seconds * _STRATA / math.fsum(middles)
    return tuple(middle * correction for middle in middles)
