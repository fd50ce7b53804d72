"""What helm prints after an installation: the next command, and what will not work as it is set up."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from harness.chart import CHART, NAMESPACE, Json
from harness.shell import run

PROMETHEUS = {"prometheus": {"url": "http://prometheus-operated.monitoring:9090"}}
Notes = Callable[..., str]
"""Renders the notes for values, and for more of helm's options."""

MONITORED = {**PROMETHEUS, "monitoring": {"podMonitor": {"enabled": True}}}


WRAPPER = """
apiVersion: v1
kind: ConfigMap
metadata: {name: notes}
data:
  notes: |
    {{- include "notes" . | nindent 4 }}
"""


@pytest.fixture(scope="module")
def wrapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the chart whose notes are an object: `helm template` shows objects only, and asks no cluster."""
    copy = tmp_path_factory.mktemp("chart") / "everwarm"
    shutil.copytree(CHART, copy)
    text = (copy / "templates" / "NOTES.txt").read_text()
    (copy / "templates" / "_notes.tpl").write_text('{{- define "notes" -}}\n' + text + "{{- end -}}")
    (copy / "templates" / "notes.yaml").write_text(WRAPPER)
    return copy


@pytest.fixture
def notes(helm: str, wrapped: Path) -> Notes:
    def render(values: Json, *more: str) -> str:
        command = [helm, "template", "everwarm", wrapped, "-n", NAMESPACE, "--values", "-", *more]
        rendered = run([*command, "-s", "templates/notes.yaml"], stdin=yaml.safe_dump(values))
        return str(yaml.safe_load(rendered)["data"]["notes"])

    return render


def test_the_next_commands_are_said(notes: Notes) -> None:
    said = notes(MONITORED)
    assert said.startswith("everwarm 0.1.0 looks after ModelServices in all namespaces.\n")
    assert "  helm test everwarm -n everwarm-system\n" in said
    assert "  kubectl get modelsvc digits -n default --watch\n" in said


def test_with_namespaces_the_commands_are_for_one_of_them(notes: Notes) -> None:
    said = notes({**MONITORED, "watchNamespaces": ["models", "more"]})
    assert said.startswith("everwarm 0.1.0 looks after ModelServices in models, more.\n")
    assert "namespace: models}" in said


@pytest.mark.parametrize(
    ("values", "sentence", "is_said"),
    [
        ({}, "WARNING: prometheus.url is the default", True),
        (MONITORED, "WARNING: prometheus.url is the default", False),
        (MONITORED, "nothing of this release tells it to", False),
        (PROMETHEUS, "nothing of this release tells it to", True),
        ({"crds": {"keep": False}}, "deletes every ModelService", True),
        ({}, "deletes every ModelService", False),
        ({}, "this cluster has no Knative Serving", True),
    ],
    ids=str,
)
def test_a_warning_stands_where_it_is_due(notes: Notes, values: Json, sentence: str, is_said: bool) -> None:
    assert (sentence in notes(values)) is is_said


def test_a_cluster_with_knative_is_not_warned_of(notes: Notes) -> None:
    assert "Knative Serving" not in notes(MONITORED, "--api-versions", "serving.knative.dev/v1/Service")
