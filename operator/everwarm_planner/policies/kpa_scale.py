"""From the replicas that the KPA wants to those that run: bounds, and the careful way to zero. Pure.

After knative/serving pkg/reconciler/autoscaling/kpa/{scaler,kpa}.go (Apache-2.0). On the way to zero a revision first
stays active for a stable window, then is marked inactive, and loses its last replicas when the activator has stood in
the way of its requests for the grace period. The activator is taken to answer probes at once.
"""

import enum
import math
from dataclasses import dataclass, replace

_ACTIVATION_TIMEOUT_SECONDS = 600 + 30  # the default progress deadline, and upstream's buffer after it


class Phase(enum.StrEnum):
    """The PodAutoscaler's condition Active: Unknown, True, False."""

    ACTIVATING = "Activating"
    ACTIVE = "Active"
    INACTIVE = "Inactive"


@dataclass(frozen=True, slots=True)
class ZeroSettings:
    """When the last replica goes; the defaults are Knative's.

    Attributes:
        enabled: scale to zero at all.
        stable_window_seconds: active for at least this long.
        grace_seconds: the activator in the way for this long, or inactive for this long.
        retention_seconds: inactive for at least this long, whatever the activator does.
    """

    enabled: bool = True
    stable_window_seconds: float = 60.0
    grace_seconds: float = 30.0
    retention_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Activity:
    """The phase and since when; and since when the activator has been in the way (`None`: it is not)."""

    phase: Phase
    since_seconds: float
    proxied_since_seconds: float | None = None

    def enter(self, phase: Phase, at_seconds: float) -> "Activity":
        """The same phase goes on, another begins now."""
        return self if phase is self.phase else replace(self, phase=phase, since_seconds=at_seconds)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Replicas: min-scale (the floor) and max-scale, 0 for none."""

    min_replicas: int = 0
    max_replicas: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted (`None`: unknown), and whether the Deployment is told so; if not, it stays as it is."""

    replicas: int | None
    applied: bool


def target(settings: ZeroSettings, bounds: Bounds, activity: Activity, at_seconds: float, wanted: int | None) -> Target:
    """The replicas to run; `wanted` is the autoscaler's number, `None` before its first."""
    if wanted is None and activity.phase is not Phase.ACTIVATING:
        return Target(None, applied=False)
    replicas = max(bounds.min_replicas, -1 if wanted is None else wanted)
    if bounds.max_replicas > 0:
        replicas = min(replicas, bounds.max_replicas)
    if replicas != 0:
        return Target(replicas, applied=True)
    if not settings.enabled:
        return Target(1, applied=True)
    return _towards_zero(settings, activity, at_seconds)


def _towards_zero(settings: ZeroSettings, activity: Activity, now: float) -> Target:
    lasted = now - activity.since_seconds
    if activity.phase is Phase.ACTIVATING:
        return Target(0, applied=True) if lasted > _ACTIVATION_TIMEOUT_SECONDS else Target(None, applied=False)
    if activity.phase is Phase.ACTIVE:
        return Target(0, applied=False) if lasted >= settings.stable_window_seconds else Target(1, applied=True)
    proxied_since = activity.proxied_since_seconds
    proxied = -math.inf if proxied_since is None else now - proxied_since
    retained = lasted >= settings.retention_seconds
    settled = lasted >= settings.grace_seconds or proxied >= settings.grace_seconds
    return Target(0, applied=retained and settled)


def next_activity(
    activity: Activity, at_seconds: float, result: Target, ready: int, excess_burst_capacity: int, min_replicas: int = 0
) -> Activity:
    """What the reconciler writes down after it acted: the phase, and whether the activator is in the way."""
    unknown = result.replicas is None
    served = result.replicas is not None and result.replicas > 0 and excess_burst_capacity >= 0 and ready > 0
    stays_inactive = unknown and activity.phase is Phase.INACTIVE
    if result.replicas == 0 or stays_inactive:
        after = activity.enter(Phase.INACTIVE, at_seconds)
    elif ready < max(1, min_replicas):
        after = activity.enter(Phase.ACTIVATING, at_seconds)
    else:
        after = activity.enter(Phase.ACTIVE, at_seconds)
    if served:
        return replace(after, proxied_since_seconds=None)
    proxied = at_seconds if after.proxied_since_seconds is None else after.proxied_since_seconds
    return replace(after, proxied_since_seconds=proxied)
