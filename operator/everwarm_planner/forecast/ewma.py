"""It goes on as it was lately: an exponentially weighted mean. Best where the noise of a minute hides a slow level."""

import math
from dataclasses import dataclass

from everwarm_planner.forecast.base import State, Step
from everwarm_planner.forecast.past import Past


@dataclass(frozen=True, slots=True)
class Ewma:
    """Simple exponential smoothing.

    Attributes:
        weight: of the newest minute; 0.3: most of what is believed is of the last five minutes.
    """

    weight: float = 0.3
    name: str = "the last minutes' mean"

    def step(self, state: State, past: Past, horizon_minutes: int) -> Step:
        """The level, whatever the horizon; a minute that was not measured leaves it."""
        del horizon_minutes
        if math.isnan(past.last):
            return Step(state, state[0] if state else math.nan)
        level = past.last if not state else state[0] + self.weight * (past.last - state[0])
        return Step((level,), level)
