"""It goes on as it is: the last minute's rate. Beaten by little where there is no pattern."""

from dataclasses import dataclass

from everwarm_planner.forecast.base import State, Step
from everwarm_planner.forecast.past import Past


@dataclass(frozen=True, slots=True)
class Naive:
    """The last value."""

    name: str = "the last minute"

    def step(self, state: State, past: Past, horizon_minutes: int) -> Step:
        """The newest minute, whatever the horizon."""
        del horizon_minutes
        return Step(state, past.last)
