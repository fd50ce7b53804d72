"""How fast the simulator is: SimPy, Ciw and ours on one queue, in one run, on one core.

M/M/16 at 70 % load, whose mean wait is known: each engine prints its own beside it, so that none is fast by doing less
(with an autoscaler the replicas move, so there it differs). Ours runs in pure Python and compiled, each in three ways:
the kernel alone, with Knative's autoscaler deciding every 2 s, and with the planner's floor on top, decided every 15 s.
Speed is requests per second of processor time, the best of three, generation of the load and compilation left out.
`--json FILE` writes the results as {name, got, goal, unit, holds}; `--quick` takes a tenth of the requests.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ciw
import numpy as np
import simpy
from bench.rig import report

from everwarm_planner import queueing
from everwarm_planner.guardrails import Bounds
from everwarm_planner.plan import Planner
from everwarm_planner.policies import kpa
from everwarm_planner.policies.paper import Paper
from everwarm_simulator import arrivals, run, workload
from everwarm_simulator.distributions import Exponential, Seconds, Uniform
from everwarm_simulator.kernel.base import Kernel
from everwarm_simulator.kernel.compiled import CompiledKernel
from everwarm_simulator.kernel.pure import PureKernel
from everwarm_simulator.knative import Knative
from everwarm_simulator.planned import Planned
from everwarm_simulator.run import Service
from everwarm_simulator.workload import Workload

SERVERS, RATE, WORK_SECONDS = 16, 56.0, 0.2
GOALS_PER_SECOND = {"pure, kernel": 1_000_000, "compiled, kernel": 10_000_000}
Waits = Callable[[Workload], Seconds]


def load_of(requests: int) -> Workload:
    """Arrivals and work for about this many requests."""
    generator = np.random.default_rng(1)
    horizon = requests / RATE
    times = arrivals.poisson(generator, RATE, horizon)
    return workload.of_arrivals(generator, times, Exponential(WORK_SECONDS), horizon)


def ours(kernel: Kernel, *, autoscaler: bool = False, floor: bool = False) -> Waits:
    """Our simulator, with what decides on top."""

    def play(load: Workload) -> Seconds:
        most = 64 if autoscaler else SERVERS
        service = Service(1, Uniform(20.0, 40.0), most, SERVERS)
        reactive = Knative(kpa.Settings.of_concurrency(1), most, SERVERS) if autoscaler else None
        planner = Planner(Paper(target_p95_seconds=0.8, concurrency=1), Bounds(1, most))
        planned = Planned(planner, SERVERS, interval_seconds=15) if floor else None
        done = run.simulate(load, service, reactive, planned, np.random.default_rng(2), kernel=kernel)
        return done.starts - load.arrivals

    return play


def with_simpy(load: Workload) -> Seconds:
    """One process per request, as its documentation shows."""
    environment = simpy.Environment()
    slots = simpy.Resource(environment, capacity=SERVERS)
    waits = np.zeros(len(load.arrivals))

    def request(number: int, work: float) -> Iterator[simpy.Event]:
        came = environment.now
        with slots.request() as turn:
            yield turn
            waits[number] = environment.now - came
            yield environment.timeout(work)

    def source() -> Iterator[simpy.Event]:
        pairs = zip(load.arrivals.tolist(), load.services.tolist(), strict=True)
        for number, (arrival, work) in enumerate(pairs):
            yield environment.timeout(arrival - environment.now)
            environment.process(request(number, work))

    environment.process(source())
    environment.run()
    return waits


def with_ciw(load: Workload) -> Seconds:
    """One node, the load as sequences."""
    gaps = np.diff(load.arrivals, prepend=0.0).tolist()
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential([*gaps, 1e12])],
        service_distributions=[ciw.dists.Sequential([*load.services.tolist(), 1.0])],
        number_of_servers=[SERVERS],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(1e11)
    return np.array([record.waiting_time for record in simulation.get_all_records()])


def measure(waits: Waits, requests: int) -> tuple[float, float]:
    """Requests per second of processor time, and the mean wait in seconds."""
    waits(load_of(1000))  # compiles what is compiled
    load = load_of(requests)
    best = float("inf")
    for _ in range(3):
        begun = time.process_time()
        result = waits(load)
        best = min(best, time.process_time() - begun)
    return len(load.arrivals) / best, float(result.mean())


def _ours(name: str, kernel: Kernel, requests: int) -> Iterator[tuple[str, Waits, int]]:
    yield f"{name}, kernel", ours(kernel), requests
    yield f"{name}, with Knative's autoscaler", ours(kernel, autoscaler=True), requests
    yield f"{name}, with autoscaler and floor", ours(kernel, autoscaler=True, floor=True), requests


def main() -> int:
    """Measure, print a table, and say whether the goal holds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    part = 10 if arguments.quick else 1
    engines: list[tuple[str, Waits, int]] = [
        ("SimPy", with_simpy, 200_000 // part),
        ("Ciw", with_ciw, 100_000 // part),
        *_ours("pure", PureKernel(), 2_000_000 // part),
        *_ours("compiled", CompiledKernel(), 10_000_000 // part),
    ]
    theory = queueing.waiting(queueing.Traffic(RATE, WORK_SECONDS), SERVERS).mean_seconds
    print(f"M/M/{SERVERS}, {RATE * WORK_SECONDS / SERVERS:.0%} load; the mean wait is {theory * 1000:.2f} ms in theory")
    measures, speeds = [], {}
    for name, waits, requests in engines:
        speeds[name], mean = measure(waits, requests)
        print(f"{name:35} {speeds[name] / 1000:10,.0f} k requests/s   mean wait {mean * 1000:7.2f} ms")
        goal = GOALS_PER_SECOND.get(name)
        measures.append(report.Measure(name, round(speeds[name]), goal, "requests/s"))
    for name in GOALS_PER_SECOND:
        times = speeds[name] / speeds["SimPy"]
        measures.append(report.Measure(f"{name} over SimPy", round(times, 1), None, "x"))
        print(f"{name}: {times:.0f} times as fast as SimPy")
    if arguments.json:
        report.write_json(measures, arguments.json)
    return report.exit_code(measures)


if __name__ == "__main__":
    sys.exit(main())
