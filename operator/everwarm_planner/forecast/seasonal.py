"""Today is as other days, times how much busier today is: smoothing of what is left when the time of day is taken out.

Deseasonalised simple exponential smoothing. The best single forecaster of those that were measured; see
docs/reference/policies.md.
"""

import math
from dataclasses import dataclass

from everwarm_planner.forecast.base import State, Step
from everwarm_planner.forecast.past import Past

_LEAST_USUAL = 1e-3  # requests per second: a ratio to less than four an hour says nothing
_MOST = 5.0  # times as busy as usual, for the level: a spike at a quiet hour must not be projected onto the noon
_QUIETEST = 0.1  # of the mean of all hours: what is usual at an hour without traffic, for the same reason


@dataclass(frozen=True, slots=True)
class Deseasonalised:
    """Level times profile.

    Attributes:
        weight: of the newest minute in the level.
    """

    weight: float = 0.3
    name: str = "the time of day"

    def step(self, state: State, past: Past, horizon_minutes: int) -> Step:
        """The level, times the highest profile until the horizon."""
        usual = past.usual(0)
        if math.isnan(usual) or math.isnan(past.last):
            return Step(state, math.nan)
        quietest = max(_LEAST_USUAL, 0.0 if math.isnan(past.level) else _QUIETEST * past.level)
        ratio = min(_MOST, past.last / max(usual, quietest))
        level = ratio if not state else state[0] + self.weight * (ratio - state[0])
        peak = max(past.usual(ahead) for ahead in range(1, horizon_minutes + 1))
        return Step((level,), level * max(peak, quietest))


@dataclass(frozen=True, slots=True)
class Yesterday:
    """Seasonal naive: what it was a day ago. Best where a schedule drives the traffic, for example nightly batches."""

    name: str = "yesterday"

    def step(self, state: State, past: Past, horizon_minutes: int) -> Step:
        """The highest slot until the horizon, a day before."""
        return Step(state, max(past.yesterday(1), past.yesterday(horizon_minutes)))
