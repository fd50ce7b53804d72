"""Policies on one load, seed by seed: each sees the same requests, the same work and the same cold starts."""

import math
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
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

_KNATIVES_OWN = 70.0  # target utilisation, percent
_MUCH_REQUESTS = 1_000_000  # in all runs together: some seconds, of which a process takes one to begin


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
        knative_target: target utilisation in percent of Knative's autoscaler over the floors that policies move. At
            Knative's own 70 it asks for half again as many replicas as are busy, whatever the floor; at 100 it adds
            some only for a load that the floor can't hold.
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
    knative_target: float = _KNATIVES_OWN

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


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """One policy on one seed; the run is kept of the first seed alone, for a figure."""

    report: Report
    regret: float | None
    run: Run | None


def compare(
    setup: Setup, choices: Sequence[Choice], seeds: int, done: Callable[[int], None], *, regret: bool = False
) -> list[Outcome]:
    """Run each policy on each seed; `done` is called with the number of runs after some of them.

    `regret` holds each run against what a clairvoyant plan pays, which takes as long again. Where there is much to
    play, seeds are played in as many processes as there are CPUs; what comes out is the same.
    """
    tasks = [Task(setup, tuple(choices), seed, regret) for seed in range(seeds)]
    processes = min(seeds, os.cpu_count() or 1)
    if processes == 1 or setup.load.requests * len(choices) * seeds < _MUCH_REQUESTS:
        played = [list(map(_counted(done), _each(task))) for task in tasks]
    else:
        with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
            futures = [pool.submit(play, task) for task in tasks]
            for _ in as_completed(futures):
                done(len(choices))
            played = [future.result() for future in futures]
    return [_outcome(choice, [one[number] for one in played]) for number, choice in enumerate(choices)]


@dataclass(frozen=True, slots=True)
class Task:
    """Some policies on one seed."""

    setup: Setup
    choices: tuple[Choice, ...]
    seed: int
    regret: bool


def play(task: Task) -> list[Played]:
    """Play one seed; requests are drawn once, all policies see the same."""
    return list(_each(task))


def _each(task: Task) -> Iterator[Played]:
    setup, seed = task.setup, task.seed
    load = setup.load.workload(np.random.default_rng([seed, 0]))
    table = late.simulated(load, _question(setup, load)) if task.regret else None
    for choice in task.choices:
        reactive, floor = controls(choice, setup)
        result = run.simulate(load, setup.service(choice), reactive, floor, np.random.default_rng([seed, 1]))
        summed = report.of_run(result, setup.objective_seconds, warmup_seconds(load))
        regret = None if table is None else _regret(table, summed, setup.cold_start_seconds)
        yield Played(summed, regret, result if seed == 0 else None)


def _counted(done: Callable[[int], None]) -> Callable[[Played], Played]:
    def count(played: Played) -> Played:
        done(1)
        return played

    return count


def _outcome(choice: Choice, played: Sequence[Played]) -> Outcome:
    first = next(one.run for one in played if one.run is not None)
    regrets = [one.regret for one in played if one.regret is not None]
    return Outcome(choice, [one.report for one in played], first, regrets or None)


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
    target = (choice.value or _KNATIVES_OWN if choice.name is PolicyName.KPA else setup.knative_target) / 100
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
