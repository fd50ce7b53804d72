"""Engine, autoscaler and floor in turns: who decides when, with which reading, and what it costs."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everwarm_planner.observation import MissingObservation, Observation
from everwarm_simulator import report, run
from everwarm_simulator.distributions import Deterministic
from everwarm_simulator.meter import Reading
from everwarm_simulator.quantiles import quantile
from everwarm_simulator.run import Change, Run, Service
from everwarm_simulator.workload import Workload

SERVICE = Service(concurrency=1, cold_start=Deterministic(3.0), max_replicas=5)


@dataclass
class Script:
    """Plays both parts: what to want at which call, and what was seen then."""

    interval_seconds: int
    script: list[int]
    readings: list[Reading] = field(default_factory=list)
    observations: list[Observation | MissingObservation] = field(default_factory=list)

    def replicas(self, reading: Reading, wanted: int, floor: int) -> int:
        self.readings.append(reading)
        return self.script[min(len(self.readings), len(self.script)) - 1]

    def floor(self, observation: Observation | MissingObservation) -> int:
        self.observations.append(observation)
        return self.script[min(len(self.observations), len(self.script)) - 1]


def play(
    load: Workload, reactive: Script | None = None, floor: Script | None = None, service: Service = SERVICE
) -> Run:
    return run.simulate(load, service, reactive, floor, np.random.default_rng(0))


def workload(arrivals: list[float], services: list[float], horizon: float = 60.0) -> Workload:
    return Workload(np.array(arrivals), np.array(services), horizon)


def test_the_replicas_are_the_larger_of_floor_and_autoscaler_within_the_maximum() -> None:
    done = play(workload([], []), Script(10, [1, 9, 0]), Script(15, [2, 4, 3]))
    assert done.changes == [
        Change(10.0, 1, 1),
        Change(15.0, 2, 2),
        Change(20.0, 2, 5),
        Change(30.0, 4, 4),
        Change(45.0, 3, 3),
    ]


def test_without_anybody_who_decides_the_initial_replicas_stay() -> None:
    done = play(workload([0.0, 0.0], [1.0, 1.0]))
    assert done.latencies.tolist() == [1.0, 2.0]
    assert done.changes == []


def test_the_first_request_wakes_an_autoscaler_that_has_nothing_running() -> None:
    reactive = Script(2, [0, 0, 1])
    done = play(workload([4.5, 5.0], [1.0, 1.0], 8.0), reactive)
    woken = reactive.readings[2]
    assert (woken.at_seconds, woken.poked, woken.ready_replicas) == (4.5, True, 0)
    assert [reading.poked for reading in reactive.readings] == [False, False, True, *[False] * 3]
    assert done.starts.tolist() == [7.5, 8.5]
    assert done.cold.tolist() == [True, True]


def test_who_only_waited_for_a_slot_met_no_cold_start() -> None:
    done = play(workload([0.0, 0.5], [1.0, 1.0]), Script(30, [1]))
    assert done.latencies.tolist() == [1.0, 1.5]
    assert done.cold.tolist() == [False, False]


def test_a_request_that_no_replica_takes_never_starts() -> None:
    done = play(workload([1.0], [1.0], 10.0), floor=Script(5, [0]), service=Service(1, Deterministic(1.0), 5, 0))
    assert done.latencies.tolist() == [math.inf]
    summed = report.of_run(done, 1.0)
    assert (summed.p50_seconds, summed.attainment, summed.replica_seconds) == (math.inf, 0.0, 0.0)


def test_an_observation_says_what_happened_in_the_window() -> None:
    floor = Script(15, [1])
    load = workload([1.0, 2.0, 3.0, 14.5], [1.0, 2.5, 0.5, 2.0])
    play(load, floor=floor, service=Service(1, Deterministic(1.0), 5, 1, window_seconds=15))
    assert floor.observations[0] == Observation(
        at_seconds=15.0,
        rate_per_second=4 / 15,
        p95_seconds=2.5,
        service_seconds=pytest.approx(4 / 3),
        cold_start_fraction=0.0,
        utilization=pytest.approx(4.5 / 15),
        ready_replicas=1,
        in_flight=1.0,
        dispersion=pytest.approx(11 / 15),
        service_variation=pytest.approx((1.0 + 6.25 + 0.25) / 3 / (4 / 3) ** 2 - 1),
        recent_rate_per_second=4 / 15,
    )
    assert floor.observations[2] == Observation(45.0, 0.0, None, None, 0.0, 0.0, 1, 0.0, recent_rate_per_second=0.0)


def test_an_observation_says_what_was_late_what_starts_and_how_long_that_took() -> None:
    """Two replicas are asked for at 10 s, ready at 13 s; the second request waits for them."""
    floor = Script(5, [1, 3])
    load = workload([8.0, 9.0, 21.0], [6.0, 1.0, 1.0], 30.0)
    service = Service(1, Deterministic(3.0), 5, 1, window_seconds=10, objective_seconds=4.5)
    play(load, floor=floor, service=service)
    seen = [o for o in floor.observations if isinstance(o, Observation)]
    assert [o.at_seconds for o in seen[:3]] == [5.0, 10.0, 15.0]
    assert [o.starting_replicas for o in seen[:3]] == [0, 0, 0]
    assert [o.late_fraction for o in seen] == [None, None, 1.0, 1.0, 0.0, 0.0]
    assert [o.time_to_ready_seconds for o in seen] == [None, None, *[3.0] * 4]


def test_replicas_that_start_are_counted_apart_from_those_that_are_ready() -> None:
    floor = Script(2, [1, 3])
    play(workload([], [], 10.0), floor=floor)
    seen = [o for o in floor.observations if isinstance(o, Observation)]
    assert [(o.ready_replicas, o.starting_replicas) for o in seen] == [(1, 0), (1, 0), (1, 2), (3, 0), (3, 0)]


def test_cold_starts_are_observed_when_their_requests_end() -> None:
    floor = Script(10, [0, 2, 2])
    play(workload([5.0, 12.0, 25.0], [1.0, 1.0, 1.0]), floor=floor)
    fractions = [o.cold_start_fraction for o in floor.observations if isinstance(o, Observation)]
    assert fractions[:4] == [0.0, 0.0, 1 / 3, 1 / 3]


def test_in_a_hole_nobody_decides_and_nothing_is_counted() -> None:
    load = Workload(np.array([1.0, 50.0]), np.array([1.0, 1.0]), 60.0, holes=((10.0, 40.0),))
    floor, reactive = Script(5, [1]), Script(2, [2])
    done = play(load, reactive, floor, Service(1, Deterministic(1.0), 5, 2, window_seconds=5))
    times = [observation.at_seconds for observation in floor.observations]
    assert times == [5.0, 40.0, 45.0, 50.0, 55.0, 60.0]
    assert [isinstance(o, MissingObservation) for o in floor.observations] == [False, True, *[False] * 4]
    assert [r.at_seconds for r in reactive.readings if 8 < r.at_seconds < 42] == [40.0]
    assert report.of_run(done, 1.0).replica_seconds == 2 * 30.0


def test_a_report_counts_after_the_warm_up_alone() -> None:
    done = play(workload([0.0, 0.0, 30.0, 50.0], [1.0, 1.0, 2.0, 1.0]), floor=Script(20, [1, 2, 1]))
    assert report.of_run(done, 1.5, warmup_seconds=10.0) == report.Report(
        requests=2,
        mean_seconds=1.5,
        p50_seconds=1.0,
        p95_seconds=2.0,
        p99_seconds=2.0,
        attainment=0.5,
        cold_fraction=0.0,
        utilization=3 / 70,
        replica_seconds=70.0,
        mean_replicas=1.4,
        floor_changes=2,
    )


@pytest.mark.parametrize(
    ("part", "expected"), [(0.5, 2.0), (0.75, 3.0), (0.76, math.inf), (0.01, 1.0), (1.0, math.inf)]
)
def test_a_quantile_is_one_of_the_durations(part: float, expected: float) -> None:
    assert quantile(np.array([3.0, math.inf, 1.0, 2.0]), part) == expected


def test_nothing_has_no_quantile() -> None:
    assert math.isnan(quantile(np.empty(0), 0.5))


def test_intervals_over_seeds_are_students() -> None:
    assert report.interval([1.0, 2.0, 3.0, 4.0]) == report.Interval(
        2.5, pytest.approx(2.5 - 3.182 * math.sqrt(5 / 12)), pytest.approx(2.5 + 3.182 * math.sqrt(5 / 12))
    )
    alone = report.interval([2.0])
    assert (alone.mean, math.isnan(alone.low), math.isnan(alone.high)) == (2.0, True, True)
    with pytest.raises(ValueError, match="no interval"):
        report.interval([])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0, 29.9), st.floats(0.01, 4)), min_size=1, max_size=40),
    st.lists(st.integers(0, 3), min_size=1, max_size=10),
)
def test_the_concurrency_of_a_second_is_the_exact_mean_over_it(
    requests: list[tuple[float, float]], script: list[int]
) -> None:
    requests = sorted(requests)
    load = workload([a for a, _ in requests], [s for _, s in requests], 30.0)
    reactive = Script(1, script)
    done = play(load, reactive)
    seen = [mean for reading in reactive.readings for mean in reading.concurrency]
    ends = done.starts + load.services
    for second, mean in enumerate(seen):
        overlaps = np.minimum(ends, second + 1) - np.maximum(load.arrivals, second)
        assert mean == pytest.approx(float(np.maximum(0.0, overlaps).sum()), abs=1e-6)
