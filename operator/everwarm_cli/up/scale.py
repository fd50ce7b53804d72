"""How many replicas to run: what Knative's pod autoscaler (KPA) would, lifted to the planner's floor. Pure.

After knative/serving pkg/autoscaler/scaling/autoscaler.go: the average of the requests in flight over the stable window
and over the panic window (a tenth of it), each divided by 70 % of a replica's concurrency. If the panic window asks for
twice the ready replicas, the larger number holds, never falling, until a stable window has passed without panic. Zero
only after a whole stable window without any request. Not modelled: rates of change, bursts capacity, grace periods.
"""

import math
from dataclasses import dataclass, replace

_TARGET_UTILIZATION = 0.7
_PANIC_PART = 0.1
_PANIC_THRESHOLD = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The autoscaler's settings: bounds in replicas, requests per replica, and the stable window."""

    min_replicas: int
    max_replicas: int
    concurrency: int
    stable_window_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The mean number of requests in flight over the `span_seconds` before `at_seconds`."""

    at_seconds: float
    span_seconds: float
    in_flight: float


@dataclass(frozen=True, slots=True)
class ScaleState:
    """What the autoscaler remembers: a stable window of samples, and the panic it may be in."""

    samples: tuple[Sample, ...] = ()
    panic_at_seconds: float | None = None
    panic_replicas: int = 0


def step(state: ScaleState, sample: Sample, ready: int, floor: int, limits: Limits) -> tuple[int, ScaleState]:
    """Take one more sample; return the replicas wanted, within the limits and never under the floor."""
    now, window = sample.at_seconds, limits.stable_window_seconds
    kept = tuple(s for s in (*state.samples, sample) if s.at_seconds > now - window)
    target = _TARGET_UTILIZATION * limits.concurrency
    stable = math.ceil(_average(kept, now - window) / target)
    urgent = math.ceil(_average(kept, now - max(1.0, window * _PANIC_PART)) / target)
    state = replace(state, samples=kept)
    if urgent / max(1, ready) >= _PANIC_THRESHOLD:
        state = replace(state, panic_at_seconds=now)
    elif state.panic_at_seconds is not None and now - state.panic_at_seconds > window:
        state = replace(state, panic_at_seconds=None, panic_replicas=0)
    reactive = stable
    if state.panic_at_seconds is not None:
        reactive = max(stable, urgent, state.panic_replicas)
        # Remembered as bounded: a spike that asked for fifty must not outlive the maximum of four by raising it.
        state = replace(state, panic_replicas=min(reactive, limits.max_replicas))
    wanted = min(max(reactive, floor, limits.min_replicas), limits.max_replicas)
    return wanted, state


def _average(samples: tuple[Sample, ...], since_seconds: float) -> float:
    """The mean over the samples after `since_seconds`, weighted by their spans; 0 without any."""
    inside = [s for s in samples if s.at_seconds > since_seconds]
    span = sum(s.span_seconds for s in inside)
    return sum(s.in_flight * s.span_seconds for s in inside) / span if span > 0 else 0.0
