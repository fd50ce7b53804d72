"""The figures of a frame as text, for the live view and for plain lines alike."""

import math

from everwarm_cli.up.load import LoadStats
from everwarm_planner import wording
from everwarm_planner.decision import Decision
from everwarm_planner.observation import Observation


def clock(seconds: float) -> str:
    """Time since the start: `1:05`."""
    minutes, rest = divmod(math.floor(seconds), 60)
    return f"{minutes}:{rest:02d}"


def rate(observation: Observation) -> str:
    """Requests per second."""
    return f"{observation.rate_per_second:.1f}/s"


def latency(seconds: float | None) -> str:
    """A latency, or a dash where no request finished."""
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def part(fraction: float | None) -> str:
    """A fraction as percent, or a dash where it is not known."""
    return "-" if fraction is None else f"{fraction * 100:.0f} %"


def floor(decision: Decision) -> str:
    """The floor and where it came from: `1 → 4`."""
    return f"{decision.previous_floor} → {decision.floor}" if decision.changed else f"{decision.floor}"


def replicas(ready: int, starting: int, stopping: int) -> str:
    """`2 ready, 1 starting`."""
    states = [f"{ready} ready"]
    states += [f"{count} {name}" for count, name in ((starting, "starting"), (stopping, "draining")) if count]
    return ", ".join(states)


def count(number: float, noun: str) -> str:
    """`1 error`, `3 errors`."""
    return f"{number:.0f} {noun}{'' if number == 1 else 's'}"


def demand(decision: Decision) -> str:
    """The demand that was computed, or a dash."""
    return "-" if decision.demand is None else wording.replicas(decision.demand)


def load(stats: LoadStats) -> str:
    """What the load does and how its requests went."""
    counts = [f"{stats.sent} sent"]
    checked = stats.right + stats.wrong
    counts += [f"{stats.right} right", f"{stats.wrong} wrong"] if checked else [f"{stats.unchecked} answered"]
    counts.append(f"{stats.failed} failed")
    phase = f"{stats.phase} of {stats.rate_per_second:.0f}/s" if stats.rate_per_second else stats.phase
    return f"{phase}: {', '.join(counts)}"
