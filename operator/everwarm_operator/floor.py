"""A service's floor -> which annotation each routed revision needs. Pure; `passes.py` does the writing.

Source of the rules: Knative Serving's code. The floor is the annotation `min-scale`, and where it takes effect without
a new Revision and without restarting a pod depends on Knative's version:

- up to 1.20: on the PodAutoscaler of the revision's name, which keeps it. On the Revision it would roll every pod.
- from 1.21: on the Revision, and the PodAutoscaler follows. On the PodAutoscaler it would be reverted at once.

Which one it is, each revision tells by itself: up to 1.20 a Revision's `autoscaling.knative.dev/*` annotations are
copied to its Deployment's pod template, from 1.21 they are not. Our template always carries one, as the sign.
"""

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass

from everwarm_operator.facts import AUTOSCALING, MIN_SCALE, RevisionFacts, ServiceFacts

_MAX_SCALE = (AUTOSCALING + "max-scale", AUTOSCALING + "maxScale")
_ACTIVATION_SCALE = (AUTOSCALING + "activation-scale",)


class Target(enum.StrEnum):
    """The object whose annotation moves the replicas."""

    POD_AUTOSCALER = "PodAutoscaler"
    REVISION = "Revision"


@dataclass(frozen=True, slots=True)
class Undecided:
    """Where the floor has to be written can't be told yet; `sentence` says why."""

    sentence: str


@dataclass(frozen=True, slots=True)
class RevisionPlan:
    """What one revision should have.

    Attributes:
        name: of the revision.
        percent: its part of the traffic.
        floor: its part of the floor, within its own limits.
        live: what is annotated now; 0 where nothing is.
        target: the object to write to, or why that is not known.
        replicas: what Knative runs or starts now.
    """

    name: str
    percent: int
    floor: int
    live: int
    target: Target | Undecided
    replicas: int

    @property
    def is_due(self) -> bool:
        """Whether something has to be written."""
        return self.live != self.floor and isinstance(self.target, Target)


@dataclass(frozen=True, slots=True)
class Leftover:
    """A floor of ours on a revision that has left the traffic, where Knative ignores it until a rollback.

    Attributes:
        name: of the revision.
        floor: what we wrote, as the status remembers.
        target: the object to take it off from, or why that is not known.
    """

    name: str
    floor: int
    target: Target | Undecided


def plan(floor: int, revisions: tuple[RevisionFacts, ...]) -> tuple[RevisionPlan, ...]:
    """The plan of each routed revision, for a service's floor (replicas)."""
    return tuple(_plan(floor, revision) for revision in revisions)


def leftovers(remembered: Mapping[str, int], facts: ServiceFacts) -> tuple[Leftover, ...]:
    """What is still to be taken off, of revisions that left the traffic; nothing of what somebody else wrote since.

    Args:
        remembered: floor by revision, as the status says.
        facts: of the service.
    """
    routed = {revision.name for revision in facts.revisions}
    left = {revision.name: revision for revision in facts.left}
    found = []
    for name, value in remembered.items():
        if name in routed or value < 1:
            continue
        if not routed:  # not a service without traffic, but one that Knative has not described yet
            found.append(Leftover(name, value, Undecided("No revision gets traffic yet")))
        elif name in left:
            where = target(left[name])
            if isinstance(where, Undecided) or _live(left[name], where) == value:
                found.append(Leftover(name, value, where))
    return tuple(found)


def share(floor: int, percent: int) -> int:
    """A revision's part of the floor: rounded up, so that the parts never add up to less than the whole."""
    return max(0, math.ceil(floor * percent / 100))


def target(revision: RevisionFacts) -> Target | Undecided:
    """Where this revision's floor is written."""
    if revision.revision_annotations is None:
        return Undecided(f"Revision {revision.name} is not there yet")
    if revision.template_annotations is None:
        return Undecided(f"Revision {revision.name} has no Deployment yet")
    signs = set(revision.revision_annotations) - {MIN_SCALE}
    if not signs:
        return Undecided(f"Revision {revision.name} carries no autoscaling annotation that tells Knative's version")
    if not signs & set(revision.template_annotations):
        return Target.REVISION
    if revision.podautoscaler_annotations is None:
        return Undecided(f"Revision {revision.name} has no PodAutoscaler yet")
    return Target.POD_AUTOSCALER


def _plan(floor: int, revision: RevisionFacts) -> RevisionPlan:
    where = target(revision)
    annotations = _annotations(revision, where)
    wanted = share(floor, revision.percent)
    for limit in (_number(annotations, _MAX_SCALE), _number(annotations, _ACTIVATION_SCALE)):
        if limit:  # 0 and absent mean no limit; Knative's webhook refuses a min-scale over either
            wanted = min(wanted, limit)
    return RevisionPlan(
        revision.name, revision.percent, wanted, _live(revision, where), where, revision.wanted_replicas
    )


def _annotations(revision: RevisionFacts, where: Target | Undecided) -> Mapping[str, str]:
    on_autoscaler = where is Target.POD_AUTOSCALER
    return (revision.podautoscaler_annotations if on_autoscaler else revision.revision_annotations) or {}


def _live(revision: RevisionFacts, where: Target | Undecided) -> int:
    return _number(_annotations(revision, where), (MIN_SCALE, AUTOSCALING + "minScale"))


def _number(annotations: Mapping[str, str], keys: tuple[str, ...]) -> int:
    """The first of the keys that is there, as Knative reads it; 0 where none is or it is no number."""
    for key in keys:
        if key in annotations:
            text = str(annotations[key])
            return int(text) if text.isdecimal() else 0
    return 0
