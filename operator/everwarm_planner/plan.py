"""The one entry point: `Planner.decide(observation, memory) -> (Decision, Memory)`.

The operator, the local mode, the simulator and the CLI call this same function; it is pure, so what it did can be
replayed.
"""

import math
from dataclasses import dataclass, replace

from everwarm_planner import guardrails, wording
from everwarm_planner.decision import Decision, Reason
from everwarm_planner.guardrails import Bounds
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, Observation
from everwarm_planner.policies.base import Policy, Proposal


@dataclass(frozen=True, slots=True)
class Planner:
    """A policy within bounds.

    Attributes:
        policy: proposes floors.
        bounds: what the floor never leaves.
        hole_seconds: observations further apart than this leave a hole, and a low-utilisation window with a hole does
            not count; 120 s, twice the span that one observation covers.
    """

    policy: Policy
    bounds: Bounds
    hole_seconds: float = 120.0

    def decide(self, observation: Observation | MissingObservation, memory: Memory) -> tuple[Decision, Memory]:
        """Decide on the floor, and say what to remember.

        - The floor is within the bounds always, without data too; if the bounds alone move it, the reason is
          `BoundsChanged`.
        - Without data (missing, impossible or older than the last one) the floor stays and the low-utilisation window
          starts again. A policy that needs no data goes on.
        - A repeated observation decides as before and lets no time pass.
        """
        believed = guardrails.trusted(observation, memory)
        base = self.bounds.clamp(memory.floor)
        known = guardrails.without_hole(believed, memory, self.hole_seconds)
        if base != memory.floor:
            known = replace(known, floor=base, low_since_seconds=None)
        if isinstance(believed, MissingObservation) and self.policy.needs_observation:
            proposal = guardrails.hold(believed, base)
        else:
            proposal = self.policy.propose(believed, known)
        decision = self._bounded(proposal, memory.floor, base)
        return decision, self._remember(observation, proposal, decision, known)

    def _bounded(self, proposal: Proposal, previous_floor: int, base: int) -> Decision:
        wanted, arguments = guardrails.never_lower_when_under_provisioned(proposal, base)
        floor = self.bounds.clamp(wanted)
        if floor == base != previous_floor:
            limit = self.bounds.name(previous_floor)
            text = wording.sentence(limit[0].upper() + limit[1:], [], previous_floor, floor)
            return Decision(floor, previous_floor, Reason.BOUNDS_CHANGED, text, proposal.demand)
        if floor != wanted:
            arguments = [*arguments, self.bounds.name(wanted)]
        text = wording.sentence(proposal.cause, arguments, previous_floor, floor)
        return Decision(floor, previous_floor, proposal.reason, text, proposal.demand)

    def _remember(
        self, observation: Observation | MissingObservation, proposal: Proposal, decision: Decision, known: Memory
    ) -> Memory:
        low_since = proposal.low_since_seconds
        if proposal.reason is Reason.OVER_PROVISIONED and decision.floor == known.floor:
            # The minimum kept the step from being taken, so the window that earned it is not used up.
            low_since = known.low_since_seconds
        observed_at = known.observed_at_seconds
        if isinstance(observation, Observation) and math.isfinite(observation.at_seconds):
            observed_at = observation.at_seconds
        return Memory(decision.floor, low_since, observed_at)
