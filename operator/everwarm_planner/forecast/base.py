"""What a forecaster is: the past goes in, the rate that the next minutes will reach comes out."""

from dataclasses import dataclass
from typing import Protocol

from everwarm_planner.forecast.past import Past

State = tuple[float, ...]
"""What one forecaster remembers of one service; empty before its first minute."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a forecaster says after a minute.

    Attributes:
        state: to be handed in at the next.
        peak_per_second: the highest of the next minutes' rates, as expected; nan: it knows too little.
    """

    state: State
    peak_per_second: float


class Forecaster(Protocol):
    """A way to look ahead; it keeps nothing itself."""

    @property
    def name(self) -> str:
        """For people."""

    def step(self, state: State, past: Past, horizon_minutes: int) -> Step:
        """Take in the newest minute of the past and look ahead, 1 to 15 minutes."""
