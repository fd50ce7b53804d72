"""Kubernetes' horizontal pod autoscaler (HPA): what the pods use -> replicas wanted. Pure.

After kubernetes/kubernetes pkg/controller/podautoscaler/{replica_calculator,horizontal}.go (Apache-2.0): the ratio of
usage and target with its tolerance, pods that are not ready or not measured, stabilisation, and the limits of a
behaviour's policies. Not modelled: several metrics at once, and the five minutes in which a starting pod's CPU is
distrusted. Its published test tables are our tests.
"""

import enum
import math
from dataclasses import dataclass, replace

SYNC_SECONDS = 15


class Select(enum.StrEnum):
    """Which of several policies counts; `Disabled` forbids the direction."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most this many replicas (or percent of them) of change in a period."""

    value: int
    period_seconds: float
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """One direction of `spec.behavior`."""

    limits: tuple[Limit, ...]
    stabilization_seconds: float
    select: Select = Select.MAX


DEFAULT_UP = Rules((Limit(4, 15.0), Limit(100, 15.0, percent=True)), 0.0)
DEFAULT_DOWN = Rules((Limit(100, 15.0, percent=True),), 300.0)


@dataclass(frozen=True, slots=True)
class Behavior:
    """`spec.behavior`, its unset directions filled as Kubernetes does."""

    up: Rules = DEFAULT_UP
    down: Rules = DEFAULT_DOWN


@dataclass(frozen=True, slots=True)
class Settings:
    """One HorizontalPodAutoscaler; the defaults are Kubernetes'.

    Attributes:
        target: usage per pod that is aimed at, in the unit of the usage (0.8: 80 % of what a pod requests).
        min_replicas, max_replicas: bounds.
        tolerance_up, tolerance_down: how far the ratio of usage and target may be from 1 before anything moves.
        missing_usage: what a pod without a measurement counts as on the way down; `None`: the target.
        behavior: `None` as without one: at most twice the replicas or four at once, down after 300 s.
    """

    target: float
    min_replicas: int
    max_replicas: int
    tolerance_up: float = 0.1
    tolerance_down: float = 0.1
    missing_usage: float | None = None
    behavior: Behavior | None = None

    def __post_init__(self) -> None:
        if not 0 < self.target < math.inf:
            raise ValueError(f"a target must be over 0, not {self.target}")
        if not 0 <= self.min_replicas <= self.max_replicas:
            raise ValueError(f"no number is within {self.min_replicas} and {self.max_replicas} replicas")


@dataclass(frozen=True, slots=True)
class Usage:
    """What was measured: the sum over the pods that are ready and measured, their number, and the others'."""

    total: float
    pods: int
    unready: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered: (seconds, replicas) of recommendations, and (seconds, change) of what was done."""

    recommendations: tuple[tuple[float, int], ...] = ()
    ups: tuple[tuple[float, int], ...] = ()
    downs: tuple[tuple[float, int], ...] = ()


def step(settings: Settings, state: State, at_seconds: float, current: int, usage: Usage) -> tuple[int, State]:
    """Decide once; upstream does so every 15 s. At zero replicas the autoscaler is off, without metrics it holds."""
    if current == 0:
        return 0, state
    bounded = min(max(current, settings.min_replicas), settings.max_replicas)
    if bounded != current:
        return bounded, state
    wanted = recommendation(settings, current, usage)
    if wanted is None:
        return current, state
    stable = stabilized(settings, state, at_seconds, current, wanted)
    replicas = limited(settings, state, at_seconds, current, stable)
    return replicas, _remember(settings, state, at_seconds, wanted, replicas - current)


def recommendation(settings: Settings, current: int, usage: Usage) -> int | None:
    """Replicas that would bring the usage to its target; `None` where no pod was measured."""
    if usage.pods == 0:
        return None
    ratio = usage.total / usage.pods / settings.target
    rising_with_unready = usage.unready > 0 and ratio > 1
    if not rising_with_unready and usage.missing == 0:
        return current if _tolerated(settings, ratio) else math.ceil(ratio * usage.pods)
    total, pods = usage.total, usage.pods
    if ratio < 1:
        total += usage.missing * (settings.target if settings.missing_usage is None else settings.missing_usage)
    if ratio != 1:
        pods += usage.missing
    if rising_with_unready:
        pods += usage.unready
    cautious = total / pods / settings.target
    if _tolerated(settings, cautious) or (ratio - 1) * (cautious - 1) < 0:
        return current
    replicas = math.ceil(cautious * pods)
    turned = replicas > current if cautious < 1 else replicas < current
    return current if turned else replicas


def stabilized(settings: Settings, state: State, at_seconds: float, current: int, wanted: int) -> int:
    """The largest recent recommendation on the way down, with a behaviour also the smallest on the way up."""
    if settings.behavior is None:
        since = at_seconds - DEFAULT_DOWN.stabilization_seconds
        return max([wanted, *(replicas for at, replicas in state.recommendations if at >= since)])
    up_since = at_seconds - settings.behavior.up.stabilization_seconds
    down_since = at_seconds - settings.behavior.down.stabilization_seconds
    least = min([wanted, *(replicas for at, replicas in state.recommendations if at > up_since)])
    most = max([wanted, *(replicas for at, replicas in state.recommendations if at > down_since)])
    return min(max(current, least), most)


def limited(settings: Settings, state: State, at_seconds: float, current: int, wanted: int) -> int:
    """The wanted number within the bounds and the allowed rate of change."""
    if settings.behavior is None:
        most = min(settings.max_replicas, max(2 * current, 4))
        return max(wanted, settings.min_replicas) if wanted < settings.min_replicas else min(wanted, most)
    if wanted > current:
        most = _reach(settings.behavior.up, state, at_seconds, current, direction=1)
        return min(wanted, settings.max_replicas, max(most, current))
    if wanted < current:
        least = _reach(settings.behavior.down, state, at_seconds, current, direction=-1)
        return max(wanted, settings.min_replicas, min(least, current))
    return wanted


def _reach(rules: Rules, state: State, now: float, current: int, direction: int) -> int:
    """How far the policies of one direction let the replicas go."""
    if rules.select is Select.DISABLED:
        return current
    reaches = []
    for limit in rules.limits:
        since = now - limit.period_seconds
        added = sum(change for at, change in state.ups if at > since)
        removed = sum(change for at, change in state.downs if at > since)
        before = current - added + removed
        reaches.append(_reached(limit, before, direction))
    furthest = (direction > 0) == (rules.select is Select.MAX)
    return max(reaches) if furthest else min(reaches)


def _reached(limit: Limit, before: int, direction: int) -> int:
    if not limit.percent:
        return before + direction * limit.value
    reached = before * (1 + direction * limit.value / 100)
    return math.ceil(reached) if direction > 0 else math.trunc(reached)


def _tolerated(settings: Settings, ratio: float) -> bool:
    return 1 - settings.tolerance_down <= ratio <= 1 + settings.tolerance_up


def _remember(settings: Settings, state: State, now: float, wanted: int, change: int) -> State:
    behavior = settings.behavior or Behavior()
    windows = (behavior.up.stabilization_seconds, behavior.down.stabilization_seconds)
    periods = [limit.period_seconds for rules in (behavior.up, behavior.down) for limit in rules.limits]
    since, done_since = now - max(windows), now - max(periods, default=0.0)
    kept = tuple(entry for entry in state.recommendations if entry[0] >= since)
    ups = tuple(entry for entry in state.ups if entry[0] > done_since)
    downs = tuple(entry for entry in state.downs if entry[0] > done_since)
    state = replace(state, recommendations=(*kept, (now, wanted)), ups=ups, downs=downs)
    if change > 0:
        return replace(state, ups=(*ups, (now, change)))
    return replace(state, downs=(*downs, (now, -change))) if change < 0 else state
