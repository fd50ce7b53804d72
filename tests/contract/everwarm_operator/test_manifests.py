"""The manifests in the repository are what the code makes and takes."""

from pathlib import Path

import pytest
import yaml

from everwarm_operator.api import schema
from everwarm_operator.api.v1alpha1 import ModelService
from everwarm_operator.settings import Settings

MANIFESTS = Path(__file__).resolve().parents[3] / "manifests"
SAMPLES = sorted((MANIFESTS / "samples").glob("*.yaml"))


def test_the_definition_is_generated() -> None:
    assert (MANIFESTS / "crds.yaml").read_text() == schema.crd_yaml(), "run `make manifests`"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_a_sample_is_a_model_service(sample: Path) -> None:
    content = yaml.safe_load(sample.read_text())
    content["metadata"]["namespace"] = "default"
    ModelService.model_validate(content)


def deployment() -> dict:
    documents = yaml.safe_load_all((MANIFESTS / "install.yaml").read_text())
    (found,) = [document for document in documents if document["kind"] == "Deployment"]
    return found


def test_the_deployment_sets_what_the_settings_know(monkeypatch: pytest.MonkeyPatch) -> None:
    (container,) = deployment()["spec"]["template"]["spec"]["containers"]
    settings, prefix = Settings(), "EVERWARM_OPERATOR_"
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    named = {name.removeprefix(prefix).lower() for name in environment}
    assert named | {"health_port", "metrics_port"} == set(Settings.model_fields)
    assert environment.pop(f"{prefix}LEASE") == "everwarm-system/everwarm-leader"
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings, "the defaults, written out"
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"health": settings.health_port, "metrics": settings.metrics_port}


def test_the_deployment_is_fit_for_a_restricted_namespace() -> None:
    pod = deployment()["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
