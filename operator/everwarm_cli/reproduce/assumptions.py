"""What Naayini 2024 leaves open and somebody has to choose: every parameter of the reproduction, in one place.

The paper gives no workload, rate, duration, memory size, seed, tick or price date. These values are ours; they are one
consistent set under which its headline figures come out, not the only one.
"""

from dataclasses import dataclass

SECONDS_PER_MONTH = 730 * 3600


@dataclass(frozen=True, slots=True)
class Assumptions:
    """The preset `paper`.

    Attributes:
        busy_rate_per_second, quiet_rate_per_second: Poisson arrivals in the two kinds of phases.
        busy_seconds, quiet_seconds: mean lengths of the phases (exponential).
        service_seconds, service_sigma: warm work of a request, lognormal.
        initialisation_low_seconds, initialisation_high_seconds: the paper's cold start on Lambda, uniform.
        expiry_seconds: an instance that idled for this long is gone. Lambda keeps them for minutes: this is short.
        lead_seconds: until a provisioned instance is warm.
        interval_seconds: how often Algorithm 1 decides.
        window_seconds: what it looks back on.
        target_p95_seconds: its "p95 > target".
        low_utilization_seconds: its "consistently": three decisions.
        least_provisioned: its "floor of 1 or 2".
        memory_gb: of a function.
    """

    busy_rate_per_second: float = 5.0
    quiet_rate_per_second: float = 0.2
    busy_seconds: float = 60.0
    quiet_seconds: float = 240.0
    service_seconds: float = 0.2
    service_sigma: float = 0.215
    initialisation_low_seconds: float = 0.4
    initialisation_high_seconds: float = 0.8
    expiry_seconds: float = 5.0
    lead_seconds: float = 5.0
    interval_seconds: int = 15
    window_seconds: int = 60
    target_p95_seconds: float = 0.3
    low_utilization_seconds: float = 45.0
    least_provisioned: int = 1
    memory_gb: float = 2.0

    @property
    def mean_rate_per_second(self) -> float:
        """Over both kinds of phases."""
        busy, quiet = self.busy_rate_per_second * self.busy_seconds, self.quiet_rate_per_second * self.quiet_seconds
        return (busy + quiet) / (self.busy_seconds + self.quiet_seconds)


PAPER = Assumptions()


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is simulated.

    Attributes:
        seeds: independent runs.
        hours: of the load, for each.
    """

    seeds: int
    hours: float


@dataclass(frozen=True, slots=True)
class Efforts:
    """For the headline, and for all the rest."""

    headline: Effort
    rest: Effort


FULL = Efforts(Effort(10, 24.0), Effort(5, 8.0))
QUICK = Efforts(Effort(3, 4.0), Effort(3, 1.0))
