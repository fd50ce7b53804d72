"""What a policy is: an observation and a memory go in, a proposal comes out. Bounds and holds are the guardrails'."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from everwarm_planner.decision import Forecast, Reason
from everwarm_planner.history import Series
from everwarm_planner.learned import Learned
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, Observation


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a policy would do, were there no bounds.

    Attributes:
        floor: replicas to keep warm.
        reason: for machines.
        cause: the beginning of the sentence: what was seen, with numbers.
        argument: what follows from it (`demand is 2.4 replicas`); `None` where nothing was computed.
        demand: replicas that the measured load needs; `None` where it is unknown.
        low_since_seconds: what to remember as the beginning of the low-utilisation window.
        learned: what to remember of the past in this process; `None`: as it was.
        forecast: what is expected, where the policy looks ahead.
        allowance: what the calibration has come to; `None`: as it was.
    """

    floor: int
    reason: Reason
    cause: str
    argument: str | None = None
    demand: float | None = None
    low_since_seconds: float | None = None
    learned: Learned | None = None
    forecast: Forecast | None = None
    allowance: float | None = None


class Policy(Protocol):
    """A way to choose the floor.

    The planner asks a policy that `needs_observation` only with a complete one; `memory.floor` is within the bounds.
    """

    @property
    def needs_observation(self) -> bool:
        """Whether it is blind without data (then the planner holds in its place)."""

    def propose(self, observation: Observation | MissingObservation, memory: Memory) -> Proposal:
        """Say what the floor should be. Pure: equal arguments give equal proposals."""


@runtime_checkable
class Learner(Policy, Protocol):
    """A policy that decides better when it knows the past."""

    def learn(self, series: Series, memory: Memory) -> Memory:
        """The memory as if the policy had been there: what it already knows of later times is kept."""
