"""The one entry point: `Planner.decide(observation, memory) -> (Decision, Memory)`.

The operator, the local mode, the simulator and the CLI call this same function; it is pure, so what it did can be
replayed.
"""

from dataclasses import dataclass, field, replace

from everwarm_planner import guardrails, wording
from everwarm_planner.budget import Budget
from everwarm_planner.decision import Decision, Reason
from everwarm_planner.guardrails import Bounds, Fallback
from everwarm_planner.history import Series
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, Observation
from everwarm_planner.pace import Pace
from everwarm_planner.policies.base import Learner, Policy, Proposal


@dataclass(frozen=True, slots=True)
class Planner:
    """A policy within bounds.

    Attributes:
        policy: proposes floors.
        bounds: what the floor never leaves.
        hole_seconds: observations further apart than this leave a hole, and a low-utilisation window with a hole does
            not count; 120 s, twice the span that one observation covers.
        pace: how fast the floor may move.
        budget: what the replicas may cost; it has the last word, over the minimum too.
        fallback: what to keep warm after a long silence; `None`: what stood before it.
    """

    policy: Policy
    bounds: Bounds
    hole_seconds: float = 120.0
    pace: Pace = field(default_factory=Pace)
    budget: Budget | None = None
    fallback: Fallback | None = None

    def decide(self, observation: Observation | MissingObservation, memory: Memory) -> tuple[Decision, Memory]:
        """Decide on the floor, and say what to remember.

        - The floor is within the bounds always, without data too; if the bounds alone move it, the reason is
          `BoundsChanged`.
        - Without data (missing, impossible or older than the last one) the floor stays and the low-utilisation window
          starts again. A policy that needs no data goes on.
        - A repeated observation decides as before and lets no time pass.
        """
        now = guardrails.time_of(observation, memory)
        believed = guardrails.trusted(observation, memory)
        if isinstance(believed, MissingObservation):
            believed = replace(believed, at_seconds=now)
        base = self.bounds.clamp(memory.floor)
        known = guardrails.without_hole(believed, memory, self.hole_seconds)
        if base != memory.floor:
            known = replace(known, floor=base, low_since_seconds=None)
        if self.budget is not None and isinstance(believed, Observation):
            known = self.budget.spend(believed, known)
        if isinstance(believed, MissingObservation) and self.policy.needs_observation:
            fallback = self.fallback.propose(believed, known) if self.fallback is not None else None
            proposal = fallback or guardrails.hold(believed, base)
        else:
            proposal = self.policy.propose(believed, known)
        decision = self._guarded(proposal, now, memory.floor, known)
        seen = isinstance(observation, Observation) and now == observation.at_seconds
        if seen:
            known = replace(known, observed_at_seconds=now)
        if decision.changed:
            known = replace(known, changed_at_seconds=now)
        return decision, _remember(proposal, decision, known)

    def learn(self, series: Series, memory: Memory) -> Memory:
        """The memory, enriched with a past that was recorded elsewhere; as it was where the policy has no use for it.

        For after a restart: the policy decides without, only less well, so this may come late or never.
        """
        return self.policy.learn(series, memory) if isinstance(self.policy, Learner) else memory

    def _guarded(self, proposal: Proposal, at_seconds: float, previous_floor: int, known: Memory) -> Decision:
        base = known.floor
        wanted, arguments = guardrails.never_lower_when_under_provisioned(proposal, base)
        paced, reason, words = self.pace.limit(wanted, proposal.reason, at_seconds, known)
        if words is not None:
            arguments = [*arguments, words]
        floor, cause, limit = self.bounds.clamp(paced), proposal.cause, None
        if floor == base != previous_floor:
            name = self.bounds.name(previous_floor)
            cause, arguments, reason = name[0].upper() + name[1:], [], Reason.BOUNDS_CHANGED
        elif floor != paced:
            arguments = [*arguments, self.bounds.name(paced)]
        if self.budget is not None:
            limit = self.budget.limit(at_seconds, known.spent_usd or 0.0)
            if floor > limit:
                floor, reason = limit, Reason.BUDGET
                arguments = [*arguments, self.budget.words(limit, known.spent_usd or 0.0)]
        text = wording.sentence(cause, arguments, previous_floor, floor)
        return Decision(floor, previous_floor, reason, text, proposal.demand, proposal.forecast, limit)


def _remember(proposal: Proposal, decision: Decision, known: Memory) -> Memory:
    low_since = proposal.low_since_seconds
    if proposal.reason is Reason.OVER_PROVISIONED and decision.floor == known.floor:
        # A guardrail kept the step from being taken, so the window that earned it is not used up.
        low_since = known.low_since_seconds
    learned = known.learned if proposal.learned is None else proposal.learned
    allowance = known.allowance if proposal.allowance is None else proposal.allowance
    return replace(known, floor=decision.floor, low_since_seconds=low_since, allowance=allowance, learned=learned)
