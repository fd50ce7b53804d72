"""The planner around the simulator's clock: Observations -> the floor, and every decision kept for the report."""

from dataclasses import replace

from everwarm_planner.decision import Decision
from everwarm_planner.history import Series
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, Observation
from everwarm_planner.plan import Planner


class Planned:
    """The same `Planner.decide` as the operator calls: a `Floor` for `run.simulate`.

    Args:
        planner: who decides.
        initial_floor: replicas at the beginning.
        interval_seconds: how often.
        begin_seconds: unix time of the simulation's second 0, for who looks at the clock.
        history: rates from before, for who learns.

    Attributes:
        changes: (seconds, decision) of each decision that moved the floor.
    """

    def __init__(
        self,
        planner: Planner,
        initial_floor: int,
        interval_seconds: int = 15,
        *,
        begin_seconds: float = 0.0,
        history: Series | None = None,
    ) -> None:
        if interval_seconds < 1:
            raise ValueError(f"a whole number of seconds must pass between decisions, not {interval_seconds}")
        self._planner = planner
        self._begin_seconds = begin_seconds
        self._memory = Memory.start(initial_floor)
        if history is not None:
            self._memory = planner.learn(history, self._memory)
        self._interval_seconds = interval_seconds
        self.changes: list[tuple[float, Decision]] = []

    @property
    def interval_seconds(self) -> int:
        """15 s, as the operator's."""
        return self._interval_seconds

    def floor(self, observation: Observation | MissingObservation) -> int:
        """Decide once."""
        simulated = observation.at_seconds
        observation = replace(observation, at_seconds=self._begin_seconds + simulated)
        decision, self._memory = self._planner.decide(observation, self._memory)
        if decision.changed:
            self.changes.append((simulated, decision))
        return decision.floor
