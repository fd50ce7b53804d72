"""Installs Knative Serving from the manifests in its own Go module, at the version that its programs are built from.

In: a kubeconfig whose API server answers. Out: Knative's deployments are available, its ingress class is the harness'
own, and its metrics are Prometheus'.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from harness.build import KNATIVE, kubectl, module_folder
from harness.images import HELLO, knative_tag
from harness.paths import KUBECONFIG, RUN
from harness.processes import wait
from harness.shell import CommandFailed, run

INGRESS_CLASS = "envoy.harness.everwarm.dev"
NAMESPACE = "knative-serving"
# What differs from Knative's defaults, by ConfigMap.
SETTINGS: dict[str, dict[str, str]] = {
    "config-network": {"ingress-class": INGRESS_CLASS},
    "config-domain": {"example.com": ""},
    "config-observability": {
        "metrics.backend-destination": "prometheus",
        "metrics.request-metrics-backend-destination": "prometheus",
        "metrics.reporting-period-seconds": "2",
        "metrics.request-metrics-reporting-period-seconds": "2",
    },
    # A pod that is scaled away should not hold a test up: seconds instead of minutes until Knative may scale to zero.
    "config-autoscaler": {"stable-window": "10s", "scale-to-zero-grace-period": "5s"},
}
_FILES = (
    ("knative.dev/serving", "config/core/100-namespace.yaml"),
    ("knative.dev/serving", "config/core/200-serviceaccount.yaml"),
    ("knative.dev/serving", "config/core/300-knativecertificate.yaml"),
    ("knative.dev/serving", "config/core/200-roles/*.yaml"),
    ("knative.dev/serving", "config/core/300-resources/*.yaml"),
    ("knative.dev/networking", "config/*.yaml"),
    ("knative.dev/caching", "config/*.yaml"),
    ("knative.dev/serving", "config/core/configmaps/*.yaml"),
    ("knative.dev/serving", "config/core/webhooks/*.yaml"),
    ("knative.dev/serving", "config/core/deployments/activator.yaml"),
    ("knative.dev/serving", "config/core/deployments/autoscaler.yaml"),
    ("knative.dev/serving", "config/core/deployments/controller.yaml"),
    ("knative.dev/serving", "config/core/deployments/webhook.yaml"),
)


def write_manifests(folder: Path) -> None:
    """Writes definitions.yaml and knative.yaml into `folder`: what must be there first, and the rest."""
    modules = {module: module_folder(KNATIVE, module) for module in sorted({module for module, _ in _FILES})}
    definitions: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    for module, pattern in _FILES:
        for file in sorted(modules[module].glob(pattern)):
            text = re.sub(r"ko://knative\.dev/serving/cmd/(\w+)", lambda found: knative_tag(found[1]), file.read_text())
            for document in yaml.safe_load_all(text):
                if document:
                    first = document["kind"] in {"CustomResourceDefinition", "Namespace"}
                    (definitions if first else rest).append(_configured(document))
    (folder / "definitions.yaml").write_text(yaml.safe_dump_all(definitions))
    (folder / "knative.yaml").write_text(yaml.safe_dump_all(rest))


def install() -> None:
    """Applies the manifests of the run."""
    _kubectl("apply", "--server-side", "--force-conflicts", "-f", str(RUN / "definitions.yaml"))
    _kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    _kubectl("apply", "--server-side", "--force-conflicts", "-f", str(RUN / "knative.yaml"))


def wait_until_available(timeout_seconds: float) -> None:
    """Returns when Knative's deployments are available and its webhook admits a Service; raises `CommandFailed`."""
    timeout = f"--timeout={timeout_seconds:g}s"
    limit = timeout_seconds + 5
    _kubectl(
        "-n", NAMESPACE, "wait", "--for=condition=Available", "deployment", "--all", timeout, timeout_seconds=limit
    )
    probe = RUN / "probe.yaml"
    probe.write_text(yaml.safe_dump(_probe()))

    def admits() -> bool:
        try:
            _kubectl("apply", "--dry-run=server", "-f", str(probe))
        except CommandFailed:
            return False
        return True

    if not wait(admits, timeout_seconds):
        raise CommandFailed("Knative's webhook admits no Service")


def _configured(document: dict[str, Any]) -> dict[str, Any]:
    """Returns `document` with the harness' settings, and without waiting where a test would wait."""
    if document["kind"] == "ConfigMap":
        document.setdefault("data", {}).update(SETTINGS.get(document["metadata"]["name"], {}))
    if document["kind"] == "Deployment":
        for container in document["spec"]["template"]["spec"]["containers"]:
            for probe in ("readinessProbe", "startupProbe"):
                if probe in container:
                    container[probe]["periodSeconds"] = 1
    return document


def _probe() -> dict[str, Any]:
    template = {"spec": {"containers": [{"image": HELLO}]}}
    metadata = {"name": "admission-probe", "namespace": "default"}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"template": template},
    }


def _kubectl(*arguments: str, timeout_seconds: float = 60) -> str:
    return run([kubectl(), f"--kubeconfig={KUBECONFIG}", *arguments], timeout_seconds=timeout_seconds)
