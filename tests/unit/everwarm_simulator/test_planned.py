"""The operator's own planner in the simulator, over bursts with minutes of silence between them."""

import numpy as np
import pytest

from everwarm_planner.decision import Reason
from everwarm_planner.guardrails import Bounds
from everwarm_planner.plan import Planner
from everwarm_planner.policies import kpa
from everwarm_planner.policies.paper import Paper
from everwarm_simulator import arrivals, report, run, workload
from everwarm_simulator.distributions import Lognormal, Uniform
from everwarm_simulator.knative import Knative
from everwarm_simulator.planned import Planned
from everwarm_simulator.report import Report
from everwarm_simulator.run import Service


def play(seed: int, floor: Planned | None) -> Report:
    generator = np.random.default_rng(seed)
    times = arrivals.on_off(generator, (5.0, 0.0), (20.0, 300.0), 7200.0)
    load = workload.of_arrivals(generator, times, Lognormal(0.2, 0.215), 7200.0)
    service = Service(1, Uniform(3.0, 5.0), 10, 1)
    autoscaler = Knative(kpa.Settings.of_concurrency(1), 10, 1)
    return report.of_run(run.simulate(load, service, autoscaler, floor, generator), 0.5)


def test_one_warm_replica_takes_most_cold_starts_away_and_it_is_the_minimum_that_does_it() -> None:
    planned = Planned(Planner(Paper(target_p95_seconds=0.5, concurrency=1), Bounds(1, 10)), 1)
    reactive, adaptive = play(1, None), play(1, planned)
    assert adaptive.requests == reactive.requests
    assert adaptive.cold_fraction < 0.2 * reactive.cold_fraction
    assert planned.changes == []


def test_the_planner_sees_cold_starts_and_raises_the_floor() -> None:
    planned = Planned(Planner(Paper(target_p95_seconds=0.5, concurrency=1), Bounds(0, 10)), 1)
    summed = play(1, planned)
    assert summed.floor_changes == len(planned.changes) > 10
    rising = [decision for _, decision in planned.changes if decision.floor > decision.previous_floor]
    assert {decision.reason for decision in rising} == {Reason.UNDER_PROVISIONED}


def test_a_seed_repeats_the_whole_run() -> None:
    def once() -> Report:
        return play(5, Planned(Planner(Paper(0.5, 1), Bounds(0, 10)), 1))

    assert once() == once()
    assert once() != play(6, Planned(Planner(Paper(0.5, 1), Bounds(0, 10)), 1))


def test_a_decision_takes_time() -> None:
    with pytest.raises(ValueError, match="not 0"):
        Planned(Planner(Paper(0.5, 1), Bounds(0, 10)), 1, interval_seconds=0)
