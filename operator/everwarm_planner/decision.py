"""A decision: the floor (min-scale), the machine's reason and a person's sentence.

Status, events, metrics and CLI show this same value.
"""

import enum
from dataclasses import dataclass


class Reason(enum.StrEnum):
    """Why the floor is what it is; stable names, used in conditions, events and metrics."""

    UNDER_PROVISIONED = "UnderProvisioned"
    OVER_PROVISIONED = "OverProvisioned"
    STEADY = "Steady"
    MISSING_DATA = "MissingData"
    BOUNDS_CHANGED = "BoundsChanged"
    FIXED = "Fixed"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now.

    Attributes:
        floor: replicas to keep warm.
        previous_floor: the floor before this decision.
        reason: for machines.
        sentence: for people, with the numbers that led here.
        demand: replicas that the measured load needs; `None` where it is unknown.
    """

    floor: int
    previous_floor: int
    reason: Reason
    sentence: str
    demand: float | None = None

    @property
    def changed(self) -> bool:
        """Whether the floor moves."""
        return self.floor != self.previous_floor
