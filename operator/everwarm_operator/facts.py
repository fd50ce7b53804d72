"""What Kubernetes says of one ModelService's children: raw objects in, typed facts out. Pure."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from everwarm_operator.resources.knative import SERVICE_LABEL

Raw = Mapping[str, Any]
Key = tuple[str, str]
"""Namespace and name of a ModelService."""

AUTOSCALING = "autoscaling.knative.dev/"
MIN_SCALE = AUTOSCALING + "min-scale"
REVISION_LABEL = "serving.knative.dev/revision"


@dataclass(frozen=True, slots=True)
class Objects:
    """The raw children of ModelServices, as listed: one list per kind."""

    services: list[Raw] = field(default_factory=list)
    revisions: list[Raw] = field(default_factory=list)
    podautoscalers: list[Raw] = field(default_factory=list)
    deployments: list[Raw] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RevisionFacts:
    """A revision of the service.

    Attributes:
        percent: its part of the traffic; 0 for one that only has a tag, or that has left the traffic.
        revision_annotations: `autoscaling.knative.dev/*` of the Revision; `None` if there is no such object.
        podautoscaler_annotations: the same of its PodAutoscaler.
        template_annotations: the same of its Deployment's pod template.
        wanted_replicas: what Knative asked of the Deployment.
        ready_replicas: what can answer.
    """

    name: str
    percent: int
    revision_annotations: Mapping[str, str] | None = None
    podautoscaler_annotations: Mapping[str, str] | None = None
    template_annotations: Mapping[str, str] | None = None
    wanted_replicas: int = 0
    ready_replicas: int = 0


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """The Knative Service of a ModelService and its revisions.

    Attributes:
        live: the raw Knative Service; `None` if there is none yet.
        ready: its condition Ready as (status, reason, message), of its present generation; `None` before there is one.
        url: where it answers.
        revisions: those in its traffic.
        left: all others of its revisions.
        address: where it answers inside the cluster.
    """

    live: Raw | None = None
    ready: tuple[str, str, str] | None = None
    url: str | None = None
    revisions: tuple[RevisionFacts, ...] = ()
    left: tuple[RevisionFacts, ...] = ()
    address: str | None = None

    @property
    def ready_replicas(self) -> int:
        """Of all routed revisions."""
        return sum(revision.ready_replicas for revision in self.revisions)

    @property
    def starting_replicas(self) -> int:
        """Of all routed revisions: asked for, and not ready yet."""
        return sum(max(0, revision.wanted_replicas - revision.ready_replicas) for revision in self.revisions)


def read(objects: Objects) -> dict[Key, ServiceFacts]:
    """Facts by (namespace, name), for each Knative Service in the lists."""
    revisions = {key(item): item for item in objects.revisions}
    autoscalers = {key(item): item for item in objects.podautoscalers}
    deployments = {(_namespace(item), _labels(item).get(REVISION_LABEL, "")): item for item in objects.deployments}
    names: defaultdict[Key, list[str]] = defaultdict(list)
    for namespace, name in revisions:
        names[namespace, _labels(revisions[namespace, name]).get(SERVICE_LABEL, "")].append(name)

    def revision(namespace: str, name: str, percent: int) -> RevisionFacts:
        found = (namespace, name)
        return _revision(name, percent, revisions.get(found), autoscalers.get(found), deployments.get(found))

    found = {}
    for service in objects.services:
        owner, status, traffic = key(service), service.get("status", {}), _traffic(service)
        found[owner] = ServiceFacts(
            live=service,
            ready=_ready(service),
            url=status.get("url"),
            revisions=tuple(revision(owner[0], part, percent) for part, percent in traffic.items()),
            left=tuple(revision(owner[0], part, 0) for part in names[owner] if part not in traffic),
            address=(status.get("address") or {}).get("url"),
        )
    return found


def label_selector(name: str | None = None) -> str:
    """Selects the children of all ModelServices, or of those of one name."""
    return SERVICE_LABEL if name is None else f"{SERVICE_LABEL}={name}"


def _traffic(service: Raw) -> dict[str, int]:
    """Percent by revision: one revision may stand in several targets, some with a tag and no percent."""
    percents: defaultdict[str, int] = defaultdict(int)
    for target in service.get("status", {}).get("traffic") or []:
        if target.get("revisionName"):
            percents[target["revisionName"]] += target.get("percent") or 0
    return dict(percents)


def _ready(service: Raw) -> tuple[str, str, str] | None:
    status = service.get("status", {})
    if status.get("observedGeneration") != service["metadata"].get("generation"):
        return None  # Knative has not looked at this spec yet, so what it says is about another
    for condition in status.get("conditions") or []:
        if condition.get("type") == "Ready":
            return condition.get("status", "Unknown"), condition.get("reason", ""), condition.get("message", "")
    return None


def _revision(
    name: str, percent: int, revision: Raw | None, autoscaler: Raw | None, deployment: Raw | None
) -> RevisionFacts:
    deployment = deployment or {}
    template = deployment.get("spec", {}).get("template")
    return RevisionFacts(
        name=name,
        percent=percent,
        revision_annotations=None if revision is None else _autoscaling(revision),
        podautoscaler_annotations=None if autoscaler is None else _autoscaling(autoscaler),
        template_annotations=None if template is None else _autoscaling(template),
        wanted_replicas=deployment.get("spec", {}).get("replicas") or 0,
        ready_replicas=deployment.get("status", {}).get("readyReplicas") or 0,
    )


def _autoscaling(item: Raw) -> dict[str, str]:
    annotations = item.get("metadata", {}).get("annotations") or {}
    return {key: value for key, value in annotations.items() if key.startswith(AUTOSCALING)}


def _namespace(item: Raw) -> str:
    return str(item["metadata"]["namespace"])


def key(item: Raw) -> Key:
    """Its namespace and name."""
    return _namespace(item), str(item["metadata"]["name"])


def _labels(item: Raw) -> Mapping[str, str]:
    return item["metadata"].get("labels") or {}
