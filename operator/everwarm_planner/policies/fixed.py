"""A floor that a person chose. It looks at nothing, so it needs no metrics and holds through their absence."""

from dataclasses import dataclass

from everwarm_planner import wording
from everwarm_planner.decision import Reason
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, Observation
from everwarm_planner.policies.base import Proposal


@dataclass(frozen=True, slots=True)
class Fixed:
    """Keep `replicas` warm, whatever happens.

    Raises:
        ValueError: `replicas` is negative.
    """

    replicas: int

    def __post_init__(self) -> None:
        if self.replicas < 0:
            raise ValueError(f"a fixed floor can't be negative: {self.replicas}")

    @property
    def needs_observation(self) -> bool:
        """No: a person decided."""
        return False

    def propose(self, observation: Observation | MissingObservation, memory: Memory) -> Proposal:
        """The chosen floor; neither argument matters."""
        del observation, memory
        return Proposal(self.replicas, Reason.FIXED, f"The policy is fixed at {wording.replicas(self.replicas)}")
