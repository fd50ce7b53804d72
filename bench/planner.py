"""How long the planner takes to decide for 5,000 services in one pass, each with a week of history in its memory.

Passes follow each other by 15 s, as in the operator, over two minutes: each minute that ends is learned from, so its
pass takes longer, and the longest pass is the figure. Processor time, one core. `--json FILE` writes the results as
{name, got, goal, unit, holds}; `--quick` takes a tenth of the services, and scales up.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from bench.rig import report

from everwarm_planner.guardrails import Bounds
from everwarm_planner.history import Series
from everwarm_planner.memory import Memory
from everwarm_planner.observation import Observation
from everwarm_planner.plan import Planner
from everwarm_planner.policies.base import Policy
from everwarm_planner.policies.hybrid import Hybrid
from everwarm_planner.policies.paper import Paper

SERVICES = 5000
GOAL_SECONDS = 1.0
PASSES = 9
INTERVAL_SECONDS = 15.0
BEGIN_SECONDS = 7 * 86400.0


def pasts(count: int) -> list[Series]:
    """A week of each of so many services: a day's rhythm, noise, and a rate of its own."""
    generator = np.random.default_rng(1)
    minutes = np.arange(7 * 1440)
    made = []
    for rate in generator.lognormal(1.5, 1.0, count):
        rhythm = rate * (1.0 + 0.8 * np.sin(2 * np.pi * (minutes / 1440 + generator.uniform())))
        made.append(Series(0.0, 60.0, tuple((generator.poisson(rhythm * 60) / 60).tolist())))
    return made


def observed(generator: np.random.Generator, past: Series) -> Observation:
    """What is seen of a service, without a time yet: all figures that can be measured."""
    rate = float(np.mean(past.rates_per_second[-5:])) * generator.uniform(0.8, 1.3)
    return Observation(
        0.0,
        rate,
        0.3,
        0.2,
        0.0,
        0.6,
        max(1, round(rate * 0.3)),
        rate * 0.25,
        dispersion=2.0,
        service_variation=0.25,
        time_to_ready_seconds=30.0,
        recent_rate_per_second=rate,
        late_fraction=0.04,
    )


def measure(policy: Policy, services: int) -> list[float]:
    """Seconds of processor time of each pass."""
    planner = Planner(policy, Bounds(1, 500))
    generator = np.random.default_rng(2)
    kinds = pasts(20)
    learned = [planner.learn(past, Memory.start(1)) for past in kinds]
    memories = [learned[number % len(learned)] for number in range(services)]
    seen = [observed(generator, kinds[number % len(kinds)]) for number in range(services)]
    passes = []
    for number in range(PASSES):
        now = BEGIN_SECONDS + number * INTERVAL_SECONDS
        observations = [replace(one, at_seconds=now) for one in seen]
        begun = time.process_time()
        decided = [planner.decide(*pair) for pair in zip(observations, memories, strict=True)]
        passes.append(time.process_time() - begun)
        memories = [memory for _, memory in decided]
    return passes


def main() -> int:
    """Measure, print, and say whether the goal holds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    services = SERVICES // 10 if arguments.quick else SERVICES
    policies: dict[str, Policy] = {"hybrid": Hybrid(0.6, 1), "Algorithm 1": Paper(0.6, 1)}
    measures = []
    for name, policy in policies.items():
        passes = [seconds * SERVICES / services for seconds in measure(policy, services)]
        goal = GOAL_SECONDS if name == "hybrid" else None
        label = f"{name}: a pass over {SERVICES} services, the longest of {PASSES}"
        measures.append(report.Measure(label, round(max(passes), 3), goal, "s", at_most=True))
        print(f"{label}: {max(passes):.2f} s, median {np.median(passes):.2f} s")
    if arguments.json:
        report.write_json(measures, arguments.json)
    return report.exit_code(measures)


if __name__ == "__main__":
    sys.exit(main())
