"""Replicas over time, sampled: lives worked out by hand, and how far two series are apart."""

import math

import numpy as np
import pytest

from everwarm_planner.policies import kpa
from everwarm_simulator import run, timeline
from everwarm_simulator.distributions import Deterministic
from everwarm_simulator.knative import Knative
from everwarm_simulator.meter import Reading
from everwarm_simulator.run import Service
from everwarm_simulator.timeline import Deviation
from everwarm_simulator.workload import Workload

EMPTY = Workload(np.empty(0), np.empty(0), 40.0)


class Script:
    interval_seconds = 10

    def __init__(self, *script: int) -> None:
        self.script = list(script)

    def replicas(self, reading: Reading, wanted: int, floor: int) -> int:
        return self.script.pop(0) if self.script else wanted


def test_wanted_and_ready_follow_each_change_from_its_instant_on() -> None:
    done = run.simulate(EMPTY, Service(1, Deterministic(5.0), 9, 2), Script(4, 1, 3), None, np.random.default_rng(0))
    seconds = np.array([0.0, 9.9, 10.0, 14.9, 15.0, 19.9, 20.0, 30.0, 34.9, 35.0])
    assert timeline.wanted_at(done, seconds).tolist() == [2, 2, 4, 4, 4, 4, 1, 3, 3, 3]
    assert timeline.ready_at(done, seconds).tolist() == [2, 2, 2, 2, 4, 4, 1, 1, 1, 3]


def test_a_replica_that_goes_before_it_is_ready_never_was() -> None:
    done = run.simulate(EMPTY, Service(1, Deterministic(15.0), 9, 1), Script(3, 1), None, np.random.default_rng(0))
    seconds = np.arange(0.0, 40.0, 5.0)
    assert timeline.wanted_at(done, seconds).tolist() == [1, 1, 3, 3, 1, 1, 1, 1]
    assert timeline.ready_at(done, seconds).tolist() == [1] * 8


def test_a_replay_of_given_requests_shows_what_the_autoscaler_did_with_them() -> None:
    """Ten at once, of a second each, every second: the known answer is 10 / 0.7 replicas, from one."""
    times = np.repeat(np.arange(120.0), 10)
    load = Workload(times, np.ones(len(times)), 120.0)
    autoscaler = Knative(kpa.Settings.of_concurrency(1), 30, 1)
    done = run.simulate(load, Service(1, Deterministic(3.0), 30, 1), autoscaler, None, np.random.default_rng(0))
    wanted, ready = (at(done, np.arange(120.0)) for at in (timeline.wanted_at, timeline.ready_at))
    assert wanted[0] == ready[0] == 1
    assert wanted[-1] >= math.ceil(10 / 0.7)
    assert np.all(ready <= wanted)
    assert ready[3:].tolist() == np.minimum(wanted[:-3], wanted[3:]).tolist()


def test_how_far_two_series_are_apart() -> None:
    assert timeline.deviation([1, 2, 4, 1], [1, 3, 2, 2]) == Deviation(1.0, 2.0, -1.0, 1.0)
    assert timeline.deviation([0, 0], [0, 1]) == Deviation(0.5, 1.0, 1.0, math.inf)
    assert timeline.deviation([0], [0]).replica_seconds_ratio == 1.0


@pytest.mark.parametrize(("measured", "simulated"), [([1, 2], [1]), ([], [])])
def test_series_without_common_instants_are_refused(measured: list[int], simulated: list[int]) -> None:
    with pytest.raises(ValueError, match="can't be compared"):
        timeline.deviation(measured, simulated)
