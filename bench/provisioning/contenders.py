"""Who decides on the replicas: each policy, its constants as fixed beforehand, and the grid its best is searched in.

Fixed beforehand means: written here, chosen on the tuning set of `scenarios`, equal for all loads and cold starts.
Peers run at their own defaults, and once more at the best of their grid for the very load that they are judged on,
which nobody could have known (hindsight). Each decides alone: nobody's floor is under it. What Knative makes of a floor
is shown on one seed: the hybrid policy's under a pod autoscaler at a target of 100 %, Algorithm 1's at its default.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bench.provisioning.scenarios import OBJECTIVE_SECONDS, Scenario

from everwarm_planner.guardrails import Bounds
from everwarm_planner.plan import Planner
from everwarm_planner.policies import hpa, kpa
from everwarm_planner.policies.fixed import Fixed
from everwarm_planner.policies.hybrid import Hybrid
from everwarm_planner.policies.paper import Paper
from everwarm_simulator.knative import Knative
from everwarm_simulator.kubernetes import HorizontalPods
from everwarm_simulator.planned import Planned
from everwarm_simulator.run import Floor, Reactive

MAX_REPLICAS = 150
INITIAL_REPLICAS = 15
GOALS = (0.95, 0.99)
HYBRID_INTERVAL_SECONDS = 15  # as the operator does; at 2 s the figures are the same within 1 %
PAPER_INTERVAL_SECONDS = 60  # no tick is given; with its window of 60 s each observation is new

Controls = tuple[Reactive | None, Floor | None]


@dataclass(frozen=True, slots=True)
class Contender:
    """A policy with its one constant that matters.

    Attributes:
        family: the policy.
        value: goal (hybrid), target (KPA, HPA), factor (Algorithm 1) or replicas (fixed).
        hindsight: searched for on the load that it is judged on.
    """

    family: str
    value: float
    hindsight: bool = False

    @property
    def setting(self) -> str:
        """What is particular about it, as it is printed."""
        if self.family == "fixed":
            return f"{self.value:g}"
        if self.family.startswith("Algorithm 1"):
            return f"x {self.value:g}"
        return f"{'for ' if self.family.startswith('hybrid') else ''}{self.value:.0%}"

    @property
    def initial_replicas(self) -> int:
        """Ready at the beginning."""
        return int(self.value) if self.family == "fixed" else INITIAL_REPLICAS

    def controls(self, scenario: Scenario) -> Controls:
        """Who decides, built anew: policies keep state."""
        return _MAKERS[self.family](self.value, scenario)


def _hybrid(goal: float, scenario: Scenario) -> Controls:
    return None, _planned(goal, scenario)


def _hybrid_on_knative(goal: float, scenario: Scenario) -> Controls:
    return _knative(1.0, scenario)[0], _planned(goal, scenario)


def _paper_on_knative(factor: float, scenario: Scenario) -> Controls:
    return _knative(0.7, scenario)[0], _paper(factor, scenario)[1]


def _planned(goal: float, scenario: Scenario) -> Planned:
    planner = Planner(Hybrid(OBJECTIVE_SECONDS, 1, goal), Bounds(1, MAX_REPLICAS))
    begin, history = scenario.begin_seconds, scenario.history()
    return Planned(planner, INITIAL_REPLICAS, HYBRID_INTERVAL_SECONDS, begin_seconds=begin, history=history)


def _knative(utilization: float, scenario: Scenario) -> Controls:
    del scenario
    return Knative(kpa.Settings(target=utilization, total=1.0), MAX_REPLICAS, INITIAL_REPLICAS), None


def _horizontal(utilization: float, scenario: Scenario) -> Controls:
    del scenario
    return HorizontalPods(hpa.Settings(utilization, 1, MAX_REPLICAS), 1), None


def _paper(factor: float, scenario: Scenario) -> Controls:
    planner = Planner(Paper(OBJECTIVE_SECONDS, 1, factor=factor), Bounds(1, MAX_REPLICAS))
    return None, Planned(planner, INITIAL_REPLICAS, PAPER_INTERVAL_SECONDS, begin_seconds=scenario.begin_seconds)


def _fixed(replicas: float, scenario: Scenario) -> Controls:
    planner = Planner(Fixed(int(replicas)), Bounds(0, MAX_REPLICAS))
    return None, Planned(planner, int(replicas), 3600, begin_seconds=scenario.begin_seconds)


_MAKERS: dict[str, Callable[[float, Scenario], Controls]] = {
    "hybrid": _hybrid,
    "hybrid + KPA": _hybrid_on_knative,
    "KPA": _knative,
    "HPA": _horizontal,
    "Algorithm 1": _paper,
    "Algorithm 1 + KPA": _paper_on_knative,
    "fixed": _fixed,
}
OURS = tuple(Contender("hybrid", goal) for goal in GOALS)
ON_KNATIVE = (Contender("hybrid + KPA", GOALS[0]), Contender("Algorithm 1 + KPA", 1.5))
DEFAULTS = (Contender("KPA", 0.7), Contender("HPA", 0.8), Contender("Algorithm 1", 1.5))
_GRID: dict[str, tuple[float, ...]] = {
    "KPA": (0.25, 0.35, 0.45, 0.55, 0.65, 0.8, 1.0),
    "HPA": (0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9),
    "Algorithm 1": (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0),
    "fixed": (8, 10, 12, 14, 16, 18, 20, 22, 25, 30, 35, 40, 50, 60),
}
GRID = tuple(Contender(family, value, hindsight=True) for family, values in _GRID.items() for value in values)
_THIN = {0.35, 0.45, 0.5, 0.6, 0.65, 0.7, 2.0, 3.0, 12, 16, 20, 25, 40, 60}
THIN_GRID = tuple(contender for contender in GRID if contender.value in _THIN)
