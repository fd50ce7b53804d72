"""Policies on one load, seed by seed: each sees the same requests, the same work and the same cold starts. Pure."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from everwarm_cli.loads import Load
from everwarm_cli.policies import Choice, PolicyName
from everwarm_cli.prices import DEFAULT, Price, price
from everwarm_planner.guardrails import Bounds
from everwarm_planner.plan import Planner
from everwarm_planner.policies import hpa, kpa
from everwarm_planner.policies.base import Policy
from everwarm_planner.policies.fixed import Fixed
from everwarm_planner.policies.hybrid import Hybrid
from everwarm_planner.policies.paper import Paper
from everwarm_planner.policies.schedule import Schedule, Window
from everwarm_simulator import report, run
from everwarm_simulator.bound import late, plan
from everwarm_simulator.bound.late import LateTable, Question
from everwarm_simulator.distributions import Lognormal
from everwarm_simulator.knative import Knative
from everwarm_simulator.kubernetes import HorizontalPods
from everwarm_simulator.planned import Planned
from everwarm_simulator.report import Interval, Report
from everwarm_simulator.run import Floor, Reactive, Run, Service
from everwarm_simulator.workload import Workload

# Knative's target utilisation over a floor that a policy of ours moves: its autoscaler adds replicas only for a load
# that the floor can't hold. At its default of 0.7 it would always ask for more than a floor that is just enough.
_BACKSTOP = 1.0


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
        price: of a replica, starting or ready.
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
    price: Price = field(default_factory=lambda: price(DEFAULT))

    def fixed(self, choice: Choice) -> int:
        """Replicas of the policy fixed."""
        return self.fixed_replicas if choice.value is None else int(choice.value)

    def service(self, choice: Choice) -> Service:
        """As the simulator wants it; every policy begins with what it keeps at least, and one replica."""
        cold, objective = Lognormal(self.cold_start_seconds, self.cold_start_sigma), self.objective_seconds
        most, initial = self.max_replicas, max(1, self.min_replicas)
        if choice.name is PolicyName.FIXED:
            most, initial = max(1, self.fixed(choice)), self.fixed(choice)
        return Service(self.concurrency, cold, most, initial, objective_seconds=objective)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One policy over all seeds; the run of the first seed is kept for a figure.

    Attributes:
        choice: the policy.
        reports: what it gave, by seed.
        first: the run of the first seed.
        regrets: its cost over that of a clairvoyant plan with as many late requests, by seed; `None`: not asked for.
    """

    choice: Choice
    reports: list[Report]
    first: Run
    regrets: list[float] | None = None

    @property
    def figures(self) -> dict[str, Interval]:
        """Means and intervals over the seeds, by the names of the report's attributes."""
        return report.over_seeds(self.reports)


def compare(
    setup: Setup, choices: Sequence[Choice], seeds: int, done: Callable[[], None], *, regret: bool = False
) -> Iterator[Outcome]:
    """Run each policy on each seed; `done` is called after each run.

    `regret` holds each run against what a clairvoyant plan pays, which takes as long again.
    """
    tables: dict[int, LateTable] = {}
    for choice in choices:
        runs: list[Run] = []
        reports, regrets = [], []
        for seed in range(seeds):
            load = setup.load.workload(np.random.default_rng([seed, 0]))
            reactive, floor = controls(choice, setup)
            result = run.simulate(load, setup.service(choice), reactive, floor, np.random.default_rng([seed, 1]))
            reports.append(report.of_run(result, setup.objective_seconds, warmup_seconds(load)))
            if regret:
                tables[seed] = tables.get(seed) or late.simulated(load, _question(setup, load))
                regrets.append(_regret(tables[seed], reports[-1], setup.cold_start_seconds))
            runs = runs or [result]
            done()
        yield Outcome(choice, reports, runs[0], regrets if regret else None)


def _question(setup: Setup, load: Workload) -> Question:
    begin = warmup_seconds(load)
    return Question(setup.objective_seconds, setup.concurrency, setup.max_replicas, begin_seconds=begin)


def _regret(table: LateTable, summed: Report, cold_start_seconds: float) -> float:
    """Mean replicas over those of the cheapest clairvoyant plan with as many late requests."""
    missed = round((1 - summed.attainment) * summed.requests)
    bound = plan.cheapest(table, cold_start_seconds, missed).bound_replica_seconds / float(table.seconds.sum())
    return summed.mean_replicas / bound if bound > 0 else math.inf


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
    target = (choice.value or 70.0) / 100 if choice.name is PolicyName.KPA else _BACKSTOP
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
