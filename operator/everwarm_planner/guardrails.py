"""What holds for every policy: bounds, missing data, time that runs backwards, and never less for who has too little.

In: observations and proposals. Out: the same, made safe, with the words that say which guardrail bound.
"""

import math
from dataclasses import dataclass, replace

from everwarm_planner import wording
from everwarm_planner.decision import Reason
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, MissingReason, Observation
from everwarm_planner.policies.base import Proposal

_MOST = 1e9  # of anything that is measured here; a figure over it is a broken one


@dataclass(frozen=True, slots=True)
class Bounds:
    """The floor never leaves these; both in replicas, `min_replicas` 0 allows scale to zero.

    Raises:
        ValueError: no floor fits between them.
    """

    min_replicas: int
    max_replicas: int

    def __post_init__(self) -> None:
        if not 0 <= self.min_replicas <= self.max_replicas or self.max_replicas < 1:
            raise ValueError(
                f"no floor fits between min_replicas {self.min_replicas} and max_replicas {self.max_replicas}"
            )

    def clamp(self, floor: int) -> int:
        """The nearest floor within the bounds."""
        return min(max(floor, self.min_replicas), self.max_replicas)

    def name(self, floor: int) -> str:
        """Which bound a floor outside of them runs into, as words."""
        if floor < self.min_replicas:
            return f"the minimum is {wording.replicas(self.min_replicas)}"
        return f"the maximum is {wording.replicas(self.max_replicas)}"


def trusted(observation: Observation | MissingObservation, memory: Memory) -> Observation | MissingObservation:
    """The observation, or why it is none: a figure that can't be, or a reading older than the last one.

    An older reading (a lagging Prometheus replica, a clock that was set back) holds once and is the reference from then
    on, so that a clock that was set back an hour does not hold for an hour. A repeated one is harmless: no time passed.
    """
    if isinstance(observation, MissingObservation):
        return observation
    at = observation.at_seconds
    wrong = _impossible_figure(observation)
    if wrong is not None:
        return MissingObservation(at, MissingReason.INVALID, f"{wrong} is {getattr(observation, wrong)}")
    if memory.observed_at_seconds is not None and at < memory.observed_at_seconds:
        behind = memory.observed_at_seconds - at
        return MissingObservation(at, MissingReason.STALE, f"the reading is {behind:.4g} s older than the last one")
    return observation


def without_hole(observation: Observation | MissingObservation, memory: Memory, hole_seconds: float) -> Memory:
    """The memory, its low-utilisation window forgotten if nothing was seen for longer than `hole_seconds`."""
    last = memory.observed_at_seconds
    if last is None or observation.at_seconds - last > hole_seconds:
        return replace(memory, low_since_seconds=None)
    return memory


def hold(missing: MissingObservation, floor: int) -> Proposal:
    """Keep the floor while nothing is known; a window with a hole is no whole window, so it starts again."""
    detail = missing.detail.strip().rstrip(".") or missing.reason.value
    return Proposal(floor, Reason.MISSING_DATA, f"No data ({detail})")


def never_lower_when_under_provisioned(proposal: Proposal, floor: int) -> tuple[int, list[str]]:
    """The proposed floor, or the one that stands if who has too little would get less; and the words for it."""
    arguments = [] if proposal.argument is None else [proposal.argument]
    if proposal.reason is Reason.UNDER_PROVISIONED and proposal.floor < floor:
        asked = f"asks for a floor of {proposal.floor}"
        arguments = [f"{arguments[0]} and {asked}" if arguments else f"the policy {asked}"]
        return floor, [*arguments, "a service that is under-provisioned is never lowered"]
    return proposal.floor, arguments


def _impossible_figure(observation: Observation) -> str | None:
    """The name of the first figure that no measurement can give."""
    limits = {
        "rate_per_second": _MOST,
        "p95_seconds": _MOST,
        "service_seconds": _MOST,
        "cold_start_fraction": 1.0,
        "utilization": _MOST,  # a slot may be counted busy for a moment longer than it is ready
        "ready_replicas": _MOST,
        "in_flight": _MOST,
    }
    if not math.isfinite(observation.at_seconds):
        return "at_seconds"
    for name, limit in limits.items():
        value = getattr(observation, name)
        if value is not None and not (math.isfinite(value) and 0 <= value <= limit):
            return name
    return None
