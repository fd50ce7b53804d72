"""The kernel: who starts when on which replica, by hand and against a slow reading of the same rules."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everwarm_simulator.engine import ColdStarts, Engine
from everwarm_simulator.workload import Workload


def workload(arrivals: list[float], services: list[float]) -> Workload:
    return Workload(np.array(arrivals, dtype=float), np.array(services, dtype=float), 1000.0)


def engine_of(arrivals: list[float], services: list[float], replicas: int, concurrency: int = 1) -> Engine:
    engine = Engine(workload(arrivals, services), concurrency)
    for _ in range(replicas):
        engine.add(0.0, 0.0)
    return engine


def cold_starts(*seconds: float) -> ColdStarts:
    return ColdStarts(np.array(seconds))


def test_the_queue_is_served_in_order_by_the_slot_that_gets_free_first() -> None:
    engine = engine_of([0.0, 0.1, 0.2, 0.3, 9.0], [1.0, 0.5, 0.2, 1.0, 1.0], replicas=2)
    started = engine.advance(100.0)
    assert started.starts.tolist() == [0.0, 0.1, 0.6, 0.6 + 0.2, 9.0]
    assert started.replicas.tolist() == [0, 1, 1, 1, 0]


def test_nothing_starts_at_or_after_the_time_that_is_advanced_to() -> None:
    engine = engine_of([0.0, 1.0, 2.0], [1.5, 1.0, 1.0], replicas=1)
    assert engine.advance(1.5).starts.tolist() == [0.0]
    assert (engine.started, engine.next_arrival()) == (1, 1.0)
    assert engine.advance(2.5).starts.tolist() == [1.5]
    assert engine.advance(99.0).starts.tolist() == [2.5]
    assert engine.next_arrival() == math.inf


def test_a_replica_with_two_slots_computes_two_at_once() -> None:
    engine = engine_of([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], replicas=1, concurrency=2)
    assert engine.advance(9.0).starts.tolist() == [0.0, 0.0, 1.0]


def test_a_starting_replica_takes_requests_once_it_is_ready() -> None:
    engine = engine_of([0.0, 0.1, 0.2], [100.0, 1.0, 1.0], replicas=1)
    engine.advance(0.15)
    engine.scale(0.15, 2, cold_starts(3.0))
    assert (engine.wanted, engine.ready(0.15), engine.ready(3.15)) == (2, 1, 2)
    assert engine.advance(50.0).starts.tolist() == [3.15, 4.15]
    assert engine.ready_seconds(2.0, 5.0) == pytest.approx(3.0 + 1.85)


def test_a_drained_replica_finishes_its_request_and_takes_no_other() -> None:
    engine = engine_of([0.0, 0.5, 1.0], [10.0, 4.0, 1.0], replicas=1)
    engine.add(0.0, 0.25)
    engine.advance(0.75)
    engine.scale(0.75, 1, cold_starts(1.0))
    assert engine.advance(99.0).starts.tolist() == [10.0]
    assert engine.replicas[1].gone_seconds == 4.5


def test_a_replica_that_is_not_ready_yet_is_the_first_to_go_and_goes_at_once() -> None:
    engine = engine_of([], [], replicas=1)
    engine.scale(5.0, 3, cold_starts(30.0, 20.0))
    engine.scale(7.0, 2, cold_starts(1.0))
    assert [replica.gone_seconds for replica in engine.replicas] == [math.inf, 7.0, math.inf]


def test_without_replicas_requests_wait_until_one_comes() -> None:
    engine = engine_of([1.0, 2.0], [0.5, 0.5], replicas=0)
    assert len(engine.advance(3.0).starts) == 0
    engine.scale(3.0, 1, cold_starts(2.0))
    assert engine.advance(9.0).starts.tolist() == [5.0, 5.5]


def test_cold_starts_begin_again_after_the_last() -> None:
    draws = cold_starts(1.0, 2.0)
    assert [draws.next() for _ in range(3)] == [1.0, 2.0, 1.0]


def test_a_replica_without_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one slot, not 0"):
        engine_of([], [], replicas=1, concurrency=0)


def slow_starts(
    requests: list[tuple[float, float]], ready: list[float], wanted_until: dict[int, float], concurrency: int
) -> list[float]:
    """The same rules, read off the lives of the replicas afterwards: every slot is asked, for every request."""
    free = [[since] * concurrency for since in ready]
    starts = []
    for arrival, service in requests:
        choices = [
            (max(arrival, slot), slot, number, position)
            for number, slots in enumerate(free)
            for position, slot in enumerate(slots)
            if max(arrival, slot) < wanted_until.get(number, math.inf)
        ]
        start, _, number, position = min(choices, default=(math.inf, 0.0, 0, 0))
        starts.append(start)
        if start < math.inf:
            free[number][position] = start + service
    return starts


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.floats(0, 20), st.floats(0.01, 5)), min_size=1, max_size=60),
    st.lists(st.integers(0, 4), min_size=1, max_size=12),
    st.integers(1, 3),
    st.integers(0, 2**32 - 1),
)
def test_it_agrees_with_the_slow_reading_whatever_is_scaled_when(
    requests: list[tuple[float, float]], scales: list[int], concurrency: int, seed: int
) -> None:
    arrivals = sorted(arrival for arrival, _ in requests)
    services = [service for _, service in requests]
    engine = Engine(workload(arrivals, services), concurrency)
    draws = ColdStarts(np.random.default_rng(seed).uniform(0.1, 6.0, 100))
    starts: list[float] = []
    wanted_until: dict[int, float] = {}
    for tick, wanted in enumerate(scales):
        starts.extend(engine.advance(tick * 2.0).starts)
        gone = [replica.gone_seconds for replica in engine.replicas]
        engine.scale(tick * 2.0, wanted, draws)
        for number, before in enumerate(gone):
            if before == math.inf and engine.replicas[number].gone_seconds < math.inf:
                wanted_until[number] = tick * 2.0
    starts.extend(engine.advance(1e6).starts)
    starts.extend([math.inf] * (len(arrivals) - len(starts)))
    ready = [replica.ready_seconds for replica in engine.replicas]
    in_order = list(zip(arrivals, services, strict=True))
    assert starts == slow_starts(in_order, ready, wanted_until, concurrency)
