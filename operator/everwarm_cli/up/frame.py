"""All that a view shows of one instant, and the history that its curves are drawn from: values only."""

from collections import deque
from dataclasses import dataclass, field

from everwarm_cli.up.counts import Counts
from everwarm_cli.up.load import LoadStats
from everwarm_cli.up.meter import GatewayTotals
from everwarm_cli.up.settings import UpSettings
from everwarm_planner.decision import Decision
from everwarm_planner.observation import MissingObservation, Observation

_POINTS = 400
_LOGGED = 50


@dataclass(frozen=True, slots=True)
class Logged:
    """A decision worth remembering, and when it fell (seconds since the start)."""

    uptime_seconds: float
    decision: Decision


@dataclass(slots=True)
class History:
    """What was, oldest first; bounded."""

    rates: deque[float] = field(default_factory=lambda: deque(maxlen=_POINTS))
    p95s: deque[float | None] = field(default_factory=lambda: deque(maxlen=_POINTS))
    ready: deque[int] = field(default_factory=lambda: deque(maxlen=_POINTS))
    floors: deque[int] = field(default_factory=lambda: deque(maxlen=_POINTS))
    log: deque[Logged] = field(default_factory=lambda: deque(maxlen=_LOGGED))
    floor_changes: int = 0

    def note(self, uptime_seconds: float, observation: Observation | MissingObservation, decision: Decision) -> None:
        """Add one tick; the log takes only decisions that differ from the last one in reason or floor."""
        if isinstance(observation, Observation):
            self.rates.append(observation.rate_per_second)
            self.p95s.append(observation.p95_seconds)
            self.ready.append(observation.ready_replicas)
        self.floors.append(decision.floor)
        self.floor_changes += decision.changed
        last = self.log[-1].decision if self.log else None
        if last is None or decision.changed or (last.reason, last.floor) != (decision.reason, decision.floor):
            self.log.append(Logged(uptime_seconds, decision))


@dataclass(frozen=True, slots=True)
class Frame:
    """One instant of `everwarm up`."""

    settings: UpSettings
    url: str
    uptime_seconds: float
    observation: Observation | MissingObservation
    decision: Decision
    totals: GatewayTotals
    counts: Counts
    ready: int
    starting: int
    stopping: int
    waiting: int
    history: History
    load: LoadStats | None
