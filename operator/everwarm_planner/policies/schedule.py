"""Windows that a person knows of: at these times at least so many replicas, whatever the load. Cron and a time zone.

A window counts a cold start before it fires, so that its replicas are ready when it does. Alone, the floor is 0 outside
of all windows (so the planner's minimum); over another policy, the windows are a minimum of what that one says.
"""

from dataclasses import dataclass, replace

from everwarm_planner import guardrails, local_time, wording
from everwarm_planner.decision import Reason
from everwarm_planner.history import Series
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, Observation
from everwarm_planner.policies.base import Learner, Policy, Proposal

_LONGEST_SECONDS = 31 * 86_400.0


@dataclass(frozen=True, slots=True)
class Window:
    """A time that comes again.

    Attributes:
        cron: when it begins: minute, hour, day of month, month, day of week, as Debian's cron.
        duration_seconds: how long it lasts, in seconds that pass, not on the clock on the wall; at most 31 days.
        replicas: to keep warm in it, at least.
        time_zone: IANA name; the cron expression is read there.
        name: for the sentence of the decision.

    Raises:
        ValueError: the window can't be.
    """

    cron: str
    duration_seconds: float
    replicas: int
    time_zone: str = "UTC"
    name: str = ""

    def __post_init__(self) -> None:
        local_time.check_cron(self.cron, self.time_zone)
        if not 0 < self.duration_seconds <= _LONGEST_SECONDS:
            raise ValueError(f"a window lasts over 0 s and at most 31 days, not {self.duration_seconds:g} s")
        if self.replicas < 0:
            raise ValueError(f"a window can't keep {self.replicas} replicas")

    def firing(self, at_seconds: float, lead_seconds: float) -> float | None:
        """When the window that counts now fires; `None` without one.

        It counts from `lead_seconds` before it fires until its duration has passed.
        """
        fires = local_time.first_firing(self.cron, self.time_zone, at_seconds - self.duration_seconds)
        return fires if fires <= at_seconds + lead_seconds else None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Windows, alone or over another policy.

    Attributes:
        windows: at least one.
        base: the policy whose least the windows are; `None`: there is nothing between the windows.
        lead_seconds: how long before a window fires its replicas are started, while no time to ready is measured; 60 s,
            what a small model takes with its image to pull.

    Raises:
        ValueError: there is no window, or no such lead.
    """

    windows: tuple[Window, ...]
    base: Policy | None = None
    lead_seconds: float = 60.0

    def __post_init__(self) -> None:
        if not self.windows:
            raise ValueError("a schedule has at least one window")
        if not 0 <= self.lead_seconds <= _LONGEST_SECONDS:
            raise ValueError(f"lead_seconds must be within 0 s and 31 days, not {self.lead_seconds:g} s")

    @property
    def needs_observation(self) -> bool:
        """No: the clock is enough for the windows; without data the other policy's part holds."""
        return False

    def propose(self, observation: Observation | MissingObservation, memory: Memory) -> Proposal:
        """The most of all windows that count and of the other policy."""
        at = observation.at_seconds
        measured = observation.time_to_ready_seconds if isinstance(observation, Observation) else None
        lead = self.lead_seconds if measured is None else min(measured, _LONGEST_SECONDS)
        firings = [(window, window.firing(at, lead)) for window in self.windows]
        counting = [(window, fires) for window, fires in firings if fires is not None]
        base = self._base(observation, memory)
        if not counting:
            return base or Proposal(0, Reason.SCHEDULED, "No window of the schedule is open")
        window, fires = max(counting, key=lambda pair: (pair[0].replicas, pair[1]))
        if base is not None and base.floor >= window.replicas:
            return base
        return _in_window(window, fires - at, base)

    def learn(self, series: Series, memory: Memory) -> Memory:
        """What the other policy learns."""
        return self.base.learn(series, memory) if isinstance(self.base, Learner) else memory

    def _base(self, observation: Observation | MissingObservation, memory: Memory) -> Proposal | None:
        if self.base is None:
            return None
        if isinstance(observation, MissingObservation) and self.base.needs_observation:
            return guardrails.hold(observation, memory.floor)
        return self.base.propose(observation, memory)


def _in_window(window: Window, fires_in_seconds: float, base: Proposal | None) -> Proposal:
    name = f"window {window.name!r}" if window.name else f"window {window.cron!r} ({window.time_zone})"
    if fires_in_seconds > 0:
        cause = f"The {name} opens in {wording.duration(fires_in_seconds)}"
    else:
        cause = f"The {name} is open for another {wording.duration(fires_in_seconds + window.duration_seconds)}"
    keeps = f"it keeps {wording.replicas(window.replicas)}"
    if base is None:
        return Proposal(window.replicas, Reason.SCHEDULED, cause, keeps)
    argument = f"{keeps}, more than the {base.floor} of the load"
    return replace(base, floor=window.replicas, reason=Reason.SCHEDULED, cause=cause, argument=argument)
