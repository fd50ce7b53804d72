"""Conditions: what is said of a service now -> the list for its status. Pure.

`lastTransitionTime` changes when the status does, and never because a message did: clients compute ages from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Truth = Literal["True", "False", "Unknown"]

READY = "Ready"
METRICS_AVAILABLE = "MetricsAvailable"
SCALING_ACTIVE = "ScalingActive"
WITHIN_SLO = "WithinSLO"


@dataclass(frozen=True, slots=True)
class Claim:
    """What is said now: a type, whether it is so, a CamelCase reason and a sentence."""

    type: str
    status: Truth
    reason: str
    message: str


def merge(
    old: Sequence[Mapping[str, Any]], claims: Sequence[Claim], *, generation: int, now: str
) -> list[dict[str, Any]]:
    """The new list, in the order of the claims; conditions of other types are kept behind them.

    Args:
        old: `status.conditions` as it is.
        claims: what is said now.
        generation: the `metadata.generation` that the claims are about.
        now: RFC 3339, for those whose status changes.
    """
    before = {condition.get("type"): condition for condition in old}
    merged = [_condition(claim, before.get(claim.type), generation, now) for claim in claims]
    claimed = {claim.type for claim in claims}
    return merged + [dict(condition) for condition in old if condition.get("type") not in claimed]


def _condition(claim: Claim, before: Mapping[str, Any] | None, generation: int, now: str) -> dict[str, Any]:
    since = now
    if before is not None and before.get("status") == claim.status and before.get("lastTransitionTime"):
        since = str(before["lastTransitionTime"])
    return {
        "type": claim.type,
        "status": claim.status,
        "observedGeneration": generation,
        "reason": claim.reason,
        "message": claim.message,
        "lastTransitionTime": since,
    }
