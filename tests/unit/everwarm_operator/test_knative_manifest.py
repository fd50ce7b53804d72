"""ModelService -> Knative Service."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_operator.api.v1alpha1 import ModelService
from everwarm_operator.resources import knative


def wanted(**spec: Any) -> ModelService:
    metadata = {"name": "digits", "namespace": "ns", "uid": "u-1", "generation": 3}
    return ModelService.model_validate(
        {"metadata": metadata, "spec": {"model": {"uri": "/models/digits", "format": "onnx"}, **spec}}
    )


def environment(manifest: dict[str, Any]) -> dict[str, Any]:
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def test_the_whole_manifest() -> None:
    manifest = knative.service(wanted(concurrency=4, scaling={"maxReplicas": 7}, timeoutSeconds=30), "server:1")
    (digest,) = manifest["metadata"]["annotations"].values()
    assert len(digest) == 16
    assert manifest == {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": "digits",
            "namespace": "ns",
            "labels": {
                "app.kubernetes.io/name": "digits",
                "app.kubernetes.io/managed-by": "everwarm",
                "everwarm.dev/modelservice": "digits",
                "networking.knative.dev/visibility": "cluster-local",
            },
            "annotations": {"everwarm.dev/manifest-hash": digest},
            "ownerReferences": [
                {
                    "apiVersion": "everwarm.dev/v1alpha1",
                    "kind": "ModelService",
                    "name": "digits",
                    "uid": "u-1",
                    "controller": True,
                }
            ],
        },
        "spec": {
            "template": {
                "metadata": {
                    "labels": {"everwarm.dev/modelservice": "digits"},
                    "annotations": {"autoscaling.knative.dev/max-scale": "7"},
                },
                "spec": {
                    "containerConcurrency": 4,
                    "timeoutSeconds": 30,
                    "containers": [
                        {
                            "name": "server",
                            "image": "server:1",
                            "env": [
                                {"name": "EVERWARM_MODEL_URI", "value": "/models/digits"},
                                {"name": "EVERWARM_MODEL_NAME", "value": "digits"},
                                {"name": "EVERWARM_MODEL_FORMAT", "value": "onnx"},
                                {"name": "EVERWARM_CONCURRENCY", "value": "4"},
                                {"name": "EVERWARM_HOST", "value": "0.0.0.0"},
                                {"name": "EVERWARM_METRICS_PORT", "value": "9464"},
                                {"name": "EVERWARM_ALLOW_UNAUTHENTICATED", "value": "true"},
                            ],
                            "readinessProbe": {"httpGet": {"path": "/v2/health/ready"}},
                            "resources": {},
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "capabilities": {"drop": ["ALL"]},
                                "runAsNonRoot": True,
                                "seccompProfile": {"type": "RuntimeDefault"},
                            },
                        }
                    ],
                },
            }
        },
    }


def test_a_public_service_has_a_token_and_no_way_around_it() -> None:
    manifest = knative.service(wanted(visibility="Public", auth={"tokenSecretName": "callers"}), "server:1")
    assert "networking.knative.dev/visibility" not in manifest["metadata"]["labels"]
    assert environment(manifest)["EVERWARM_API_TOKEN"] == {"secretKeyRef": {"name": "callers", "key": "token"}}
    assert "EVERWARM_ALLOW_UNAUTHENTICATED" not in environment(manifest)


def test_the_floor_and_what_steers_it_are_not_in_the_manifest() -> None:
    one = knative.service(wanted(), "server:1")
    other = knative.service(
        wanted(scaling={"minReplicas": 3, "policy": "fixed", "lowUtilizationSeconds": 9}, slo={"p95Milliseconds": 1}),
        "server:1",
    )
    assert one == other


def test_names_and_images_of_the_spec_come_first() -> None:
    spec = {"model": {"uri": "s3://b/m", "format": "torch", "name": "mnist"}, "image": "mine:2"}
    manifest = knative.service(wanted(**spec), "server:1")
    assert environment(manifest)["EVERWARM_MODEL_NAME"] == "mnist"
    assert manifest["spec"]["template"]["spec"]["containers"][0]["image"] == "mine:2"


def as_knative_keeps_it(manifest: dict[str, Any]) -> dict[str, Any]:
    live = copy.deepcopy(manifest)
    live["metadata"] |= {"resourceVersion": "7", "generation": 1}
    live["metadata"]["annotations"]["serving.knative.dev/creator"] = "somebody"
    (container,) = live["spec"]["template"]["spec"]["containers"]
    container["readinessProbe"] |= {"successThreshold": 1}
    container["readinessProbe"]["httpGet"]["port"] = 0
    live["spec"]["traffic"] = [{"latestRevision": True, "percent": 100}]
    live["status"] = {}
    return live


RESOURCES = {"requests": {"cpu": "500m", "memory": "1024Mi"}, "limits": {"nvidia.com/gpu": 1}}


def test_what_knative_adds_calls_for_no_write() -> None:
    manifest = knative.service(wanted(resources=RESOURCES), "server:1")
    live = as_knative_keeps_it(manifest)
    resources = live["spec"]["template"]["spec"]["containers"][0]["resources"]
    resources["requests"] = {"cpu": "0.5", "memory": "1Gi"}
    resources["limits"]["cpu"] = "2"
    assert knative.is_applied(manifest, live)


CHANGES = {
    "a label removed": lambda live: live["metadata"]["labels"].pop("everwarm.dev/modelservice"),
    "another image": lambda live: live["spec"]["template"]["spec"]["containers"][0].update(image="evil:1"),
    "a variable added": lambda live: live["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "X"}),
    "another request": lambda live: live["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"].update(
        cpu="501m"
    ),
    "no requests": lambda live: live["spec"]["template"]["spec"]["containers"][0]["resources"].pop("requests"),
    "another limit": lambda live: live["spec"]["template"]["metadata"]["annotations"].update(
        {"autoscaling.knative.dev/max-scale": "99"}
    ),
    "another spec's hash": lambda live: live["metadata"]["annotations"].update({"everwarm.dev/manifest-hash": "0"}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_somebody_changes_is_noticed(change) -> None:
    manifest = knative.service(wanted(resources=RESOURCES), "server:1")
    live = as_knative_keeps_it(manifest)
    change(live)
    assert not knative.is_applied(manifest, live)


def test_what_the_spec_no_longer_says_is_noticed() -> None:
    live = as_knative_keeps_it(knative.service(wanted(resources=RESOURCES), "server:1"))
    assert not knative.is_applied(knative.service(wanted(), "server:1"), live)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1000m"),
        ("0.5", "500m"),
        ("1Gi", "1024Mi"),
        ("1k", "1000"),
        ("1e3", "1k"),
        ("2E", "2000P"),
        ("12e6", "12M"),
    ],
)
def test_a_quantity_has_many_names(one: str, other: str) -> None:
    assert knative.quantity(one) == knative.quantity(other)


def test_what_is_no_quantity_equals_itself_only() -> None:
    assert knative.quantity("lots") == "lots"
    assert knative.quantity("m") == "m"


@given(
    st.integers(1, 1000), st.integers(1, 600), st.dictionaries(st.sampled_from(["cpu", "memory"]), st.integers(1, 9))
)
def test_a_manifest_is_applied_where_it_was_applied(concurrency: int, timeout: int, requests: dict[str, int]) -> None:
    service = wanted(concurrency=concurrency, timeoutSeconds=timeout, resources={"requests": requests})
    manifest = knative.service(service, "server:1")
    assert manifest == knative.service(service, "server:1")
    assert knative.is_applied(manifest, as_knative_keeps_it(manifest))
