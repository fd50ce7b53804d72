"""The loads that policies are compared on: a name and a seed -> requests of a day, and the rates of the days before.

Two sets that share no day: `tuning`, on which constants may be chosen, and `reported`, on which they are judged.

ServeGen's models are replayed client by client. Of the other traces only counts per interval are known; within one,
each second's rate is Gamma distributed with the dispersion given here. All rates are scaled to a load of about ten
replicas.
"""

import csv
import functools
import gzip
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from everwarm_cli.traces import shipped
from everwarm_cli.traces.series import Rates
from everwarm_planner.history import Series
from everwarm_simulator import arrivals, workload
from everwarm_simulator.distributions import Lognormal, Seconds
from everwarm_simulator.workload import Workload

WORK = Lognormal(0.2, 0.47)  # of one request, seconds; its 95th percentile is about twice the mean
OBJECTIVE_SECONDS = 0.6
DAY_SECONDS = 86400.0
HISTORY_DAYS = 7
_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Scenario:
    """Days of a trace.

    Attributes:
        name: as it is printed.
        trace: a shipped trace.
        first_day, days: which days are played, from 0.
        scale: multiplies the rates.
        dispersion: of the counts of one second within an interval (traces without clients); of the counts of one
            minute in the days before (all).
        clients: replay client by client.
    """

    name: str
    trace: str
    first_day: int
    days: int
    scale: float
    dispersion: float
    clients: bool = False

    @property
    def begin_seconds(self) -> float:
        """Unix time of the first request: the trace's day, as if it had begun with the epoch."""
        return self.first_day * DAY_SECONDS

    def workload(self, seed: int, horizon_seconds: float | None = None) -> Workload:
        """Draw the requests and their work; `horizon_seconds` cuts it short."""
        horizon = self.days * DAY_SECONDS if horizon_seconds is None else horizon_seconds
        generator = np.random.default_rng([seed, 0])
        rates = _rates(self.trace).between(self.begin_seconds, self.begin_seconds + horizon).scaled(self.scale)
        per_second = np.array(rates.per_second)
        if not self.clients:
            return workload.of_rates(generator, per_second, rates.interval_seconds, WORK, self.dispersion)
        rows = _clients(self.trace, self.begin_seconds, horizon)
        scaled = arrivals.Renewals(rows.begins, rows.rates * self.scale, rows.shapes, rows.weibull, rows.length_seconds)
        holes = workload.holes_of(per_second, rates.interval_seconds)
        times = _outside(arrivals.from_clients(generator, scaled, horizon), holes)
        return Workload(times, WORK.draw(generator, len(times)), horizon, holes)

    def history(self) -> Series:
        """Requests per second of the seven days before, minute by minute; drawn where only longer means are known."""
        begin = max(0.0, self.begin_seconds - HISTORY_DAYS * DAY_SECONDS)
        rates = _rates(self.trace).between(begin, self.begin_seconds).scaled(self.scale)
        repeat = round(rates.interval_seconds / 60)
        minutes = np.repeat(np.array(rates.per_second), repeat) * 60
        known = np.nan_to_num(minutes)
        spread = max(self.dispersion, 1.0 + 1e-9) - 1
        drawn = np.random.default_rng(0).gamma(known / spread, spread)
        values = np.where(np.isnan(minutes), math.nan, drawn / 60)
        return Series(begin, 60.0, tuple(values.tolist()))


TUNING = (
    Scenario("m-mid, day 10", "servegen-m-mid", 10, 1, 1 / 40, 110.0, clients=True),
    Scenario("m-large, day 6", "servegen-m-large", 6, 1, 1 / 4, 4.0, clients=True),
    Scenario("load balancer, day 7", "nab-elb", 7, 1, 200.0, 4.0),
    Scenario("mentions, day 20", "nab-twitter-goog", 20, 1, 500.0, 4.0),
)
REPORTED = (  # the last whole day of each
    Scenario("ServeGen m-large", "servegen-m-large", 13, 1, 1 / 4, 3.0, clients=True),
    Scenario("ServeGen m-small", "servegen-m-small", 13, 1, 1 / 24, 4.5, clients=True),
    Scenario("load balancer", "nab-elb", 13, 1, 200.0, 4.0),
    Scenario("app servers", "appserver", 181, 1, 1.0, 4.0),
)


@functools.cache
def _rates(trace: str) -> Rates:
    read = shipped.find(trace).read()
    if not isinstance(read, Rates):
        raise TypeError(f"{trace} is a trace of single requests")
    return read


@functools.cache
def _clients(trace: str, begin_seconds: float, horizon_seconds: float) -> arrivals.Renewals:
    path = _DATA / f"{trace.replace('servegen-', 'servegen_clients_')}.csv.gz"
    with gzip.open(path, "rt", newline="") as file:
        lines = [row for row in csv.DictReader(file) if 0 <= float(row["t_seconds"]) - begin_seconds < horizon_seconds]
    if not lines:
        raise ValueError(f"{path.name} knows nothing of the days from {begin_seconds / DAY_SECONDS:g} on")

    def column(name: str) -> Seconds:
        return np.array([float(line[name]) for line in lines])

    weibull = np.array([line["gaps"] == "W" for line in lines])
    begins = column("t_seconds") - begin_seconds
    return arrivals.Renewals(begins, column("rate_per_second"), column("shape"), weibull, 600.0)


def _outside(times: Seconds, holes: tuple[tuple[float, float], ...]) -> Seconds:
    for begin, end in holes:
        times = times[(times < begin) | (times >= end)]
    return times
