"""What tests do with ModelServices in a cluster: serve one, send it inferences, look at its status, pods and events.

In: a cluster whose operator is at work. Out: URLs, and the objects as the API server shows them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from harness.access import Cluster, Json
from harness.paths import ROOT

DIGITS = ROOT / "examples" / "digits"
MIN_SCALE = "autoscaling.knative.dev/min-scale"
LOW_SECONDS = 12


@dataclass(frozen=True, slots=True)
class Served:
    """What is served: a ModelService's name, its image, its model, its limits; `more`: other keys of the spec."""

    name: str
    image: str
    uri: str
    format_name: str
    scaling: Json
    more: Json = field(default_factory=dict)


def digits(name: str, image: str, minimum: int = 1, maximum: int = 2, **more: Any) -> Served:
    """Returns the digits model with a floor from `minimum` on."""
    scaling = {
        "policy": "paper",
        "minReplicas": minimum,
        "maxReplicas": maximum,
        "lowUtilizationSeconds": LOW_SECONDS,
    }
    return Served(name, image, "/models/digits", "onnx", scaling, more)


def slow_digits(name: str, image: str, maximum: int = 4, policy: str = "paper") -> Served:
    """Returns the model with a fixed service time, of which one replica at least is warm."""
    scaling = {"minReplicas": 1, "maxReplicas": maximum, "lowUtilizationSeconds": LOW_SECONDS, "policy": policy}
    return Served(name, image, "/models/slow-digits", "python", scaling)


def serving(cluster: Cluster, served: Served) -> Iterator[str]:
    """Yields the URL of a new ModelService that is ready, and deletes it afterwards."""
    name = served.name
    if cluster.local_ingress is None and "visibility" not in served.more:
        pytest.skip("the model is for the cluster only: EVERWARM_LOCAL_INGRESS_URL must say where its ingress answers")
    model = {"uri": served.uri, "format": served.format_name}
    spec = {"image": served.image, "model": model, "scaling": served.scaling, **served.more}
    metadata = {"name": name, "namespace": "default"}
    cluster.delete("modelservice", name)
    cluster.apply({"apiVersion": "everwarm.dev/v1alpha1", "kind": "ModelService", "metadata": metadata, "spec": spec})
    ready = cluster.wait_for(
        f"{name} is ready", lambda: with_condition(cluster, name, "Ready", "True"), timeout_seconds=120
    )
    yield str(ready["url"])
    cluster.delete("modelservice", name)


def change(cluster: Cluster, name: str, spec: Json) -> None:
    """Merges into the spec of a ModelService."""
    cluster.merge("modelservice", name, {"spec": spec})


def held_out_samples(count: int) -> tuple["np.ndarray", "np.ndarray"]:
    """Returns images and labels that the model has not been trained on."""
    with np.load(DIGITS / "samples.npz") as samples:
        return samples["images"][:count].astype(np.float32), samples["labels"][:count]


def inference(images: "np.ndarray") -> Json:
    """Returns the V2 request for `images`."""
    data = {"name": "image", "datatype": "FP32", "shape": list(images.shape), "data": images.ravel().tolist()}
    return {"inputs": [data]}


def status(cluster: Cluster, name: str) -> Json:
    """Returns the status of a ModelService."""
    found = cluster.get("modelservice", name)
    assert found is not None, f"there is no ModelService {name}"
    return dict(found.get("status", {}))


def condition(found: Json, name: str) -> str | None:
    """Returns the status of a condition."""
    return next((c["status"] for c in found.get("conditions", []) if c["type"] == name), None)


def with_condition(cluster: Cluster, name: str, wanted: str, value: str) -> Json | None:
    """Returns the status of a ModelService if a condition has a value."""
    found = status(cluster, name)
    return found if condition(found, wanted) == value else None


def pods(cluster: Cluster, name: str) -> list[Json]:
    """Returns the pods of a service that are ready and stay."""
    found = cluster.list("pods", selector=f"serving.knative.dev/service={name}")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"] and _is_ready(pod)]


def owned(cluster: Cluster, kind: str, name: str) -> list[Json]:
    """Returns the objects of a kind that Knative made for a service."""
    if kind == "ksvc":
        return [item for item in [cluster.get("ksvc", name)] if item]
    return cluster.list(kind, selector=f"serving.knative.dev/service={name}")


def floors(cluster: Cluster, name: str) -> dict[str, str | None]:
    """Returns the floor that stands on each revision of a service, wherever this Knative wants it."""
    found: dict[str, str | None] = {}
    for kind in ("revisions", "podautoscalers"):
        for item in owned(cluster, kind, name):
            value = item["metadata"].get("annotations", {}).get(MIN_SCALE)
            found[item["metadata"]["name"]] = found.get(item["metadata"]["name"]) or value
    return found


def events(cluster: Cluster, name: str, reason: str) -> list[str]:
    """Returns the sentences of a ModelService's Events of one reason; not those of an earlier one of the same name."""
    about = cluster.get("modelservice", name)
    uid = about["metadata"]["uid"] if about else ""
    found = cluster.list("events")
    return [e["message"] for e in found if e["reason"] == reason and e["involvedObject"].get("uid") == uid]


def _is_ready(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
