"""What is known of a service -> what its four conditions say. Pure.

Messages hold no figure that moves by itself from pass to pass: a status that says nothing new is not written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from everwarm_operator.api.conditions import METRICS_AVAILABLE, READY, SCALING_ACTIVE, WITHIN_SLO, Claim, Truth
from everwarm_operator.api.v1alpha1 import Observed
from everwarm_operator.facts import ServiceFacts
from everwarm_operator.floor import RevisionPlan, Undecided
from everwarm_operator.wake import AFTER_SECONDS
from everwarm_planner.observation import MissingObservation, Observation
from everwarm_planner.wording import replicas


@dataclass(frozen=True, slots=True)
class Progress:
    """What only a look back can tell.

    Attributes:
        write_error: why the last attempt to write a floor failed.
        reverted: revisions whose floor was written and is another again.
        short_seconds: by revision, for how long Knative has run fewer replicas than the floor it was told.
        wake_errors: by revision, why the last request that should wake it did not get through.
    """

    write_error: str | None = None
    reverted: tuple[str, ...] = ()
    short_seconds: Mapping[str, float] = field(default_factory=dict)
    wake_errors: Mapping[str, str] = field(default_factory=dict)


def ready(facts: ServiceFacts, progress: Progress) -> Claim:
    """Whether the model is served as the spec says."""
    if facts.live is None:
        return Claim(READY, "Unknown", "Deploying", "The Knative Service is being made.")
    if facts.ready is None:
        return Claim(READY, "Unknown", "Deploying", "Knative has not looked at this spec yet.")
    status, reason, message = facts.ready
    if status != "True":
        truth: Truth = "False" if status == "False" else "Unknown"
        return Claim(
            READY, truth, reason or "KnativeServiceNotReady", message or "The Knative Service is not ready yet."
        )
    if progress.write_error is not None:
        return Claim(READY, "False", "FloorNotWritten", progress.write_error)
    return Claim(READY, "True", "Serving", "The model is served.")


def failed(sentence: str, reason: str = "ReconcileFailed") -> Claim:
    """That the operator could not do its work for this service."""
    return Claim(READY, "False", reason, sentence)


def metrics_available(observation: Observation | MissingObservation) -> Claim:
    """Whether there is something to decide on."""
    if isinstance(observation, MissingObservation):
        return Claim(METRICS_AVAILABLE, "False", observation.reason.value, f"{observation.detail}: the floor holds.")
    return Claim(METRICS_AVAILABLE, "True", "MetricsFresh", "Prometheus has fresh samples of all that is needed.")


_IDLE = {
    "Preview": "Preview: decisions are shown here and nothing is written; set spec.scaling.mode to Active for that.",
    "Paused": "Paused: the floor stays as it is until spec.scaling.mode is Active.",
}


def scaling_active(plans: tuple[RevisionPlan, ...], facts: ServiceFacts, progress: Progress, mode: str) -> Claim:
    """Whether the floor is written, stands and is taken; `mode` as in the spec."""
    if mode in _IDLE:
        return Claim(SCALING_ACTIVE, "False", mode, _IDLE[mode])
    if not plans:
        return Claim(SCALING_ACTIVE, "Unknown", "NoRevision", "No revision gets traffic yet.")
    blocked = _blocked(plans, progress)
    if blocked is not None:
        return blocked
    due = [plan for plan in plans if plan.is_due]
    if due:
        moves = ", ".join(f"{plan.name} from {plan.live} to {plan.floor}" for plan in due)
        return Claim(SCALING_ACTIVE, "True", "FloorMoving", f"The floor moves: {moves}.")
    if facts.ready_replicas < sum(plan.floor for plan in plans):
        return Claim(SCALING_ACTIVE, "True", "ReplicasStarting", "The floor stands and replicas are starting.")
    if not any(plan.floor for plan in plans):
        return Claim(SCALING_ACTIVE, "True", "FloorHeld", "The floor is 0: replicas come and go with the requests.")
    return Claim(SCALING_ACTIVE, "True", "FloorHeld", "The floor stands and its replicas are ready.")


def _blocked(plans: tuple[RevisionPlan, ...], progress: Progress) -> Claim | None:
    if progress.write_error is not None:
        return Claim(SCALING_ACTIVE, "False", "FloorNotWritten", progress.write_error)
    for plan in plans:
        if plan.live != plan.floor and isinstance(plan.target, Undecided):
            return Claim(SCALING_ACTIVE, "Unknown", "TargetUnknown", f"{plan.target.sentence}: the floor waits.")
    if progress.reverted:
        names = ", ".join(progress.reverted)
        return Claim(SCALING_ACTIVE, "False", "FloorReverted", f"Somebody else changes the floor of {names} back.")
    for plan in plans:
        if progress.short_seconds.get(plan.name, 0.0) > AFTER_SECONDS and plan.live == plan.floor:
            return Claim(
                SCALING_ACTIVE, "False", "FloorNotTaken", _not_taken(plan, progress.wake_errors.get(plan.name))
            )
    return None


def _not_taken(plan: RevisionPlan, wake_error: str | None) -> str:
    sentence = f"Revision {plan.name} has a floor of {plan.floor}, but Knative asks for {replicas(plan.replicas)}."
    if plan.replicas > 0:
        return sentence
    sentence += " A revision that was never used since Knative's autoscaler started waits for a first request"
    return f"{sentence}: it is sent one." if wake_error is None else f"{sentence}, which failed: {wake_error}."


def within_slo(
    observation: Observation | MissingObservation, published: Observed | None, target_milliseconds: int
) -> Claim:
    """Whether the promise is kept.

    Args:
        observation: what was measured now; it decides.
        published: the figures that stand in the status; the message names these.
        target_milliseconds: the promised 95th percentile.
    """
    if isinstance(observation, MissingObservation):
        return Claim(WITHIN_SLO, "Unknown", "NoData", f"{observation.detail}.")
    if observation.p95_seconds is None:
        return Claim(WITHIN_SLO, "Unknown", "NoRequests", "No request finished in the window.")
    about = published.p95_milliseconds if published is not None else None
    seen = "The p95 is" if about is None else f"The p95 is about {about} ms,"
    if observation.p95_seconds * 1000 <= target_milliseconds:
        return Claim(WITHIN_SLO, "True", "P95WithinTarget", f"{seen} within the target of {target_milliseconds} ms.")
    return Claim(WITHIN_SLO, "False", "P95OverTarget", f"{seen} over the target of {target_milliseconds} ms.")
