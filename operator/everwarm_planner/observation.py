"""What is known of one service at one instant, with units; and what it means not to know.

"Don't know" is a type of its own, `MissingObservation`, never a zero: a policy that confuses the two scales to the
minimum when Prometheus restarts (keda#3065).
"""

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Observation:
    """A complete reading. `None` marks a figure that has no value because no request finished in the window.

    The figures from `dispersion` on may be `None` where nobody measures them; then a policy does without.

    Attributes:
        at_seconds: when it was read, as unix time: a policy that looks at the clock or at the time of day needs that.
        rate_per_second: requests per second over the window, those that wait at zero replicas included.
        p95_seconds: 95th percentile of the request latency, waiting included; `None` without requests.
        service_seconds: mean time that one request keeps a replica's slot busy; `None` without requests.
        cold_start_fraction: part of the window's requests that found no warm replica, 0 to 1.
        utilization: busy slots / (ready replicas x concurrency), 0 to 1; `None` without ready replicas.
        ready_replicas: replicas that can answer now.
        in_flight: requests accepted and not yet answered, those that wait at zero replicas included.
        dispersion: index of dispersion of the arrivals: variance over mean of the counts of one second; 1 for Poisson.
        service_variation: squared coefficient of variation of the service time: variance over squared mean.
        starting_replicas: replicas that were asked for and are not ready yet.
        time_to_ready_seconds: from asking for a replica until it answers, an upper quantile of what was measured.
        recent_rate_per_second: as `rate_per_second`, over the shortest span that can be measured.
        late_fraction: part of the requests that finished in the window later than the objective's latency, 0 to 1.
    """

    at_seconds: float
    rate_per_second: float
    p95_seconds: float | None
    service_seconds: float | None
    cold_start_fraction: float
    utilization: float | None
    ready_replicas: int
    in_flight: float
    dispersion: float | None = None
    service_variation: float | None = None
    starting_replicas: int = 0
    time_to_ready_seconds: float | None = None
    recent_rate_per_second: float | None = None
    late_fraction: float | None = None


class MissingReason(enum.StrEnum):
    """Why nothing is known."""

    UNREACHABLE = "PrometheusUnreachable"
    EMPTY = "NoSeries"
    STALE = "StaleSamples"
    INVALID = "InvalidSamples"


@dataclass(frozen=True, slots=True)
class MissingObservation:
    """Nothing is known at this instant; `detail` is a sentence for a person."""

    at_seconds: float
    reason: MissingReason
    detail: str
