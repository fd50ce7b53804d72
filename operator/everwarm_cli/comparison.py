"""Policies on one load, seed by seed: each sees the same requests, the same work and the same cold starts. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from everwarm_cli.loads import Load
from everwarm_cli.policies import Choice, PolicyName
from everwarm_planner.guardrails import Bounds
from everwarm_planner.plan import Planner
from everwarm_planner.policies import hpa, kpa
from everwarm_planner.policies.base import Policy
from everwarm_planner.policies.fixed import Fixed
from everwarm_planner.policies.hybrid import Hybrid
from everwarm_planner.policies.paper import Paper
from everwarm_planner.policies.schedule import Schedule, Window
from everwarm_simulator import report, run
from everwarm_simulator.distributions import Lognormal
from everwarm_simulator.knative import Knative
from everwarm_simulator.kubernetes import HorizontalPods
from everwarm_simulator.planned import Planned
from everwarm_simulator.report import Interval, Report
from everwarm_simulator.run import Floor, Reactive, Run, Service
from everwarm_simulator.workload import Workload


@dataclass(frozen=True, slots=True)
class Setup:
    """What is equal for all policies; seconds and replicas.

    Attributes:
        load: the requests.
        objective_seconds, objective_part: this part of the requests shall be answered within that time.
        cold_start_seconds, cold_start_sigma: from asking for a replica until it is ready, lognormal.
        concurrency: requests that one replica computes at once.
        min_replicas, max_replicas: what no policy leaves, but fixed.
        fixed_replicas: of the policy fixed, where it does not say itself.
        windows: of the policy schedule.
        interval_seconds: how often the planner decides.
        usd_per_replica_hour: what a replica costs, starting or ready.
    """

    load: Load
    objective_seconds: float
    cold_start_seconds: float
    concurrency: int = 1
    min_replicas: int = 1
    max_replicas: int = 50
    fixed_replicas: int = 5
    objective_part: float = 0.95
    cold_start_sigma: float = 0.3
    windows: tuple[Window, ...] = ()
    interval_seconds: int = 15
    usd_per_replica_hour: float = 0.05

    def fixed(self, choice: Choice) -> int:
        """Replicas of the policy fixed."""
        return self.fixed_replicas if choice.value is None else int(choice.value)

    def service(self, choice: Choice) -> Service:
        """As the simulator wants it; every policy begins with what it keeps at least, and one replica."""
        cold = Lognormal(self.cold_start_seconds, self.cold_start_sigma)
        if choice.name is PolicyName.FIXED:
            return Service(self.concurrency, cold, max(1, self.fixed(choice)), self.fixed(choice))
        return Service(self.concurrency, cold, self.max_replicas, max(1, self.min_replicas))


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One policy over all seeds; the run of the first seed is kept for a figure."""

    choice: Choice
    reports: list[Report]
    first: Run

    @property
    def figures(self) -> dict[str, Interval]:
        """Means and intervals over the seeds, by the names of the report's attributes."""
        return report.over_seeds(self.reports)


def compare(setup: Setup, choices: Sequence[Choice], seeds: int, done: Callable[[], None]) -> Iterator[Outcome]:
    """Run each policy on each seed; `done` is called after each run."""
    for choice in choices:
        runs: list[Run] = []
        reports = []
        for seed in range(seeds):
            load = setup.load.workload(np.random.default_rng([seed, 0]))
            reactive, floor = controls(choice, setup)
            result = run.simulate(load, setup.service(choice), reactive, floor, np.random.default_rng([seed, 1]))
            reports.append(report.of_run(result, setup.objective_seconds, warmup_seconds(load)))
            runs = runs or [result]
            done()
        yield Outcome(choice, reports, runs[0])


def warmup_seconds(load: Workload) -> float:
    """What is not counted, while policies find their first replicas: ten minutes, or a tenth of the load."""
    return min(600.0, load.horizon_seconds / 10)


def controls(choice: Choice, setup: Setup) -> tuple[Reactive | None, Floor | None]:
    """Who decides under this policy: an autoscaler, and who moves its floor."""
    if choice.name is PolicyName.HPA:
        target = (choice.value or 80.0) / 100
        pods = hpa.Settings(target, max(1, setup.min_replicas), setup.max_replicas)
        return HorizontalPods(pods, setup.concurrency), None
    planner, initial = _planner(choice, setup), setup.service(choice).initial_replicas
    floor = Planned(
        planner,
        setup.min_replicas if choice.name is PolicyName.KPA else initial,
        setup.interval_seconds,
        begin_seconds=setup.load.begin_seconds,
        history=setup.load.history,
    )
    if choice.name is PolicyName.FIXED:
        return None, floor
    target = (choice.value or 70.0) / 100 if choice.name is PolicyName.KPA else 0.7
    return Knative(kpa.Settings.of_concurrency(setup.concurrency, target), setup.max_replicas, initial), floor


def _planner(choice: Choice, setup: Setup) -> Planner:
    if choice.name is PolicyName.FIXED:
        replicas = setup.fixed(choice)
        return Planner(Fixed(replicas), Bounds(0, max(1, replicas)))
    return Planner(_policy(choice, setup), Bounds(setup.min_replicas, setup.max_replicas))


def _policy(choice: Choice, setup: Setup) -> Policy:
    part = choice.value if choice.name is PolicyName.HYBRID and choice.value else setup.objective_part
    hybrid = Hybrid(setup.objective_seconds, setup.concurrency, part, time_to_ready_seconds=setup.cold_start_seconds)
    match choice.name:
        case PolicyName.HYBRID:
            return hybrid
        case PolicyName.PAPER if choice.value is not None:
            return Paper(setup.objective_seconds, setup.concurrency, factor=choice.value)
        case PolicyName.PAPER:
            return Paper(setup.objective_seconds, setup.concurrency)
        case PolicyName.SCHEDULE:
            base = hybrid if choice.value else None
            return Schedule(setup.windows, base, lead_seconds=setup.cold_start_seconds)
        case _:
            return Fixed(setup.min_replicas)
