"""Knative's pod autoscaler (KPA): averages of the load and ready replicas -> replicas wanted. Pure.

After knative/serving pkg/autoscaler/scaling/autoscaler.go (Apache-2.0), rule by rule: two windows, each divided by the
target; panic when the short one asks for twice the ready replicas, which holds the largest number until a stable window
has passed without; rates of change; activation scale; scale-down delay. What becomes of the number (bounds, scale to
zero with its grace periods) is `kpa_scale`'s. Its published test tables are our tests.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

TICK_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Settings:
    """ConfigMap config-autoscaler and the annotations of a revision; the defaults are Knative's.

    Attributes:
        target: requests in flight per replica that are aimed at.
        total: requests in flight per replica that are possible.
        stable_window_seconds: the long window.
        panic_window_percentage: the short window, of the long one.
        panic_threshold: panic when the short window asks for this many times the ready replicas.
        max_scale_up_rate: replicas wanted at most, as a multiple of the ready ones.
        max_scale_down_rate: the ready replicas over this are wanted at least.
        scale_down_delay_seconds: how long the largest number of the past is kept.
        activation_scale: replicas at least, when more than none is wanted.
        target_burst_capacity: requests that the replicas shall take without the activator; -1: it is always in the way.
        reachable: a route leads to the revision.
    """

    target: float
    total: float
    stable_window_seconds: int = 60
    panic_window_percentage: float = 10.0
    panic_threshold: float = 2.0
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    scale_down_delay_seconds: int = 0
    activation_scale: int = 1
    target_burst_capacity: float = 211.0
    reachable: bool = True

    def __post_init__(self) -> None:
        if not (0 < self.target < math.inf and 0 < self.total < math.inf):
            raise ValueError(f"target and total must be over 0, not {self.target} and {self.total}")
        if self.max_scale_up_rate <= 1 or self.max_scale_down_rate <= 1:
            raise ValueError("rates of change must be over 1, or nothing ever changes")

    @classmethod
    def of_concurrency(cls, concurrency: int, utilization: float = 0.7) -> Self:
        """The defaults for a container concurrency and a target utilisation (0 to 1)."""
        return cls(target=max(0.01, concurrency * utilization), total=float(concurrency))

    @property
    def panic_window_seconds(self) -> int:
        """The short window; whole seconds, a half rounded up, at least one."""
        return max(1, math.floor(self.stable_window_seconds * self.panic_window_percentage / 100 + 0.5))


@dataclass(frozen=True, slots=True)
class Sample:
    """What one decision is made of: the averages over both windows (`None`: no data), and the ready replicas."""

    at_seconds: float
    stable: float | None
    panic: float
    ready: int


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered from one decision to the next.

    Attributes:
        panic_since_seconds: when the threshold was last crossed, while in panic.
        panic_replicas: the most that was wanted in this panic.
        delayed: (2-second period, most replicas wanted in it), oldest first, as far as the scale-down delay reaches.
    """

    panic_since_seconds: float | None = None
    panic_replicas: int = 0
    delayed: tuple[tuple[int, int], ...] = ()

    @classmethod
    def start(cls, at_seconds: float, ready: int) -> Self:
        """A new autoscaler: with more than one replica it starts in panic, so that a restart takes none away."""
        return cls(at_seconds if ready > 1 else None, ready)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The result: replicas (`None`: no data, so nothing changes) and Knative's excess burst capacity (requests)."""

    replicas: int | None
    excess_burst_capacity: int = 0


def step(settings: Settings, state: State, sample: Sample) -> tuple[Wanted, State]:
    """Decide once. Upstream does so every two seconds, and at once when a request finds no replica."""
    if sample.stable is None:
        return Wanted(None), state
    ready = max(1, sample.ready)
    over = math.ceil(sample.panic / settings.target) / ready >= settings.panic_threshold
    state = _panic(settings, state, sample.at_seconds, over=over)
    replicas = _limited(settings, sample.stable, ready)
    if state.panic_since_seconds is not None:
        replicas = max(replicas, _limited(settings, sample.panic, ready), state.panic_replicas)
        state = replace(state, panic_replicas=replicas)
    if settings.reachable and settings.scale_down_delay_seconds > 0:
        state = _delay(settings, state, sample.at_seconds, replicas)
        replicas = max(most for _, most in state.delayed)
    return Wanted(replicas, _excess_burst_capacity(settings, sample)), state


def _limited(settings: Settings, load: float, ready: int) -> int:
    """Replicas for this load, within the rates of change."""
    wanted = math.ceil(load / settings.target)
    most = math.ceil(settings.max_scale_up_rate * ready)
    least = math.floor(ready / settings.max_scale_down_rate) if settings.reachable else 0
    limited = min(max(wanted, least), most)
    if settings.activation_scale > 1 and wanted > 0:
        return max(limited, settings.activation_scale)
    return limited


def _panic(settings: Settings, state: State, now: float, *, over: bool) -> State:
    """Enter panic, extend it, or leave it when a stable window has passed since the threshold was last crossed."""
    if over:
        return replace(state, panic_since_seconds=now)
    since = state.panic_since_seconds
    if since is not None and since + settings.stable_window_seconds < now:
        return replace(state, panic_since_seconds=None, panic_replicas=0)
    return state


def _delay(settings: Settings, state: State, now: float, replicas: int) -> State:
    period = math.floor(now) // TICK_SECONDS
    oldest = period - math.ceil(settings.scale_down_delay_seconds / TICK_SECONDS)
    # Fewer replicas earlier can't be the most of any later moment.
    kept = tuple(entry for entry in state.delayed if entry[0] > oldest and entry[1] > replicas)
    if kept and kept[-1][0] == period:
        return replace(state, delayed=kept)
    return replace(state, delayed=(*kept, (period, replicas)))


def _excess_burst_capacity(settings: Settings, sample: Sample) -> int:
    """Requests that fit beyond those in flight and the burst that is reserved; negative: the activator stays."""
    if settings.target_burst_capacity == 0:
        return 0
    if settings.target_burst_capacity < 0:
        return -1
    return math.floor(sample.ready * settings.total - settings.target_burst_capacity - sample.panic)
