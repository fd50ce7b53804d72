"""The planner around the simulator's clock: Observations -> the floor, and every decision kept for the report."""

from everwarm_planner.decision import Decision
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, Observation
from everwarm_planner.plan import Planner


class Planned:
    """The same `Planner.decide` as the operator calls: a `Floor` for `run.simulate`.

    Attributes:
        changes: (seconds, decision) of each decision that moved the floor.
    """

    def __init__(self, planner: Planner, initial_floor: int, interval_seconds: int = 15) -> None:
        if interval_seconds < 1:
            raise ValueError(f"a whole number of seconds must pass between decisions, not {interval_seconds}")
        self._planner = planner
        self._memory = Memory.start(initial_floor)
        self._interval_seconds = interval_seconds
        self.changes: list[tuple[float, Decision]] = []

    @property
    def interval_seconds(self) -> int:
        """15 s, as the operator's."""
        return self._interval_seconds

    def floor(self, observation: Observation | MissingObservation) -> int:
        """Decide once."""
        decision, self._memory = self._planner.decide(observation, self._memory)
        if decision.changed:
            self.changes.append((observation.at_seconds, decision))
        return decision.floor
