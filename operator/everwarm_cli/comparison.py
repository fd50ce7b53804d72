"""Policies on one load, seed by seed: each sees the same requests, the same work and the same cold starts. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from everwarm_cli.options import Pattern, PolicyName
from everwarm_cli.traces import Rates, Requests
from everwarm_planner.guardrails import Bounds
from everwarm_planner.plan import Planner
from everwarm_planner.policies import hpa, kpa
from everwarm_planner.policies.fixed import Fixed
from everwarm_planner.policies.paper import Paper
from everwarm_simulator import arrivals, report, run, workload
from everwarm_simulator.distributions import Lognormal
from everwarm_simulator.knative import Knative
from everwarm_simulator.kubernetes import HorizontalPods
from everwarm_simulator.planned import Planned
from everwarm_simulator.report import Report
from everwarm_simulator.run import Floor, Reactive, Run, Service
from everwarm_simulator.workload import Workload


@dataclass(frozen=True, slots=True)
class Load:
    """Where requests come from, and how much work they are.

    Attributes:
        source: a pattern, or what a trace file holds.
        rate_per_second: mean rate of a pattern; bursts are ten times the rate for a tenth of the time.
        horizon_seconds: length of a pattern, or what is taken of a trace; `None`: all of it.
        dispersion: index of dispersion within the intervals of a trace of rates.
        scale: multiplies the rates of a trace; of single requests it keeps this part at most all.
        service_seconds, service_sigma: work per request, lognormal.
    """

    source: Pattern | Rates | Requests
    rate_per_second: float
    horizon_seconds: float | None
    dispersion: float
    scale: float
    service_seconds: float
    service_sigma: float

    def workload(self, generator: np.random.Generator) -> Workload:
        """Draw it."""
        service = Lognormal(self.service_seconds, self.service_sigma)
        if isinstance(self.source, Rates):
            rates = np.array(self.source.per_second) * self.scale
            if self.horizon_seconds is not None:
                rates = rates[: max(1, int(self.horizon_seconds / self.source.interval_seconds))]
            return workload.of_rates(generator, rates, self.source.interval_seconds, service, self.dispersion)
        if isinstance(self.source, Requests):
            times = np.array(self.source.at_seconds)
            times = times[generator.uniform(size=len(times)) < self.scale]
            horizon = self.horizon_seconds or float(self.source.at_seconds[-1]) + 1.0
            return workload.of_arrivals(generator, times[times < horizon], service, horizon)
        horizon, rate = self.horizon_seconds or 3600.0, self.rate_per_second
        if self.source is Pattern.POISSON:
            times = arrivals.poisson(generator, rate, horizon)
        else:
            times = arrivals.on_off(generator, (10 * rate, 0.0), (30.0, 270.0), horizon)
        return workload.of_arrivals(generator, times, service, horizon)


@dataclass(frozen=True, slots=True)
class Setup:
    """What is equal for all policies; seconds and replicas."""

    load: Load
    objective_seconds: float
    cold_start_seconds: float
    cold_start_sigma: float
    concurrency: int
    min_replicas: int
    max_replicas: int
    fixed_replicas: int

    def service(self, policy: PolicyName) -> Service:
        """As the simulator wants it; every policy begins with what it keeps at least, and one replica."""
        cold = Lognormal(self.cold_start_seconds, self.cold_start_sigma)
        initial = self.fixed_replicas if policy is PolicyName.FIXED else max(1, self.min_replicas)
        return Service(self.concurrency, cold, self.max_replicas, initial)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One policy over all seeds; the run of the first seed is kept for a figure."""

    policy: PolicyName
    reports: list[Report]
    first: Run


def compare(setup: Setup, policies: list[PolicyName], seeds: int, done: Callable[[], None]) -> Iterator[Outcome]:
    """Run each policy on each seed; `done` is called after each run."""
    loads = [setup.load.workload(np.random.default_rng([seed, 0])) for seed in range(seeds)]
    for policy in policies:
        runs: list[Run] = []
        reports = []
        for seed, load in enumerate(loads):
            reactive, floor = controls(policy, setup)
            result = run.simulate(load, setup.service(policy), reactive, floor, np.random.default_rng([seed, 1]))
            reports.append(report.of_run(result, setup.objective_seconds, warmup_seconds(load)))
            runs = runs or [result]
            done()
        yield Outcome(policy, reports, runs[0])


def warmup_seconds(load: Workload) -> float:
    """What is not counted, while policies find their first replicas: ten minutes, or a tenth of the load."""
    return min(600.0, load.horizon_seconds / 10)


def controls(policy: PolicyName, setup: Setup) -> tuple[Reactive | None, Floor | None]:
    """Who decides under this policy: an autoscaler, and who moves its floor."""
    initial = setup.service(policy).initial_replicas
    knative = Knative(kpa.Settings.of_concurrency(setup.concurrency), setup.max_replicas, initial)
    bounds = Bounds(setup.min_replicas, setup.max_replicas)
    if policy is PolicyName.HPA:
        pods = hpa.Settings(0.8, max(1, setup.min_replicas), setup.max_replicas)
        return HorizontalPods(pods, setup.concurrency), None
    if policy is PolicyName.PAPER:
        planner = Planner(Paper(setup.objective_seconds, setup.concurrency), bounds)
        return knative, Planned(planner, initial)
    if policy is PolicyName.FIXED:
        planner = Planner(Fixed(setup.fixed_replicas), Bounds(0, setup.max_replicas))
        return None, Planned(planner, setup.fixed_replicas)
    return knative, Planned(Planner(Fixed(setup.min_replicas), bounds), setup.min_replicas)
