"""The clairvoyant bound against all plans that there are, on loads small enough to try them all."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everwarm_simulator import arrivals, report, run, workload
from everwarm_simulator.bound import late, needs, plan
from everwarm_simulator.bound.late import Counts, LateTable, Question
from everwarm_simulator.distributions import Deterministic, Lognormal
from everwarm_simulator.engine import Engine
from everwarm_simulator.meter import Reading
from everwarm_simulator.run import Service
from everwarm_simulator.workload import Workload

SLOT = 15.0


def cost(replicas: tuple[int, ...], seconds: list[float], start: float) -> float:
    rises = sum(max(0, after - before) for before, after in itertools.pairwise(replicas))
    return sum(count * length for count, length in zip(replicas, seconds, strict=True)) + start * rises


def table_of(rows: list[list[int]], seconds: list[float] | None = None) -> LateTable:
    return LateTable(np.array(rows), np.array(seconds or [SLOT] * len(rows)), 0)


FALLING = st.lists(st.integers(0, 9), min_size=4, max_size=4).map(lambda row: sorted(row, reverse=True))


@settings(deadline=None, max_examples=100)
@given(st.lists(FALLING, min_size=1, max_size=5), st.floats(0, 60), st.integers(0, 20), st.data())
def test_the_bound_lies_under_the_best_of_all_plans_and_the_plan_keeps_its_promise(
    rows: list[list[int]], start: float, allowed: int, data: st.DataObject
) -> None:
    seconds = data.draw(st.lists(st.sampled_from([0.0, SLOT]), min_size=len(rows), max_size=len(rows)))
    found = plan.cheapest(table_of(rows, seconds), start, allowed)
    tries = [
        (sum(row[count] for row, count in zip(rows, counts, strict=True)), cost(counts, seconds, start))
        for counts in itertools.product(range(4), repeat=len(rows))
    ]
    possible = [paid for count, paid in tries if count <= allowed]
    assert found.replica_seconds == pytest.approx(cost(tuple(found.replicas), seconds, start))
    if not possible:
        assert found.late == min(count for count, _ in tries)
        return
    assert found.late <= allowed
    assert found.bound_replica_seconds <= min(possible) + 1e-6
    assert found.replica_seconds >= min(possible) - 1e-6


@settings(deadline=None, max_examples=100)
@given(st.lists(FALLING, min_size=1, max_size=5), st.floats(0, 60), st.floats(0, 40))
def test_at_a_price_the_path_is_the_best_of_all(rows: list[list[int]], start: float, price: float) -> None:
    table = table_of(rows)
    path = plan._shortest_path(table.late, table.seconds, start, price)
    slow = plan._shortest_path.py_func(table.late, table.seconds, start, price)

    def priced(counts: tuple[int, ...]) -> float:
        missed = sum(row[count] for row, count in zip(rows, counts, strict=True))
        return cost(counts, [SLOT] * len(rows), start) + price * missed

    best = min(priced(counts) for counts in itertools.product(range(4), repeat=len(rows)))
    assert priced(tuple(path)) == pytest.approx(best)
    assert path.tolist() == slow.tolist()


@settings(deadline=None, max_examples=150)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.floats(0, 80))
def test_levels_give_the_cheapest_plan_that_never_has_too_little(wanted: list[int], start: float) -> None:
    replicas = needs.cheapest(np.array(wanted), SLOT, start)
    assert np.all(replicas >= wanted)
    enough = [
        cost(counts, [SLOT] * len(wanted), start)
        for counts in itertools.product(range(4), repeat=len(wanted))
        if all(count >= need for count, need in zip(counts, wanted, strict=True))
    ]
    assert needs.replica_seconds(replicas, SLOT, start) == pytest.approx(min(enough))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.floats(1, 80))
def test_levels_and_dynamic_programming_agree(wanted: list[int], start: float) -> None:
    rows = [[int(count < need) for count in range(5)] for need in wanted]
    found = plan.cheapest(table_of(rows), start, 0)
    levels = needs.replica_seconds(needs.cheapest(np.array(wanted), SLOT, start), SLOT, start)
    assert found.late == 0
    assert found.replica_seconds == pytest.approx(levels, rel=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.floats(16, 80))
def test_keeping_a_replica_for_as_long_as_a_start_costs_never_pays_twice_the_least(
    wanted: list[int], start: float
) -> None:
    """The ski-rental rule that the hybrid policy releases by, held against who knows the future."""
    keep = math.floor(start / SLOT)
    held = [max(wanted[max(0, slot - keep) : slot + 1]) for slot in range(len(wanted))]
    least = needs.replica_seconds(needs.cheapest(np.array(wanted), SLOT, start), SLOT, start)
    # Who begins with the first slot's need pays the starts that the bound has for nothing, at most one per level.
    assert needs.replica_seconds(np.array(held), SLOT, start) <= 2 * least + start * max(wanted) + 1e-6


def test_late_requests_of_a_slot_are_those_that_the_engine_has_after_the_warm_up() -> None:
    generator = np.random.default_rng(3)
    load = workload.of_arrivals(generator, arrivals.poisson(generator, 8.0, 60.0), Lognormal(0.3, 0.5), 60.0)
    table = late.simulated(load, Question(0.6, 2, 4, begin_seconds=15.0))
    assert table.late.shape == (3, 5)
    for slot, replicas in itertools.product(range(3), range(5)):
        begin = SLOT * slot
        part = load.arrivals >= begin
        engine = Engine(Workload(load.arrivals[part], load.services[part], 60.0), 2)
        for _ in range(replicas):
            engine.add(begin, begin)
        engine.advance(1e9)
        latencies = engine.journal.starts + engine.journal.services - engine.journal.arrivals
        inside = (engine.journal.arrivals >= begin + SLOT) & (engine.journal.arrivals < begin + 2 * SLOT)
        assert table.late[slot, replicas] == int((latencies[inside] > 0.6).sum())


def test_both_forms_of_the_table_agree() -> None:
    generator = np.random.default_rng(4)
    load = workload.of_arrivals(generator, arrivals.poisson(generator, 5.0, 45.0), Lognormal(0.3, 0.5), 45.0)
    fast, slow = (np.zeros((2, 4), dtype=np.int64) for _ in range(2))
    firsts = np.searchsorted(load.arrivals, [0.0, 15.0, 30.0, 45.0])
    begins = np.array([0.0, 15.0])
    late._fill(load.arrivals, load.services, firsts, begins, 0.6, 1, fast)
    late._fill.py_func(load.arrivals, load.services, firsts, begins, 0.6, 1, slow)
    assert fast.tolist() == slow.tolist()


def test_the_fluid_floor_counts_only_what_no_order_could_answer_in_time() -> None:
    """Twenty requests of 1 s at once, one replica, slots of 15 s: fifteen can be done, in whatever order."""
    load = Workload(np.zeros(20), np.ones(20), 30.0)
    table = late.fluid(load, Question(3.0, 1, 3))
    assert table.late.tolist() == [[20, 5, 0, 0], [0, 0, 0, 0]]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_the_fluid_floor_lies_under_what_a_run_has_late(seed: int, replicas: int) -> None:
    generator = np.random.default_rng(seed)
    load = workload.of_arrivals(generator, arrivals.poisson(generator, 10.0, 90.0), Lognormal(0.4, 0.5), 90.0)
    done = run.simulate(load, Service(1, Deterministic(1.0), 20, replicas), None, None, generator)
    late_requests = int((done.latencies > 1.0).sum())
    assert late.fluid(load, Question(1.0, 1, 12)).late[:, replicas].sum() <= late_requests


def test_holes_cost_nothing() -> None:
    load = Workload(np.array([1.0, 50.0]), np.array([1.0, 1.0]), 60.0, holes=((20.0, 45.0),))
    table = late.simulated(load, Question(1.5, 1, 2))
    assert table.seconds.tolist() == [15.0, 5.0, 0.0, 15.0]
    assert table.requests == 2
    found = plan.cheapest(table, 100.0, 0)
    assert (found.late, found.replica_seconds) == (0, pytest.approx(35.0))


@dataclass(frozen=True)
class Clairvoyant:
    """Runs a plan: asks for what will be needed as long ahead as a start takes, and gives the rest back."""

    replicas_by_slot: Counts
    cold_start_seconds: float
    interval_seconds: int = int(SLOT)

    def replicas(self, reading: Reading, wanted: int, floor: int) -> int:
        slot = int(reading.at_seconds / SLOT)
        ahead = math.ceil(self.cold_start_seconds / SLOT)
        return int(self.replicas_by_slot[slot : slot + ahead + 1].max(initial=0))


@pytest.mark.parametrize(("part", "cold"), [(0.05, 30.0), (0.01, 30.0), (0.01, 120.0)])
def test_a_plan_that_is_played_keeps_its_promise_within_a_percent_and_costs_what_it_said(
    part: float, cold: float
) -> None:
    """Relaxed as it is: a slot's backlog is carried over, service order and times are the simulator's."""
    generator = np.random.default_rng(6)
    rates = 30.0 + 20.0 * np.sin(np.arange(120) / 12) + generator.uniform(-5, 5, 120)
    load = workload.of_rates(generator, rates, 60.0, Lognormal(0.2, 0.47), dispersion=3.0)
    table = late.simulated(load, Question(0.6, 1, 40))
    found = plan.cheapest(table, cold, round(part * len(load.arrivals)))
    service = Service(1, Deterministic(cold), 40, int(found.replicas[0]))
    done = run.simulate(load, service, Clairvoyant(found.replicas, cold), None, generator)
    summed = report.of_run(done, 0.6)
    assert summed.attainment == pytest.approx(1 - part, abs=0.01)
    assert summed.replica_seconds == pytest.approx(found.replica_seconds, rel=0.02)


def test_more_late_requests_allowed_never_cost_more() -> None:
    generator = np.random.default_rng(5)
    times = arrivals.on_off(generator, (40.0, 5.0), (60.0, 120.0), 1800.0)
    load = workload.of_arrivals(generator, times, Lognormal(0.2, 0.47), 1800.0)
    table = late.simulated(load, Question(0.6, 1, 40))
    plans = [plan.cheapest(table, 30.0, allowed) for allowed in (50, 200, 800, len(times))]
    bounds = [found.bound_replica_seconds for found in plans]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == 0
    assert all(found.replica_seconds <= 1.03 * found.bound_replica_seconds for found in plans[:3])
