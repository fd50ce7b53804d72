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
    SCHEDULED = "Scheduled"
    FORECAST = "Forecast"
    BUDGET = "Budget"
    COOLING_DOWN = "CoolingDown"
    STEP_LIMITED = "StepLimited"
    SETTLING = "Settling"
    PAUSED = "Paused"
    FALLBACK = "Fallback"


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected until a replica that is asked for now would be ready.

    Attributes:
        low_per_second, point_per_second, upper_per_second: requests per second, the highest minute of the horizon.
        part: part of the times that the upper one is meant to hold, 0 to 1.
        horizon_seconds: how far ahead.
        model: who says so.
    """

    low_per_second: float
    point_per_second: float
    upper_per_second: float
    part: float
    horizon_seconds: float
    model: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now.

    Attributes:
        floor: replicas to keep warm.
        previous_floor: the floor before this decision.
        reason: for machines.
        sentence: for people, with the numbers that led here.
        demand: replicas that the measured load needs; `None` where it is unknown.
        forecast: what the policy expects; `None` from a policy that does not look ahead, or where it can't yet.
        limit: the most replicas that the budget pays for now, floor or not; `None` without a budget.
    """

    floor: int
    previous_floor: int
    reason: Reason
    sentence: str
    demand: float | None = None
    forecast: Forecast | None = None
    limit: int | None = None

    @property
    def changed(self) -> bool:
        """Whether the floor moves."""
        return self.floor != self.previous_floor
