"""Contenders on loads -> what each gave, what it cost, and its regret to the clairvoyant bound; in several processes.

A task is one load (a scenario and a seed): it is drawn once, and all contenders and cold starts see the same requests.
"""

import json
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass

import numpy as np
from bench.provisioning.contenders import MAX_REPLICAS, Contender
from bench.provisioning.scenarios import OBJECTIVE_SECONDS, Scenario

from everwarm_simulator import report, run
from everwarm_simulator.bound import late, plan
from everwarm_simulator.bound.late import LateTable, Question
from everwarm_simulator.distributions import Lognormal
from everwarm_simulator.run import Service
from everwarm_simulator.workload import Workload

COLD_START_SIGMA = 0.3
WARM_UP_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Task:
    """One load, and all that is to run on it: (mean cold start in seconds, contender)."""

    scenario: Scenario
    seed: int
    runs: tuple[tuple[float, Contender], ...]
    horizon_seconds: float | None
    bound: bool


@dataclass(frozen=True, slots=True)
class Result:
    """What one run gave.

    Attributes:
        attainment: part of the requests within the objective.
        mean_replicas: paid on average, starting ones included.
        bound_replicas: what a clairvoyant plan pays on average for as many late requests; nan where not asked for.
    """

    scenario: Scenario
    cold_start_seconds: float
    contender: Contender
    seed: int
    attainment: float
    mean_replicas: float
    cold_fraction: float
    p95_seconds: float
    bound_replicas: float

    @property
    def regret(self) -> float:
        """Times what the bound pays; infinite where nothing need be paid, since as good as all may be late."""
        return self.mean_replicas / self.bound_replicas if self.bound_replicas != 0 else math.inf


def written(results: Sequence[Result]) -> str:
    """One line of JSON per result, which `read` reads."""
    lines = []
    for result in results:
        run = {"scenario": result.scenario.name, **asdict(result.contender)}
        lines.append(json.dumps({**asdict(result), **run, "contender": None}))
    return "".join(f"{line}\n" for line in lines)


def read(text: str, scenarios: Sequence[Scenario]) -> list[Result]:
    """What `written` wrote, of the scenarios that still are as they were named."""
    by_name = {scenario.name: scenario for scenario in scenarios}
    found = []
    for line in text.splitlines():
        fields = json.loads(line)
        scenario = by_name.get(fields.pop("scenario"))
        contender = Contender(fields.pop("family"), fields.pop("value"), fields.pop("hindsight"))
        if scenario is not None:
            found.append(Result(**{**fields, "scenario": scenario, "contender": contender}))
    return found


def results(tasks: Sequence[Task], processes: int) -> Iterator[list[Result]]:
    """Run all tasks; each one's results when they are there, in no order."""
    if processes == 1:
        yield from map(_results, tasks)
        return
    with ProcessPoolExecutor(processes) as pool:
        for future in as_completed([pool.submit(_results, task) for task in tasks]):
            yield future.result()


def _results(task: Task) -> list[Result]:
    load = task.scenario.workload(task.seed, task.horizon_seconds)
    table = None
    if task.bound:
        table = late.simulated(load, Question(OBJECTIVE_SECONDS, 1, MAX_REPLICAS, begin_seconds=WARM_UP_SECONDS))
    return [_result(task, load, table, *single) for single in task.runs]


def _result(task: Task, load: Workload, table: LateTable | None, cold_start: float, contender: Contender) -> Result:
    reactive, floor = contender.controls(task.scenario)
    service = Service(
        1,
        Lognormal(cold_start, COLD_START_SIGMA),
        MAX_REPLICAS,
        contender.initial_replicas,
        objective_seconds=OBJECTIVE_SECONDS,
    )
    done = run.simulate(load, service, reactive, floor, np.random.default_rng([task.seed, 1]))
    summed = report.of_run(done, OBJECTIVE_SECONDS, WARM_UP_SECONDS)
    bound = float("nan")
    if table is not None:
        missed = round((1 - summed.attainment) * summed.requests)
        cheapest = plan.cheapest(table, cold_start, missed).bound_replica_seconds
        bound = cheapest / float(table.seconds.sum())
    return Result(
        task.scenario,
        cold_start,
        contender,
        task.seed,
        summed.attainment,
        summed.mean_replicas,
        summed.cold_fraction,
        summed.p95_seconds,
        bound,
    )
