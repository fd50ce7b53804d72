"""How fast a floor may move, whatever the policy: steps, a cool-down, and patience after a start. Pure."""

import math
from dataclasses import dataclass

from everwarm_planner import wording
from everwarm_planner.decision import Reason
from everwarm_planner.memory import Memory

_A_PERSONS_WORD = frozenset({Reason.FIXED, Reason.SCHEDULED})


@dataclass(frozen=True, slots=True)
class Pace:
    """Limits on moves; by default only that of a start.

    Attributes:
        most_up, most_down: replicas that one decision may add or take at most; `None`: as many as the policy says.
        cool_down_seconds: for so long after a move the floor is not lowered.
        settle_seconds: for so long after the first observation, or the first after a hole, the floor is not lowered
            by what was measured; 60 s, for until then an observation covers times that nobody has seen.

    Raises:
        ValueError: a limit has no meaning.
    """

    most_up: int | None = None
    most_down: int | None = None
    cool_down_seconds: float = 0.0
    settle_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("most_up", "most_down"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1 replica, not {value}")
        for name in ("cool_down_seconds", "settle_seconds"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be 0 s or more, not {value}")

    def limit(self, wanted: int, reason: Reason, at_seconds: float, memory: Memory) -> tuple[int, Reason, str | None]:
        """How far towards `wanted` the floor of the memory may go, why it stops, and the words for it."""
        floor = memory.floor
        if wanted < floor:
            held = self._held(reason, at_seconds, memory)
            if held is not None:
                return floor, *held
        if self.most_down is not None and floor - wanted > self.most_down:
            words = f"at most {wording.replicas(self.most_down)} may be taken at once"
            return floor - self.most_down, reason, words
        if self.most_up is not None and wanted - floor > self.most_up:
            return floor + self.most_up, reason, f"at most {wording.replicas(self.most_up)} may be added at once"
        return wanted, reason, None

    def _held(self, reason: Reason, at_seconds: float, memory: Memory) -> tuple[Reason, str] | None:
        """Why the floor may not be lowered now."""
        since = memory.observing_since_seconds
        seen = 0.0 if since is None else at_seconds - since
        if reason not in _A_PERSONS_WORD and seen < self.settle_seconds:
            return Reason.SETTLING, f"nothing is lowered before it was observed for {self.settle_seconds:.4g} s"
        changed = memory.changed_at_seconds
        if changed is not None and 0 <= at_seconds - changed < self.cool_down_seconds:
            return Reason.COOLING_DOWN, f"the floor moved {at_seconds - changed:.0f} s ago"
        return None
