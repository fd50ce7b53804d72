"""Pods -> what Prometheus' discovery would find of them, as a file that it watches.

Debian's Prometheus is built without discovery in Kubernetes. A file can carry the same meta labels as the discovery's
role `pod` (prometheus/discovery/kubernetes/pod.go), so the relabelling of manifests/prometheus.yaml is tested as it is.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import httpx

from harness.controllers import api
from harness.controllers.envoy import Json

_META = "__meta_kubernetes_"


def targets(pods: Iterable[Json]) -> list[Json]:
    """Returns a target group for each port that a container of the `pods` with an address declares."""
    ordered = sorted(pods, key=lambda pod: (pod["metadata"]["namespace"], pod["metadata"]["name"]))
    return [
        _group(pod, container["name"], port)
        for pod in ordered
        if pod.get("status", {}).get("podIP")
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
    ]


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


def _group(pod: Json, container: str, port: Json) -> Json:
    metadata, status = pod["metadata"], pod["status"]
    labels = {
        f"{_META}namespace": metadata["namespace"],
        f"{_META}pod_name": metadata["name"],
        f"{_META}pod_ip": status["podIP"],
        f"{_META}pod_phase": status.get("phase", ""),
        f"{_META}pod_container_name": container,
        f"{_META}pod_container_port_name": port.get("name", ""),
        f"{_META}pod_container_port_number": str(port["containerPort"]),
    }
    for name, value in metadata.get("labels", {}).items():
        sanitized = re.sub(r"\W", "_", name, flags=re.ASCII)
        labels[f"{_META}pod_label_{sanitized}"] = value
        labels[f"{_META}pod_labelpresent_{sanitized}"] = "true"
    return {"targets": [f"{status['podIP']}:{port['containerPort']}"], "labels": labels}
