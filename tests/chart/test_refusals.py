"""Wrong values are refused before anything is installed, in a line that names the key and what is wrong with it."""

from typing import Any

import pytest
import yaml

from harness.chart import render
from harness.shell import CommandFailed

# What is wrong, the values as YAML, the key as helm names it, what it says about it.
REFUSED: list[tuple[str, str, str, str]] = [
    ("a key that does not exist", "replicas: 3", "", "additional properties 'replicas' not allowed"),
    ("a typing error", "operator: {intervalSecond: 5}", "/operator", "'intervalSecond' not allowed"),
    ("a typing error below", "operator: {image: {pullpolicy: Always}}", "/operator/image", "'pullpolicy' not allowed"),
    ("another policy", "operator: {image: {pullPolicy: Sometimes}}", "/operator/image/pullPolicy", "must be one of"),
    ("words for a number", "operator: {intervalSeconds: often}", "/operator/intervalSeconds", "want number"),
    ("no time", "operator: {intervalSeconds: 0}", "/operator/intervalSeconds", "exclusiveMinimum: got 0, want 0"),
    ("a short window", "operator: {windowSeconds: 5}", "/operator/windowSeconds", "minimum: got 5, want 10"),
    ("half a second of a window", "operator: {windowSeconds: 10.5}", "/operator/windowSeconds", "want integer"),
    ("no quantity", "operator: {resources: {limits: {memory: lots}}}", "/operator/resources/limits/memory", "pattern"),
    ("another kind of resources", "operator: {resources: {max: {}}}", "/operator/resources", "'max' not allowed"),
    ("an image with a digest in its name", "server: {image: {repository: a@b}}", "/server/image/repository", "pattern"),
    ("no image", "server: {image: {repository: ''}}", "/server/image/repository", "pattern"),
    ("a number for a tag", "server: {image: {tag: 1.10}}", "/server/image/tag", "got number, want string"),
    ("a short digest", "server: {image: {digest: 'sha256:12'}}", "/server/image/digest", "pattern"),
    ("a URL without a scheme", "prometheus: {url: 'prometheus:9090'}", "/prometheus/url", "pattern"),
    ("a password in the URL", "prometheus: {url: 'http://me:pw@prometheus'}", "/prometheus/url", "pattern"),
    ("a namespace that can't be", "watchNamespaces: [Default]", "/watchNamespaces/0", "pattern"),
    ("a namespace twice", "watchNamespaces: [a, a]", "/watchNamespaces", "items at 0 and 1 are equal"),
    ("one namespace, not a list", "watchNamespaces: default", "/watchNamespaces", "got string, want array"),
    ("a switch as text", "crds: {install: 'no'}", "/crds/install", "got string, want boolean"),
    ("a label that is no text", "commonLabels: {tier: 1}", "/commonLabels/tier", "got number, want string"),
    ("a secret's bare name", "imagePullSecrets: [registry]", "/imagePullSecrets/0", "got string, want object"),
    ("a secret without a name", "imagePullSecrets: [{}]", "/imagePullSecrets/0", "missing property 'name'"),
    (
        "two pods away of one",
        "podDisruptionBudget: {maxUnavailable: 2}",
        "/podDisruptionBudget/maxUnavailable",
        "maximum",
    ),
    ("no port", "networkPolicy: {egress: {gatewayPorts: [0]}}", "/networkPolicy/egress/gatewayPorts/0", "minimum"),
    (
        "an interval without a unit",
        "monitoring: {podMonitor: {interval: '5'}}",
        "/monitoring/podMonitor/interval",
        "pattern",
    ),
    (
        "a latency that no bucket ends at",
        "monitoring: {prometheusRule: {slo: {seconds: 0.3}}}",
        "/monitoring/prometheusRule/slo/seconds",
        "must be one of",
    ),
    (
        "percent for a fraction",
        "monitoring: {prometheusRule: {errorFraction: 5}}",
        "/monitoring/prometheusRule/errorFraction",
        "maximum: got 5, want 1",
    ),
    ("a map where there was none", "rbac: true", "/rbac", "got boolean, want object"),
]


@pytest.mark.parametrize(("values", "key", "sentence"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED])
def test_a_wrong_value_is_refused_by_its_name(helm: str, values: str, key: str, sentence: str) -> None:
    with pytest.raises(CommandFailed) as refused:
        render(helm, values=loaded(values))
    (said,) = [line for line in str(refused.value).splitlines() if line.startswith(f"- at '{key}': ")]
    assert sentence in said


def test_the_values_of_a_parent_chart_are_let_through(helm: str) -> None:
    render(helm, values=loaded("global: {anything: true}"))


def loaded(text: str) -> dict[str, Any]:
    values = yaml.safe_load(text)
    assert isinstance(values, dict)
    return values
