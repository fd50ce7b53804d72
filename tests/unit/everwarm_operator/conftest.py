"""A small cluster and a small Prometheus, faked at the operator's own edges (`Kube`, `Prometheus`)."""

import copy
from collections import defaultdict
from typing import Any

import pytest

from everwarm_operator import traits
from everwarm_operator.errors import KubeError, PrometheusError, WakeError
from everwarm_operator.facts import Objects
from everwarm_operator.observe import Question
from everwarm_operator.prometheus import RangeSeries, Sample

MAX_SCALE = "autoscaling.knative.dev/max-scale"
LABEL = "everwarm.dev/modelservice"


def merged(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """RFC 7386, written down a second time."""
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merged(result.get(key) if isinstance(result.get(key), dict) else {}, value)
        else:
            result[key] = value
    return result


class FakeCluster:
    """An API server and a Knative that acts at once: one up to 1.20, where floors stand on PodAutoscalers."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[tuple[str, str], dict[str, Any]]] = defaultdict(dict)
        self.writes: list[tuple[str, str]] = []
        self.events: list[dict[str, Any]] = []
        self.annotations_on_pods = True
        self.pods_follow = True
        self.broken: dict[str, KubeError] = {}
        self.lists = 0

    # -- what a user does
    def add(self, name: str = "digits", namespace: str = "ns", generation: int = 1, **spec: Any) -> dict[str, Any]:
        spec = {"model": {"uri": "/models/digits", "format": "onnx"}, **spec}
        metadata = {"name": name, "namespace": namespace, "uid": f"uid-{namespace}-{name}", "generation": generation}
        self.objects["ModelService"][namespace, name] = {"kind": "ModelService", "metadata": metadata, "spec": spec}
        return self.objects["ModelService"][namespace, name]

    def change(self, name: str = "digits", **spec: Any) -> None:
        wanted = self.objects["ModelService"]["ns", name]
        wanted["spec"].update(spec)
        wanted["metadata"]["generation"] += 1

    def status(self, name: str = "digits", namespace: str = "ns") -> dict[str, Any]:
        return self.objects["ModelService"][namespace, name].get("status", {})

    def condition(self, kind: str, name: str = "digits") -> tuple[str, str, str]:
        (found,) = [c for c in self.status(name)["conditions"] if c["type"] == kind]
        return found["status"], found["reason"], found["message"]

    def annotations(self, kind: str, name: str) -> dict[str, str]:
        return self.objects[kind]["ns", name]["metadata"]["annotations"]

    # -- what Knative does
    def make_revision(self, service: dict[str, Any]) -> str:
        metadata = service["metadata"]
        namespace, number = metadata["namespace"], metadata["generation"]
        name = f"{metadata['name']}-{number:05d}"
        annotations = dict(service["spec"]["template"]["metadata"]["annotations"])
        labels = {LABEL: metadata["name"], "serving.knative.dev/revision": name}
        base = {"name": name, "namespace": namespace, "labels": labels}
        for kind in ("Revision", "PodAutoscaler"):
            self.objects[kind][namespace, name] = {"metadata": {**base, "annotations": dict(annotations)}}
        template = {"metadata": {"annotations": dict(annotations) if self.annotations_on_pods else {}}}
        self.objects["Deployment"][namespace, name + "-deployment"] = {
            "metadata": {**base, "name": name + "-deployment"},
            "spec": {"replicas": 1, "template": template},
            "status": {"readyReplicas": 1},
        }
        service["status"] = {
            "observedGeneration": number,
            "url": f"http://{metadata['name']}.{namespace}.svc.cluster.local",
            "address": {"url": f"http://{metadata['name']}.{namespace}.svc.cluster.local"},
            "conditions": [{"type": "Ready", "status": "True"}],
            "traffic": [{"revisionName": name, "percent": 100, "latestRevision": True}],
        }
        return name

    def scale(self, revision: str, replicas: int, ready: int | None = None) -> None:
        deployment = self.objects["Deployment"]["ns", revision + "-deployment"]
        deployment["spec"]["replicas"] = replicas
        deployment["status"]["readyReplicas"] = replicas if ready is None else ready

    # -- the protocol
    def _call(self, verb: str, name: str = "") -> None:
        for at in (verb, f"{verb} {name}"):
            if at in self.broken:
                raise self.broken[at]
        if verb != "list":
            self.writes.append((verb, name))

    async def modelservices(self, key):
        self._call("list", "modelservices")
        self.lists += 1
        found = self.objects["ModelService"]
        return copy.deepcopy([item for at, item in found.items() if key in (None, at)])

    async def children(self, key):
        self._call("list", "children")

        def of(kind: str) -> list[dict[str, Any]]:
            wanted = (item for item in self.objects[kind].values() if LABEL in item["metadata"].get("labels", {}))
            return copy.deepcopy(
                [
                    item
                    for item in wanted
                    if key is None or (item["metadata"]["namespace"], item["metadata"]["labels"][LABEL]) == key
                ]
            )

        return Objects(
            services=of("Service"),
            revisions=of("Revision"),
            podautoscalers=of("PodAutoscaler"),
            deployments=of("Deployment"),
        )

    async def service_named(self, key):
        self._call("list", "services")
        return copy.deepcopy(self.objects["Service"].get(key))

    async def apply_service(self, manifest):
        metadata = manifest["metadata"]
        key = (metadata["namespace"], metadata["name"])
        self._call("apply", metadata["name"])
        live = self.objects["Service"].get(key)
        changed = live is None or live["spec"] != manifest["spec"]
        service = merged(copy.deepcopy(live or {}), copy.deepcopy(dict(manifest)))
        generation = (live["metadata"]["generation"] if live else 0) + (1 if changed else 0)
        service["metadata"]["generation"] = generation
        self.objects["Service"][key] = service
        if changed:
            self.make_revision(service)
        return copy.deepcopy(service)

    async def annotate(self, target, key, annotation, value):
        self._call("annotate", f"{target.value}/{key[1]}={value}")
        annotations = self.objects[target.value][key]["metadata"]["annotations"]
        if value is None:
            annotations.pop(annotation, None)
            return
        annotations[annotation] = value
        if self.pods_follow:
            deployment = self.objects["Deployment"][key[0], key[1] + "-deployment"]
            deployment["spec"]["replicas"] = int(value)
            deployment["status"]["readyReplicas"] = int(value)

    async def patch_status(self, key, patch):
        self._call("status", key[1])
        wanted = self.objects["ModelService"][key]
        wanted["status"] = merged(wanted.get("status", {}), copy.deepcopy(dict(patch)))

    async def lease(self, key):
        self._call("list", "leases")
        return copy.deepcopy(self.objects["Lease"].get(key))

    async def write_lease(self, manifest):
        self._call("lease", manifest["spec"]["holderIdentity"])
        metadata = manifest["metadata"]
        self.objects["Lease"][metadata["namespace"], metadata["name"]] = copy.deepcopy(dict(manifest))
        return manifest

    async def create_event(self, event):
        self._call("event", event["reason"])
        self.events.append(dict(event))


class FakeWaker:
    """Remembers whom it was asked to wake."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.error: WakeError | None = None

    async def wake(self, url: str) -> str:
        self.urls.append(url)
        if self.error is not None:
            raise self.error
        return "abandoned"


class FakePrometheus:
    """Answers the queries of a pass from figures by service; a service without figures has no series."""

    def __init__(self) -> None:
        self.figures: dict[tuple[str, str], dict[str, float | str]] = {}
        self.activator_age_seconds: float | None = 1.0
        self.error: PrometheusError | None = None
        self.asked = 0
        self.histograms: dict[str, dict[float, float]] = {}
        self.past: tuple[RangeSeries, ...] = ()
        self.asked_for_past: list[tuple[str, float, float, int]] = []
        texts = Question(60, 60.0).texts() | traits.all_histograms(60)
        self._names = {text: name for name, text in texts.items()}

    def busy(self, service: str = "digits", namespace: str = "ns", **figures: float | str) -> None:
        usual = {
            "request_rate": 1.0,
            "p95_seconds": 0.05,
            "in_flight": 0.0,
            "service_seconds": 0.02,
            "cold_start_fraction": 0.0,
            "utilization": 0.9,
            "age_seconds": 1.0,
            "reporting_replicas": 100.0,
        }
        self.figures[namespace, service] = {**usual, **figures}

    async def query(self, text: str) -> tuple[Sample, ...]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        name = self._names[text]
        if name == "activator_age_seconds":
            age = self.activator_age_seconds
            return () if age is None else (Sample({}, age, str(age)),)
        if name in self.histograms:
            return tuple(
                Sample({"namespace_name": namespace, "service_name": service, "le": str(bound)}, count, str(count))
                for namespace, service in self.figures
                for bound, count in self.histograms[name].items()
            )
        return tuple(
            Sample(
                {"namespace_name": namespace, "service_name": service},
                figures[name] if isinstance(figures[name], float) else None,
                str(figures[name]),
            )
            for (namespace, service), figures in self.figures.items()
            if name in figures
        )

    async def query_range(
        self, text: str, begin_seconds: float, end_seconds: float, step_seconds: int
    ) -> tuple[RangeSeries, ...]:
        self.asked_for_past.append((text, begin_seconds, end_seconds, step_seconds))
        if self.error is not None:
            raise self.error
        return self.past


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def waker() -> FakeWaker:
    return FakeWaker()


@pytest.fixture
def prometheus() -> FakePrometheus:
    return FakePrometheus()
