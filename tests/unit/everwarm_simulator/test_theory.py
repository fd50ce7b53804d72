"""The simulator and the formulas against each other, and against two simulators that nobody here wrote.

The intervals are over independent seeds: the theory must lie in the 99.9 % interval of the simulated mean. Seeds are
fixed, so what passes once passes always.
"""

import math
from collections.abc import Iterator

import ciw
import numpy as np
import pytest
import simpy

from everwarm_planner import queueing
from everwarm_planner.queueing import Traffic
from everwarm_simulator import arrivals, run, workload
from everwarm_simulator.distributions import Deterministic, Distribution, Exponential, Lognormal, Seconds
from everwarm_simulator.run import Service
from everwarm_simulator.workload import Workload

SEEDS = range(8)
STUDENT = 5.408  # two-sided 99.9 %, 7 degrees of freedom
HORIZON = 3000.0
SETTLED = 300.0  # the queue starts empty, which theory does not know


def waits(load: Workload, servers: int, concurrency: int = 1) -> Seconds:
    replicas = servers // concurrency
    service = Service(concurrency, Deterministic(1.0), replicas, replicas)
    done = run.simulate(load, service, None, None, np.random.default_rng(0))
    return (done.starts - load.arrivals)[load.arrivals >= SETTLED]


def poisson_workload(seed: int, rate: float, service: Distribution, horizon: float = HORIZON) -> Workload:
    generator = np.random.default_rng(seed)
    times = arrivals.poisson(generator, rate, horizon)
    return workload.of_arrivals(generator, times, service, horizon)


def assert_mean(values: list[float], theory: float) -> None:
    half = STUDENT * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    assert abs(float(np.mean(values)) - theory) <= half, f"{np.mean(values):.5f} +- {half:.5f}, theory {theory:.5f}"
    assert half < 0.25 * theory, "the interval says nothing"


@pytest.mark.parametrize(
    ("servers", "load", "concurrency"), [(1, 0.7, 1), (4, 3.2, 1), (4, 3.2, 2), (13, 9.1, 1), (32, 28.0, 4)]
)
def test_waits_in_m_m_c_are_erlangs(servers: int, load: float, concurrency: int) -> None:
    theory = queueing.waiting(Traffic(load / 0.2, 0.2), servers)
    simulated = [waits(poisson_workload(seed, load / 0.2, Exponential(0.2)), servers, concurrency) for seed in SEEDS]
    late = theory.quantile(1 - theory.probability / 4)
    assert_mean([float((wait > 0).mean()) for wait in simulated], theory.probability)
    assert_mean([float(wait.mean()) for wait in simulated], theory.mean_seconds)
    assert_mean([float((wait > late).mean()) for wait in simulated], theory.exceeds(late))


@pytest.mark.parametrize("service", [Deterministic(0.2), Exponential(0.2), Lognormal(0.2, 0.8)], ids=repr)
def test_the_mean_wait_in_m_g_1_is_pollaczeks_and_khinchines(service: Distribution) -> None:
    theory = queueing.waiting(Traffic(3.0, 0.2, service.squared_variation), 1)
    second_moment = 0.2**2 * (1 + service.squared_variation)
    assert theory.mean_seconds == pytest.approx(3.0 * second_moment / (2 * (1 - 0.6)))
    simulated = [float(waits(poisson_workload(seed, 3.0, service, 6000.0), 1).mean()) for seed in SEEDS]
    assert_mean(simulated, theory.mean_seconds)


@pytest.mark.parametrize(
    ("rate", "sigma", "dispersion", "objective"),
    [(10.0, 0.47, 1.0, 0.6), (60.0, 0.47, 1.0, 0.5), (60.0, 0.47, 4.4, 0.6), (200.0, 0.2, 3.0, 0.4)],
)
def test_the_least_servers_meet_the_objective_in_the_simulator_and_half_of_the_spare_ones_do_not(
    rate: float, sigma: float, dispersion: float, objective: float
) -> None:
    service = Lognormal(0.2, sigma)
    traffic = Traffic(rate, 0.2, service.squared_variation, dispersion)
    servers = queueing.least_servers(traffic, objective)
    assert servers is not None
    generator = np.random.default_rng(5)
    load = workload.of_rates(generator, np.full(30, rate), 100.0, service, dispersion)

    def attained(count: int) -> float:
        done = run.simulate(load, Service(1, Deterministic(1.0), count, count), None, None, generator)
        return float((done.latencies <= objective).mean())

    assert attained(servers) >= 0.95
    assert attained(math.ceil(traffic.load + (servers - traffic.load) / 2) - 1) < 0.95


def test_simpy_gives_the_same_start_to_each_request() -> None:
    load = poisson_workload(3, 18.0, Lognormal(0.2, 0.5), 200.0)
    environment = simpy.Environment()
    slots = simpy.Resource(environment, capacity=4)
    starts = np.full(len(load.arrivals), math.nan)

    def request(number: int) -> Iterator[simpy.Event]:
        yield environment.timeout(load.arrivals[number])
        with slots.request() as turn:
            yield turn
            starts[number] = environment.now
            yield environment.timeout(load.services[number])

    for number in range(len(load.arrivals)):
        environment.process(request(number))
    environment.run()
    done = run.simulate(load, Service(1, Deterministic(1.0), 4, 4), None, None, np.random.default_rng(0))
    assert done.starts == pytest.approx(starts, abs=1e-9)


def test_ciw_gives_the_same_waits() -> None:
    load = poisson_workload(4, 18.0, Lognormal(0.2, 0.5), 100.0)
    gaps = np.diff(load.arrivals, prepend=0.0).tolist()
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential([*gaps, 1e9])],
        service_distributions=[ciw.dists.Sequential([*load.services.tolist(), 1.0])],
        number_of_servers=[4],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(1e6)
    records = sorted(simulation.get_all_records(), key=lambda record: record.arrival_date)
    done = run.simulate(load, Service(1, Deterministic(1.0), 4, 4), None, None, np.random.default_rng(0))
    expected = [record.waiting_time for record in records]
    assert (done.starts - load.arrivals).tolist() == pytest.approx(expected, abs=1e-6)
