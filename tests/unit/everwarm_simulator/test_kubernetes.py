"""Kubernetes' autoscaler in the simulator: a load with a known answer, and what it can't see."""

import numpy as np

from everwarm_planner.policies.hpa import Settings
from everwarm_simulator import run
from everwarm_simulator.distributions import Deterministic
from everwarm_simulator.kubernetes import HorizontalPods
from everwarm_simulator.run import Run, Service
from everwarm_simulator.workload import Workload


def play(busy: int, horizon: int, initial: int, concurrency: int = 1, cold: float = 10.0, settled: int = 0) -> Run:
    """`busy` requests of one second at each second until `settled` (0: the end)."""
    arrivals = np.repeat(np.arange(float(settled or horizon)), busy)
    load = Workload(arrivals, np.ones(len(arrivals)), float(horizon))
    autoscaler = HorizontalPods(Settings(0.8, 1, 20), concurrency)
    service = Service(concurrency, Deterministic(cold), 20, initial)
    return run.simulate(load, service, autoscaler, None, np.random.default_rng(0))


def test_a_steady_load_ends_where_the_busy_part_is_the_target() -> None:
    assert [change.wanted for change in play(8, 600, initial=10).changes] == [10]
    assert play(16, 600, initial=10, concurrency=2).changes[-1].wanted == 10


def test_a_queue_is_invisible_so_an_overloaded_replica_only_grows_by_a_quarter() -> None:
    """The ratio is at most 1 / 0.8, whatever waits; and right after a cold start the mean over 15 s still hides it."""
    changes = [(change.at_seconds, change.wanted) for change in play(8, 90, initial=1).changes]
    assert changes[:3] == [(15.0, 2), (45.0, 3), (75.0, 4)]


def test_it_comes_down_five_minutes_after_the_load_and_never_to_zero() -> None:
    changes = [(change.at_seconds, change.wanted) for change in play(8, 900, initial=10, settled=300).changes]
    assert changes == [(15.0, 10), (615.0, 1)]
