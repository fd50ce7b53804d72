"""One constructor for each Event that a user can see. Pure."""

from dataclasses import dataclass
from typing import Any

from everwarm_operator.api.v1alpha1 import GROUP, KIND, VERSION, ModelService
from everwarm_planner.decision import Decision

_NOTE_MAX_CHARACTERS = 1024  # more is refused


@dataclass(frozen=True, slots=True)
class News:
    """What an Event tells: words for machines (reason, action), a sentence for people, and whether it is bad."""

    reason: str
    action: str
    sentence: str
    is_bad: bool = False


def floor_moved(decision: Decision) -> News:
    """That the floor was raised or lowered; the sentence is the decision's."""
    reason = "FloorRaised" if decision.floor > decision.previous_floor else "FloorLowered"
    return News(reason, "MoveFloor", decision.sentence)


def woken(revision: str, error: str | None) -> News:
    """That a revision at zero was sent a request, or that this failed."""
    about = f"Knative starts no replica of {revision} for its floor, as it does where its autoscaler has just started"
    if error is None:
        return News("RevisionWoken", "WakeRevision", f"{about}: a first request was sent to wake it.")
    return News("WakeFailed", "WakeRevision", f"{about}, and the request to wake it failed: {error}.", is_bad=True)


def event(service: ModelService, news: News, *, now: str, instance: str) -> dict[str, Any]:
    """The Event.

    Args:
        service: whom it is about.
        news: what it tells.
        now: RFC 3339 with microseconds.
        instance: the name of this operator's process.
    """
    metadata = service.metadata
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata.name}-", "namespace": metadata.namespace},
        "regarding": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "namespace": metadata.namespace,
            "name": metadata.name,
            "uid": metadata.uid,
        },
        "type": "Warning" if news.is_bad else "Normal",
        "reason": news.reason,
        "action": news.action,
        "note": news.sentence[:_NOTE_MAX_CHARACTERS],
        "eventTime": now,
        "reportingController": f"{GROUP}/operator",
        "reportingInstance": instance,
    }
