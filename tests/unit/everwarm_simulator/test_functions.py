"""Function instances: who meets a cold start, by hand and by theory; what provisioned ones cost and save."""

import math

import numpy as np
import pytest

from everwarm_planner.guardrails import Bounds
from everwarm_planner.observation import MissingObservation, Observation
from everwarm_planner.plan import Planner
from everwarm_planner.policies.fixed import Fixed
from everwarm_simulator import arrivals, functions
from everwarm_simulator.distributions import Deterministic
from everwarm_simulator.functions import FunctionRun, Functions
from everwarm_simulator.planned import Planned
from everwarm_simulator.run import Floor
from everwarm_simulator.workload import Workload


def play(
    times: list[float], work: float, expiry: float, floor: Floor | None = None, until: float = 60.0
) -> FunctionRun:
    load = Workload(np.array(times), np.full(len(times), work), until)
    return functions.simulate(load, Functions(Deterministic(0.5), expiry), floor, np.random.default_rng(0))


def kept(replicas: int) -> Planned:
    return Planned(Planner(Fixed(replicas), Bounds(0, 100)), 0, interval_seconds=5)


class Script:
    """Says what it was told to, every ten seconds, and keeps what it saw."""

    interval_seconds = 10

    def __init__(self, floors: list[int]) -> None:
        self._floors = floors
        self.seen: list[Observation | MissingObservation] = []

    def floor(self, observation: Observation | MissingObservation) -> int:
        self.seen.append(observation)
        return self._floors[len(self.seen) - 1]


def test_who_finds_an_idle_instance_is_warm_and_who_comes_after_its_expiry_is_not() -> None:
    run = play([0.0, 0.1, 2.0, 13.0], work=1.0, expiry=10.0)
    # 0.0 and 0.1 get instances of their own; 2.0 takes the one that got idle last (1.6), which idles from 3.0 on until
    # exactly 13.0, when it is gone.
    assert run.cold.tolist() == [True, True, False, True]
    assert run.latencies.tolist() == [1.5, 1.5, 1.0, 1.5]
    assert run.waits.tolist() == [0.5, 0.5, 0.0, 0.5]
    ready = (1.0 + 10.0) + (1.0 + 0.4 + 1.0 + 10.0) + (1.0 + 10.0)
    assert run.mean_instances == pytest.approx(ready / 60.0)
    assert (run.provisioned, run.mean_provisioned) == ([], 0.0)


@pytest.mark.parametrize("expiry", [0.5, 2.0])
def test_rare_short_requests_are_cold_as_often_as_poisson_gaps_exceed_the_expiry(expiry: float) -> None:
    times = arrivals.poisson(np.random.default_rng(1), 1.0, 40_000.0)
    load = Workload(times, np.full(len(times), 1e-6), 40_000.0)
    run = functions.simulate(load, Functions(Deterministic(1e-6), expiry), None, np.random.default_rng(0))
    assert run.cold.mean() == pytest.approx(math.exp(-expiry), abs=0.01)


def test_provisioned_instances_start_ahead_and_stay() -> None:
    run = play([1.0, 12.0, 12.1, 50.0], work=1.0, expiry=3.0, floor=kept(2))
    # Asked for at 5 s, ready at 10 s: the first request is too early for them.
    assert run.cold.tolist() == [True, False, False, False]
    assert run.provisioned == [(5.0, 2)]
    assert run.mean_provisioned == pytest.approx(2 * (60 - 5) / 60)


def test_a_lowered_floor_lets_those_go_that_idled_too_long() -> None:
    drop = Script([1, 1, 1, 0])
    run = play([30.0, 45.0], work=1.0, expiry=3.0, floor=drop)
    assert run.cold.tolist() == [False, True]
    # One instance from 15 s (10 s and the lead) to 40 s, and one from 45.5 s with a second of work and three idle.
    assert run.mean_instances == pytest.approx((25.0 + 4.0) / 60)
    assert [(one.at_seconds, one.ready_replicas) for one in drop.seen if isinstance(one, Observation)] == [
        *((10.0, 0), (20.0, 1), (30.0, 1), (40.0, 1)),
    ]


def test_what_it_observes_is_what_ended_in_the_window() -> None:
    watch = Script([0])
    play([1.0, 4.0, 11.0], work=1.0, expiry=3.0, floor=watch)
    assert watch.seen == [
        Observation(
            at_seconds=10.0,
            rate_per_second=0.2,
            p95_seconds=1.5,
            service_seconds=1.0,
            cold_start_fraction=0.5,
            utilization=None,
            ready_replicas=0,
            in_flight=0.0,
        )
    ]
