"""One constructor for each Event that a user can see. Pure."""

from typing import Any

from everwarm_operator.api.v1alpha1 import GROUP, KIND, VERSION, ModelService
from everwarm_planner.decision import Decision

_NOTE_MAX_CHARACTERS = 1024  # more is refused


def floor_moved(service: ModelService, decision: Decision, *, now: str, instance: str) -> dict[str, Any]:
    """That the floor was raised or lowered; the note is the decision's sentence.

    Args:
        service: whose floor.
        decision: one that moves it.
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
        "type": "Normal",
        "reason": "FloorRaised" if decision.floor > decision.previous_floor else "FloorLowered",
        "action": "MoveFloor",
        "note": decision.sentence[:_NOTE_MAX_CHARACTERS],
        "eventTime": now,
        "reportingController": f"{GROUP}/operator",
        "reportingInstance": instance,
    }
