"""What is known of one service at one instant, with units; and what it means not to know.

"Don't know" is a type of its own, `MissingObservation`, never a zero: a policy that confuses the two scales to the
minimum when Prometheus restarts (keda#3065).
"""

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Observation:
    """A complete reading. `None` marks a figure that has no value because no request finished in the window.

    Attributes:
        at_seconds: when it was read; only differences matter.
        rate_per_second: requests per second over the window, those that wait at zero replicas included.
        p95_seconds: 95th percentile of the request latency, waiting included; `None` without requests.
        service_seconds: mean time that one request keeps a replica's slot busy; `None` without requests.
        cold_start_fraction: part of the window's requests that found no warm replica, 0 to 1.
        utilization: busy slots / (ready replicas x concurrency), 0 to 1; `None` without ready replicas.
        ready_replicas: replicas that can answer now.
        in_flight: requests accepted and not yet answered, those that wait at zero replicas included.
    """

    at_seconds: float
    rate_per_second: float
    p95_seconds: float | None
    service_seconds: float | None
    cold_start_fraction: float
    utilization: float | None
    ready_replicas: int
    in_flight: float


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
