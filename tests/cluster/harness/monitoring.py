"""The definitions of the Prometheus operator's objects, from its Go module: so that an API server can check ours.

Out: manifests of PodMonitor and PrometheusRule. The operator itself is not run.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from harness.paths import HARNESS
from harness.shell import run

_MODULE = "github.com/prometheus-operator/prometheus-operator"
_PLURALS = ("podmonitors", "prometheusrules")


def definitions() -> list[dict[str, Any]]:
    """Returns their CustomResourceDefinitions, of the version in programs/monitoring/go.mod."""
    downloaded = run(
        ["go", "mod", "download", "-json", _MODULE], cwd=HARNESS / "programs" / "monitoring", timeout_seconds=300
    )
    folder = Path(json.loads(downloaded)["Dir"]) / "example" / "prometheus-operator-crd"
    return [yaml.safe_load((folder / f"monitoring.coreos.com_{plural}.yaml").read_text()) for plural in _PLURALS]
