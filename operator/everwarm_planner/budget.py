"""Dollars per month -> how many replicas there may be now. Pure.

The budget accrues evenly over the month, a day ahead; what was not spent is kept for later. While there is a balance,
replicas may use it up within an hour at the fastest; without one there are as many as the accrual pays for. So a peak
is paid out of the quiet hours, the last day has its share, and the month never costs more than the budget.
"""

import math
from dataclasses import dataclass, replace

from everwarm_planner import wording
from everwarm_planner.local_time import month
from everwarm_planner.memory import Memory
from everwarm_planner.observation import Observation

_AHEAD_SECONDS = 86_400.0  # a first day whose peak comes before its quiet hours
_FASTEST_SECONDS = 3600.0  # the balance is gone after an hour at the earliest: time to see it and to react


@dataclass(frozen=True, slots=True)
class Budget:
    """What the replicas of a service may cost.

    Attributes:
        usd_per_month: the budget of a calendar month (UTC).
        usd_per_replica_hour: what one replica costs for an hour, starting or ready, busy or not.

    Raises:
        ValueError: a figure is not over 0.
    """

    usd_per_month: float
    usd_per_replica_hour: float

    def __post_init__(self) -> None:
        for name in ("usd_per_month", "usd_per_replica_hour"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be over 0, not {value}")

    def spend(self, observation: Observation, memory: Memory) -> Memory:
        """The memory with what the replicas have cost since the last observation; a new month begins at nothing."""
        begin, _ = month(observation.at_seconds)
        same = memory.spent_since_seconds == begin and memory.spent_usd is not None
        spent = (memory.spent_usd or 0.0) if same else 0.0
        if memory.observed_at_seconds is not None:
            # Nobody looked in between: what runs now is the best guess at what ran.
            passed = observation.at_seconds - max(begin, memory.observed_at_seconds)
            replicas = observation.ready_replicas + observation.starting_replicas
            spent += max(0.0, passed) * replicas * self.usd_per_replica_hour / 3600
        return replace(memory, spent_since_seconds=begin, spent_usd=spent)

    def words(self, limit: int, spent_usd: float) -> str:
        """What the limit is, for the end of a sentence."""
        return (
            f"the budget of ${self.usd_per_month:.4g} a month, ${spent_usd:.4g} of it spent, "
            f"pays for {wording.replicas(limit)} now"
        )

    def limit(self, at_seconds: float, spent_usd: float) -> int:
        """The most replicas that there may be now."""
        begin, end = month(at_seconds)
        accrual = self.usd_per_month / (end - begin)
        balance = min(self.usd_per_month, accrual * (at_seconds - begin + _AHEAD_SECONDS)) - spent_usd
        if at_seconds - begin + _AHEAD_SECONDS >= end - begin:
            accrual = 0.0  # all of it is in the balance
        usd_per_second = accrual + balance / min(_FASTEST_SECONDS, max(1.0, end - at_seconds))
        return max(0, math.floor(usd_per_second * 3600 / self.usd_per_replica_hour * (1 + 1e-12)))
