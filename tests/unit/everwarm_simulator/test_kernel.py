"""The compiled kernel against the pure one: the same run to the last bit, ties and drains included."""

import importlib
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everwarm_planner.guardrails import Bounds
from everwarm_planner.observation import MissingObservation, Observation
from everwarm_planner.plan import Planner
from everwarm_planner.policies import kpa
from everwarm_planner.policies.paper import Paper
from everwarm_simulator import arrivals, run, workload
from everwarm_simulator.distributions import Lognormal
from everwarm_simulator.engine import Engine
from everwarm_simulator.kernel import choice
from everwarm_simulator.kernel.base import Kernel
from everwarm_simulator.kernel.compiled import CompiledKernel
from everwarm_simulator.kernel.pure import PureKernel
from everwarm_simulator.knative import Knative
from everwarm_simulator.meter import Reading
from everwarm_simulator.planned import Planned
from everwarm_simulator.quantiles import quantile
from everwarm_simulator.run import Run, Service
from everwarm_simulator.workload import Workload


class Both:
    """Autoscaler and floor in one: plays a script, and notes all that it is shown."""

    interval_seconds = 2

    def __init__(self, script: list[int]) -> None:
        self.script = script
        self.seen: list[Reading | Observation | MissingObservation] = []

    def replicas(self, reading: Reading, wanted: int, floor: int) -> int:
        self.seen.append(reading)
        return self.script[len(self.seen) % len(self.script)]

    def floor(self, observation: Observation | MissingObservation) -> int:
        self.seen.append(observation)
        return 0


def outcome(done: Run) -> tuple[object, ...]:
    return done.starts.tolist(), done.cold.tolist(), done.replicas, done.changes


# Halves of seconds meet each other and the ticks all the time; a float in between keeps sums honest.
TIMES = st.one_of(st.integers(0, 39).map(lambda halves: halves / 2), st.floats(0, 19.9))
WORK = st.one_of(st.integers(1, 8).map(lambda halves: halves / 2), st.floats(0.01, 5))


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(TIMES, WORK), min_size=1, max_size=80),
    st.lists(st.integers(0, 4), min_size=1, max_size=12),
    st.integers(1, 3),
    st.integers(0, 2**32 - 1),
)
def test_both_kernels_show_and_do_the_same_whatever_is_scaled_when(
    requests: list[tuple[float, float]], script: list[int], concurrency: int, seed: int
) -> None:
    requests = sorted(requests)
    load = Workload(np.array([at for at, _ in requests]), np.array([work for _, work in requests]), 20.0)
    service = Service(concurrency, Lognormal(2.0, 0.8), 4, 1, window_seconds=6)

    def play(kernel: Kernel) -> tuple[object, ...]:
        both = Both(script)
        done = run.simulate(load, service, both, both, np.random.default_rng(seed), kernel=kernel)
        return (*outcome(done), both.seen)

    assert play(CompiledKernel()) == play(PureKernel())


@pytest.mark.parametrize("concurrency", [1, 4])
def test_both_kernels_agree_over_hours_of_bursts_with_autoscaler_and_floor(concurrency: int) -> None:
    def play(kernel: Kernel) -> tuple[object, ...]:
        generator = np.random.default_rng(7)
        times = arrivals.on_off(generator, (60.0, 1.0), (60.0, 240.0), 7200.0)
        load = workload.of_arrivals(generator, times, Lognormal(0.2, 0.47), 7200.0)
        autoscaler = Knative(kpa.Settings.of_concurrency(concurrency), 40, 1)
        planned = Planned(Planner(Paper(0.6, concurrency), Bounds(0, 40)), 1, interval_seconds=2)
        service = Service(concurrency, Lognormal(30.0, 0.3), 40, 1)
        return outcome(run.simulate(load, service, autoscaler, planned, generator, kernel=kernel))

    assert play(CompiledKernel()) == play(PureKernel())


@given(st.lists(st.floats(0, 10, width=16), min_size=1, max_size=60), st.floats(0.01, 1.0))
def test_both_kernels_give_the_order_statistic(latencies: list[float], part: float) -> None:
    load = Workload(np.zeros(len(latencies)), np.array(latencies) + 0.5, 1.0)
    for kernel in (CompiledKernel(), PureKernel()):
        engine = Engine(load, len(latencies), kernel)
        engine.add(0.0, 0.0)
        stop = engine.advance(1.0).stop
        assert kernel.latency_quantile(engine.journal, 0, stop, (0, 11), part) == quantile(load.services, part)


def test_the_compiled_kernel_is_chosen_where_it_is_installed_and_pays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choice, "fastest", choice.fastest.__wrapped__)
    assert isinstance(choice.choose(100_000), CompiledKernel)
    assert isinstance(choice.choose(99_999), PureKernel)
    monkeypatch.setitem(sys.modules, "numba", None)
    assert isinstance(choice.choose(100_000), PureKernel)


def test_without_numba_a_function_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    jit = importlib.import_module("everwarm_simulator.kernel.jit")
    monkeypatch.setattr(jit, "njit", None)
    assert jit.jit(abs) is abs


def test_without_a_place_for_machine_code_it_is_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    jit = importlib.import_module("everwarm_simulator.kernel.jit")
    asked: list[bool] = []

    def njit(cache: bool = False, nogil: bool = False) -> object:
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(jit, "njit", njit)
    assert jit.jit(abs)(-2) == 2
    assert asked == [True, False]
