"""What the API server itself refuses, and the sentence that it says: there is no webhook, only the CRD's own rules."""

import json
from typing import Any

import pytest

from harness.access import Cluster
from harness.paths import ROOT
from harness.shell import CommandFailed

pytestmark = pytest.mark.cluster

MODEL = {"uri": "/models/digits", "format": "onnx"}

MORNING = {"cron": "30 7 * * mon-fri", "timeZone": "Europe/Berlin", "durationSeconds": 3600, "replicas": 4}


def scaled(**scaling: Any) -> dict[str, Any]:
    """Returns a spec that is scaled so."""
    return {"model": MODEL, "scaling": scaling}


# What is wrong, the spec, what the answer says.
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (
        "unknown format",
        {"model": {**MODEL, "format": "keras"}},
        'spec.model.format "keras" is not supported: use onnx (ONNX Runtime), torch (PyTorch), sklearn (skops), python '
        "(a class) or kserve (a kserve.Model)",
    ),
    (
        "min over max",
        {"model": MODEL, "scaling": {"minReplicas": 5, "maxReplicas": 2}},
        "spec.scaling.minReplicas is over spec.scaling.maxReplicas: no number of replicas fits both",
    ),
    (
        "min over the default max",
        {"model": MODEL, "scaling": {"minReplicas": 50}},
        "spec.scaling.minReplicas is over spec.scaling.maxReplicas: no number of replicas fits both",
    ),
    (
        "negative SLO",
        {"model": MODEL, "slo": {"p95Milliseconds": -5}},
        "spec.slo.p95Milliseconds must be over 0: it is a time to answer in",
    ),
    (
        "negative minimum",
        {"model": MODEL, "scaling": {"minReplicas": -1}},
        "spec.scaling.minReplicas can't be negative: use 0 to allow scale to zero",
    ),
    ("no replicas", {"model": MODEL, "scaling": {"minReplicas": 0, "maxReplicas": 0}}, "must be at least 1"),
    ("no concurrency", {"model": MODEL, "concurrency": 0}, "spec.concurrency must be 1 to 1000"),
    ("no time", {"model": MODEL, "timeoutSeconds": 0}, "spec.timeoutSeconds must be over 0"),
    (
        "unknown policy",
        {"model": MODEL, "scaling": {"policy": "magic"}},
        "is not supported: use hybrid, paper, schedule or",
    ),
    ("unknown mode", scaled(mode="Dry"), "spec.scaling.mode is not known: use Active, Preview or Paused"),
    ("a schedule without windows", scaled(policy="schedule"), "needs a window in spec.scaling.schedule"),
    ("four fields of cron", scaled(schedule=[{**MORNING, "cron": "30 7 * *"}]), "cron needs five fields"),
    ("a window of no time", scaled(schedule=[{**MORNING, "durationSeconds": 0}]), "must be over 0 and at most 2678400"),
    ("a window without replicas", scaled(schedule=[{**MORNING, "replicas": -1}]), "replicas can't be negative"),
    ("too many windows", scaled(schedule=[MORNING] * 33), "must have at most 32 items"),
    ("a budget of nothing", scaled(budget={"usdPerMonth": 0, "usdPerReplicaHour": 1}), "usdPerMonth must be over 0"),
    ("a budget without a price", scaled(budget={"usdPerMonth": 5}), "usdPerReplicaHour: Required value"),
    ("a silence of nothing", scaled(fallback={"afterSeconds": 0, "replicas": 1}), "afterSeconds must be over 0"),
    ("no step", scaled(pace={"maxStepDown": 0}), "spec.scaling.pace.maxStepDown must be at least 1"),
    ("unknown visibility", {"model": MODEL, "visibility": "World"}, "is not known: use Cluster or Public"),
    (
        "public without a token",
        {"model": MODEL, "visibility": "Public"},
        "spec.visibility Public needs spec.auth.tokenSecretName: without a token everybody could use the model",
    ),
    (
        "unknown scheme",
        {"model": {**MODEL, "uri": "ftp://models/digits"}},
        "spec.model.uri must be an absolute path or start with file://, s3://, gs://, az:// or https://",
    ),
    ("a model name with a slash", {"model": {**MODEL, "name": "a/b"}}, "spec.model.name is part of the request path"),
    ("a key that does not exist", {"model": MODEL, "replicas": 3}, 'unknown field "spec.replicas"'),
    ("no model", {}, "spec.model: Required value"),
    ("words for a number", {"model": MODEL, "concurrency": "many"}, "spec.concurrency in body must be of type integer"),
    ("no quantity", {"model": MODEL, "resources": {"requests": {"cpu": "lots"}}}, "spec.resources.requests.cpu"),
]


@pytest.fixture(scope="module", autouse=True)
def definition(cluster: Cluster) -> None:
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "manifests" / "crds.yaml"))
    cluster.kubectl("wait", "--for=condition=Established", "crd/modelservices.everwarm.dev", "--timeout=30s")


def dry_run(cluster: Cluster, spec: dict[str, Any], name: str = "admission") -> dict[str, Any]:
    """Returns the object as the API server would store it."""
    manifest = {"apiVersion": "everwarm.dev/v1alpha1", "kind": "ModelService", "metadata": {"name": name}, "spec": spec}
    stored = cluster.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(manifest))
    return json.loads(stored)


@pytest.mark.parametrize(("spec", "sentence"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_bad_spec_is_refused_with_a_sentence(cluster: Cluster, spec: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CommandFailed) as refused:
        dry_run(cluster, spec)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("a" * 58, "metadata.name may have at most 57 characters"), ("a.b", "metadata.name becomes a DNS label")],
)
def test_a_name_that_knative_can_not_use_is_refused(cluster: Cluster, name: str, sentence: str) -> None:
    with pytest.raises(CommandFailed) as refused:
        dry_run(cluster, {"model": MODEL}, name)
    assert sentence in str(refused.value)


def test_the_least_spec_is_taken_and_filled_in(cluster: Cluster) -> None:
    assert dry_run(cluster, {"model": MODEL}, "a" * 57)["spec"] == {
        "model": MODEL,
        "concurrency": 1,
        "slo": {"p95Milliseconds": 500},
        "scaling": {
            "mode": "Active",
            "policy": "hybrid",
            "minReplicas": 1,
            "maxReplicas": 10,
            "lowUtilizationSeconds": 300,
            "pace": {"coolDownSeconds": 0},
        },
        "timeoutSeconds": 60,
        "visibility": "Cluster",
    }


def test_all_of_scaling_is_taken(cluster: Cluster) -> None:
    pace = {"maxStepUp": 5, "maxStepDown": 1, "coolDownSeconds": 60}
    budget = {"usdPerMonth": 300, "usdPerReplicaHour": 0.5}
    spec = {**scaled(schedule=[MORNING], budget=budget, pace=pace), "slo": {"p99Milliseconds": 900}}
    assert dry_run(cluster, spec)["spec"]["scaling"]["schedule"] == [{"name": "", **MORNING}]


def test_a_public_service_with_a_token_is_taken(cluster: Cluster) -> None:
    dry_run(cluster, {"model": MODEL, "visibility": "Public", "auth": {"tokenSecretName": "callers"}})


@pytest.mark.parametrize("sample", sorted((ROOT / "manifests" / "samples").glob("*.yaml")), ids=lambda path: path.name)
def test_the_samples_are_taken(cluster: Cluster, sample) -> None:
    cluster.kubectl("apply", "--dry-run=server", "-f", str(sample))


def test_the_memory_is_stored_as_it_is_and_a_status_of_another_shape_is_not(cluster: Cluster) -> None:
    manifest = {
        "apiVersion": "everwarm.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "memory"},
        "spec": {"model": MODEL},
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    try:
        status = {"floor": 2, "memory": {"anything": {"at": [1.5, None]}}, "nonsense": 1}
        patch = ("patch", "modelservice", "memory", "--subresource=status", "--type=merge", "-p")
        cluster.kubectl(*patch, json.dumps({"status": status}))
        stored = cluster.get("modelservice", "memory")
        assert stored is not None
        assert stored["status"]["memory"]["anything"] == {"at": [1.5, None]}
        assert "nonsense" not in stored["status"]
    finally:
        cluster.delete("modelservice", "memory")
