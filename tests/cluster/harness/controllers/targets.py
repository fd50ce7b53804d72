"""Pods -> the targets that Prometheus scrapes, as a file that it watches.

Debian's Prometheus is built without discovery in Kubernetes; the labels are those that its relabelling would give: the
operator's queries rely on them.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import httpx
from tests.cluster.harness.controllers import api
from tests.cluster.harness.controllers.envoy import Json

SERVER_PORT, QUEUE_PROXY_PORT, KNATIVE_PORT = 9464, 9091, 9090
_KNATIVE_COMPONENTS = {"activator", "autoscaler"}
_LABELS = {
    "service_name": "serving.knative.dev/service",
    "revision_name": "serving.knative.dev/revision",
    "configuration_name": "serving.knative.dev/configuration",
}


def targets(pods: Iterable[Json]) -> list[Json]:
    """Returns Prometheus' target groups for those `pods` that run."""
    found = []
    for pod in sorted(pods, key=lambda pod: (pod["metadata"]["namespace"], pod["metadata"]["name"])):
        metadata, status = pod["metadata"], pod.get("status", {})
        labels = metadata.get("labels", {})
        if status.get("phase") != "Running" or not status.get("podIP"):
            continue
        if "serving.knative.dev/service" in labels:
            ours = {name: labels[label] for name, label in _LABELS.items() if label in labels}
            ours |= {"namespace_name": metadata["namespace"], "pod_name": metadata["name"]}
            found.append(_group(status["podIP"], SERVER_PORT, {"job": "everwarm-server", **ours}))
            found.append(_group(status["podIP"], QUEUE_PROXY_PORT, {"job": "queue-proxy", **ours}))
        elif metadata["namespace"] == "knative-serving" and labels.get("app") in _KNATIVE_COMPONENTS:
            own = {"job": "knative", "component": labels["app"], "pod_name": metadata["name"]}
            found.append(_group(status["podIP"], KNATIVE_PORT, own))
    return found


async def write_targets(server: httpx.AsyncClient, path: Path) -> None:
    """Keeps the file at `path` current until cancelled."""

    def write() -> None:
        text = json.dumps(targets(pods.objects.values()), indent=1)
        if not path.exists() or path.read_text() != text:
            staging = path.with_suffix(".part")
            staging.write_text(text)
            staging.rename(path)

    pods = api.Store(server, "/api/v1/pods", write)
    await pods.follow()


def _group(address: str, port: int, labels: dict[str, str]) -> Json:
    return {"targets": [f"{address}:{port}"], "labels": labels}
