"""What a backtest is asked: whose past, and what a request of it is. Values only.

`None` leaves it to the source, or to a default.
"""

import datetime as dt
from dataclasses import dataclass

from everwarm_cli.prometheus.access import Access


@dataclass(frozen=True, slots=True)
class Question:
    """Whose past.

    Attributes:
        trace, column: a shipped trace or a file, and its series.
        access: a Prometheus.
        service, query: whose past is asked of it, or with which expression.
        since_seconds: how long the past is.
        until: its end, UTC without saying so; now.
        step_seconds: of the question to Prometheus.
        test_seconds: what is played, at the end of the past.
    """

    trace: str | None = None
    column: str | None = None
    access: Access | None = None
    service: str | None = None
    query: str | None = None
    since_seconds: float = 14 * 86_400.0
    until: dt.datetime | None = None
    step_seconds: int = 60
    test_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What a request is.

    Attributes:
        service_seconds, service_sigma: its work, lognormal.
        dispersion: of the arrivals within an interval.
        scale: of their rates.
    """

    service_seconds: float | None = None
    service_sigma: float = 0.47
    dispersion: float | None = None
    scale: float = 1.0
