"""Figure 2: one server against function instances, the rate rising until the server can't keep up any more."""

from dataclasses import dataclass

import numpy as np

from everwarm_cli.reproduce.assumptions import PAPER, Effort
from everwarm_simulator import arrivals, functions, report, run, workload
from everwarm_simulator.distributions import Lognormal, Uniform
from everwarm_simulator.functions import Functions
from everwarm_simulator.quantiles import quantile
from everwarm_simulator.report import Interval
from everwarm_simulator.run import Service

RATES_PER_SECOND = (0.5, 1.0, 2.0, 3.0, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0, 9.0, 10.0)
EXPIRY_SECONDS = 600.0  # of Lambda's order
HORIZON_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Point:
    """p95 latency at one rate, seconds, over the seeds."""

    rate_per_second: float
    single_seconds: Interval
    serverless_seconds: Interval


def point(rate: float, effort: Effort) -> Point:
    """Half an hour at a rate; at and over its capacity the single server's latency grows with that half hour."""
    single, serverless = [], []
    cold = Uniform(PAPER.initialisation_low_seconds, PAPER.initialisation_high_seconds)
    for seed in range(effort.seeds):
        generator = np.random.default_rng([seed, 0])
        times = arrivals.poisson(generator, rate, HORIZON_SECONDS)
        work = Lognormal(PAPER.service_seconds, PAPER.service_sigma)
        load = workload.of_arrivals(generator, times, work, HORIZON_SECONDS)
        alone = run.simulate(load, Service(1, cold, 1, 1), None, None, np.random.default_rng([seed, 1]))
        elastic = functions.simulate(load, Functions(cold, EXPIRY_SECONDS), None, np.random.default_rng([seed, 1]))
        single.append(quantile(alone.latencies, 0.95))
        serverless.append(quantile(elastic.latencies, 0.95))
    return Point(rate, report.interval(single), report.interval(serverless))
