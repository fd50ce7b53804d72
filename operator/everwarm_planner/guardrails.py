"""What holds for every policy: bounds, missing data, time that runs backwards, and never less for who has too little.

In: observations and proposals. Out: the same, made safe, with the words that say which guardrail bound.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from everwarm_planner import wording
from everwarm_planner.decision import Reason
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, MissingReason, Observation
from everwarm_planner.policies.base import Proposal

_MOST = 1e9  # of anything that is measured here; a figure over it is a broken one
_LATEST = 1e11  # unix time, in the year 5138: milliseconds or nanoseconds that were taken for seconds are later


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
    return _without_impossible_extras(observation)


def without_hole(observation: Observation | MissingObservation, memory: Memory, hole_seconds: float) -> Memory:
    """The memory, its windows begun again if nothing was seen for longer than `hole_seconds`, or time ran backwards."""
    last, at = memory.observed_at_seconds, observation.at_seconds
    if last is None or not at - last <= hole_seconds or at < last:
        memory = replace(memory, low_since_seconds=None, observing_since_seconds=None)
    if memory.observing_since_seconds is None and isinstance(observation, Observation):
        # A window of low utilisation is one of observations, also in a memory that holds no more.
        low_since = memory.low_since_seconds
        memory = replace(memory, observing_since_seconds=at if low_since is None else min(low_since, at))
    return memory


def time_of(observation: Observation | MissingObservation, memory: Memory) -> float:
    """Now: what the observation says, if it can be a time; else when the last one was read."""
    at = observation.at_seconds
    return at if 0 <= at <= _LATEST else memory.observed_at_seconds or 0.0


@dataclass(frozen=True, slots=True)
class Fallback:
    """What to keep warm when nothing was known for too long; a floor that is higher already stays.

    Attributes:
        after_seconds: since the last observation.
        replicas: the floor from then on, at least.

    Raises:
        ValueError: a figure has no meaning.
    """

    after_seconds: float
    replicas: int

    def __post_init__(self) -> None:
        if not 0 < self.after_seconds < math.inf or self.replicas < 0:
            raise ValueError(f"nobody can fall back on {self.replicas} replicas after {self.after_seconds} s")

    def propose(self, missing: MissingObservation, memory: Memory) -> Proposal | None:
        """The higher floor, once the silence is long enough; `None` before, and where it would change nothing."""
        last = memory.observed_at_seconds
        if last is None or missing.at_seconds - last < self.after_seconds or self.replicas <= memory.floor:
            return None
        cause = f"No data for {wording.duration(missing.at_seconds - last)}"
        return Proposal(self.replicas, Reason.FALLBACK, cause, f"the fallback is {wording.replicas(self.replicas)}")


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


_LIMITS = {
    "rate_per_second": _MOST,
    "p95_seconds": _MOST,
    "service_seconds": _MOST,
    "cold_start_fraction": 1.0,
    "utilization": _MOST,  # a slot may be counted busy for a moment longer than it is ready
    "ready_replicas": _MOST,
    "in_flight": _MOST,
    "starting_replicas": _MOST,
}
_EXTRA_LIMITS = {
    "dispersion": _MOST,
    "service_variation": _MOST,
    "time_to_ready_seconds": _MOST,
    "recent_rate_per_second": _MOST,
    "late_fraction": 1.0,
}


def _impossible_figure(observation: Observation) -> str | None:
    """The name of the first figure that no measurement can give."""
    if not 0 <= observation.at_seconds <= _LATEST:
        return "at_seconds"
    return next((name for name, limit in _LIMITS.items() if _impossible(getattr(observation, name), limit)), None)


def _without_impossible_extras(observation: Observation) -> Observation:
    """What policies can do without is left out where it can't be, rather than to decide nothing at all."""
    wrong = [name for name, limit in _EXTRA_LIMITS.items() if _impossible(getattr(observation, name), limit)]
    unknown: dict[str, Any] = dict.fromkeys(wrong)
    return replace(observation, **unknown) if wrong else observation


def _impossible(value: float | None, limit: float) -> bool:
    return value is not None and not 0 <= value <= limit  # nan is in no range
