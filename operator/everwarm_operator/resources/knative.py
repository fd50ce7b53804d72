"""ModelService -> Knative Service manifest. Pure, and the same for the same spec.

Nothing that changes by itself (a time, the floor) ever stands in the template: each change there makes a new Revision,
with cold replicas beside the warm ones.
"""

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from everwarm_operator.api.v1alpha1 import GROUP, KIND, VERSION, ModelService

Manifest = dict[str, Any]

SERVICE_LABEL = f"{GROUP}/modelservice"
HASH_ANNOTATION = f"{GROUP}/manifest-hash"
VISIBILITY_LABEL = "networking.knative.dev/visibility"
MAX_SCALE = "autoscaling.knative.dev/max-scale"
METRICS_PORT = 9464

_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(1000),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("MGTPE", start=2)},
    **{letter + "i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}


def service(wanted: ModelService, default_image: str) -> Manifest:
    """The Knative Service of a ModelService, with the hash by which a change is noticed.

    Args:
        wanted: the object as read from the API server.
        default_image: the server's image where the spec names none.
    """
    manifest: Manifest = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": _metadata(wanted),
        "spec": {"template": _template(wanted, default_image)},
    }
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    manifest["metadata"]["annotations"] = {HASH_ANNOTATION: hashlib.sha256(text.encode()).hexdigest()[:16]}
    return manifest


def _metadata(wanted: ModelService) -> Manifest:
    name = wanted.metadata.name
    labels = {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/managed-by": "everwarm",
        SERVICE_LABEL: name,
    }
    if wanted.spec.visibility == "Cluster":
        labels[VISIBILITY_LABEL] = "cluster-local"
    owner = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "name": name,
        "uid": wanted.metadata.uid,
        "controller": True,
    }
    return {"name": name, "namespace": wanted.metadata.namespace, "labels": labels, "ownerReferences": [owner]}


def _template(wanted: ModelService, default_image: str) -> Manifest:
    spec = wanted.spec
    container = {
        "name": "server",
        "image": spec.image or default_image,
        "env": _environment(wanted),
        "readinessProbe": {"httpGet": {"path": "/v2/health/ready"}},  # on the port that Knative tells the server
        "resources": {
            kind: {name: str(quantity) for name, quantity in quantities.items()}
            for kind, quantities in (("requests", spec.resources.requests), ("limits", spec.resources.limits))
            if quantities
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        # The annotation that is always there also tells which object the floor is written to: see floor.py.
        "metadata": {
            "labels": {SERVICE_LABEL: wanted.metadata.name},
            "annotations": {MAX_SCALE: str(spec.scaling.max_replicas)},
        },
        "spec": {
            "containerConcurrency": spec.concurrency,
            "timeoutSeconds": spec.timeout_seconds,
            "containers": [container],
        },
    }


def _environment(wanted: ModelService) -> list[Manifest]:
    spec = wanted.spec
    plain = {
        "EVERWARM_MODEL_URI": spec.model.uri,
        "EVERWARM_MODEL_NAME": wanted.model_name,
        "EVERWARM_MODEL_FORMAT": spec.model.format,
        "EVERWARM_CONCURRENCY": str(spec.concurrency),
        "EVERWARM_HOST": "0.0.0.0",
        "EVERWARM_METRICS_PORT": str(METRICS_PORT),
    }
    if spec.auth is None:
        # Only ever with visibility Cluster: the CRD refuses Public without a token.
        plain["EVERWARM_ALLOW_UNAUTHENTICATED"] = "true"
    environment: list[Manifest] = [{"name": name, "value": value} for name, value in plain.items()]
    if spec.auth is not None:
        reference = {"name": spec.auth.token_secret_name, "key": "token"}
        environment.append({"name": "EVERWARM_API_TOKEN", "valueFrom": {"secretKeyRef": reference}})
    return environment


def is_applied(wanted: Manifest, live: Mapping[str, Any]) -> bool:
    """Whether the live object already has all that the manifest says; what others added does not count.

    The hash notices what was taken out of the manifest, the comparison what somebody else changed.
    """
    return _contains(live, wanted, quantities=False)


def _contains(live: Any, wanted: Any, *, quantities: bool) -> bool:
    if isinstance(wanted, Mapping):
        if not isinstance(live, Mapping):
            return not wanted and live is None  # Knative drops empty maps
        return all(
            _contains(live.get(key), value, quantities=quantities or key in {"requests", "limits"})
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        same_length = isinstance(live, list) and len(live) == len(wanted)
        return same_length and all(_contains(a, b, quantities=quantities) for a, b in zip(live, wanted, strict=True))
    if quantities:
        return live is not None and quantity(str(live)) == quantity(str(wanted))
    return bool(live == wanted)


def quantity(text: str) -> Decimal | str:
    """The value of a Kubernetes quantity ("500m" is 0.5, "1Gi" is 1073741824); the text itself if it is none."""
    for suffix in (text[-2:], text[-1:]):
        if suffix in _SUFFIXES:
            number, factor = text.removesuffix(suffix), _SUFFIXES[suffix]
            break
    else:
        number, factor = text, Decimal(1)
    try:
        return Decimal(number) * factor
    except InvalidOperation:
        return text
