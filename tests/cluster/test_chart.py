"""The chart in a real cluster: every object is one that the API server takes; installed, upgraded, rolled back, gone.

All but the first test run on the release that the other cluster tests run on, and leave it as they found it.
"""

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from harness import build, models, monitoring
from harness.access import Cluster, Json
from harness.chart import NAMESPACE, SCENARIOS, Release, options, render
from harness.load import load
from harness.models import held_out_samples, inference, owned, with_condition
from harness.shell import CommandFailed

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

INTERVAL = "EVERWARM_OPERATOR_INTERVAL_SECONDS"
# All that can have a label of a release, but what is the cluster's own and has none.
KINDS = (
    "all,configmaps,secrets,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,"
    "networkpolicies,poddisruptionbudgets,customresourcedefinitions"
)


@pytest.fixture(scope="module")
def monitors(cluster: Cluster) -> Iterator[None]:
    """The API server knows PodMonitors and PrometheusRules."""
    found = cluster.get("crd", "podmonitors.monitoring.coreos.com")
    if found is None and not cluster.is_ours:
        pytest.skip("a given cluster is taken as it is, and this one has no Prometheus operator")
    made = [] if found else monitoring.definitions()
    for definition in made:
        cluster.apply(definition)
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{definition['metadata']['name']}", "--timeout=30s")
    yield
    for definition in made:
        cluster.delete("crd", definition["metadata"]["name"])


@pytest.fixture(scope="module")
def digits(cluster: Cluster, operator: Release, digits_image: str) -> Iterator[str]:
    """Yields the URL of a model with one warm replica, which outlives every change of the release."""
    yield from models.serving(cluster, models.digits("charted", digits_image, minimum=1))


def environment(cluster: Cluster) -> dict[str, str]:
    """The operator's environment, as the cluster has it."""
    deployment = cluster.get("deployment", "everwarm-operator", NAMESPACE)
    assert deployment is not None
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value", "") for entry in container["env"]}


def answers(cluster: Cluster, url: str) -> bool:
    answer = cluster.request("POST", f"{url}/v2/models/charted/infer", json=inference(held_out_samples(1)[0]))
    return answer.status_code == 200


def decides(cluster: Cluster) -> Callable[[], bool]:
    """Whether a pass of an operator ended since now, whichever pod leads: for `Cluster.wait_for`."""
    read = (
        "import re, urllib.request as r; t = r.urlopen('http://127.0.0.1:9464/metrics').read().decode(); "
        "print(re.search(r'^everwarm_operator_last_pass_time_seconds (\\S+)', t, re.M)[1])"
    )
    started = time.time()

    def ended() -> bool:
        component = "app.kubernetes.io/component=operator"
        running = cluster.kubectl("-n", NAMESPACE, "get", "pods", "-l", component, "-o", "name").split()
        for pod in running:
            with contextlib.suppress(CommandFailed):  # it has just begun, or ends
                if float(cluster.kubectl("-n", NAMESPACE, "exec", pod, "--", "python", "-c", read)) > started:
                    return True
        return False

    return ended


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_api_server_takes_every_object(cluster: Cluster, monitors: None, scenario: str) -> None:
    objects = render(build.build_helm(print), "--no-hooks", *options(scenario))
    for found in objects:
        answer = cluster.dry_run(found)
        assert "serverside-applied" in answer, answer


def test_helm_test_finds_all_well_and_leaves_nothing(cluster: Cluster, operator: Release) -> None:
    assert "Phase:          Succeeded" in operator.test()
    left = [found["metadata"]["name"] for found in cluster.list("pods,roles,configmaps", NAMESPACE)]
    assert not [name for name in left if name.endswith("-test")]


def test_an_upgrade_and_a_rollback_of_the_operator_lose_no_request(
    cluster: Cluster, operator: Release, digits: str
) -> None:
    address, headers = cluster.address(digits)
    body = inference(held_out_samples(1)[0])
    path = "/v2/models/charted/infer"
    with load(f"{address}{path}", body, headers, clients=2, at_most_seconds=240) as outcome:
        operator.install({"operator": {"intervalSeconds": 3}})
        assert environment(cluster)[INTERVAL] == "3"
        cluster.wait_for("the new operator decides", decides(cluster), timeout_seconds=60)
        operator.rollback()
        assert environment(cluster)[INTERVAL] == "2"
        cluster.wait_for("the old operator decides again", decides(cluster), timeout_seconds=60)

    assert outcome.errors == []
    assert set(outcome.codes) == {200}
    assert outcome.codes[200] > 100
    assert [found["metadata"]["name"] for found in owned(cluster, "revisions", "charted")] == ["charted-00001"]


def test_within_a_namespace_the_operator_works_there_and_nowhere_else(
    cluster: Cluster, operator: Release, digits: str, digits_image: str
) -> None:
    notes = operator.install({"watchNamespaces": ["default"], "rbac": {"aggregate": False}})
    try:
        assert "looks after ModelServices in default." in notes
        assert "has no Knative Serving" not in notes
        assert cluster.get("clusterrole", "everwarm-operator") is None
        cluster.apply(_namespace("elsewhere"), _model("beside", "elsewhere", digits_image))
        cluster.wait_for("the operator decides", decides(cluster), timeout_seconds=60)
        models.change(cluster, "charted", {"scaling": {"minReplicas": 2}})
        cluster.wait_for(
            "the floor of the model in its namespace moves",
            lambda: models.status(cluster, "charted")["floor"] == 2,
            timeout_seconds=60,
        )
        beside = cluster.get("modelservice", "beside", "elsewhere")
        assert beside is not None
        assert "status" not in beside
    finally:
        models.change(cluster, "charted", {"scaling": {"minReplicas": 1}})
        cluster.delete("namespace", "elsewhere")
        operator.install()
    assert cluster.get("clusterrole", "everwarm-operator") is not None
    assert answers(cluster, digits)


def test_uninstalling_keeps_the_definition_and_the_models_and_nothing_else(
    cluster: Cluster, operator: Release, digits: str
) -> None:
    assert "kept due to the resource policy" in operator.uninstall()
    try:
        everything = ("get", KINDS, "--all-namespaces", "-l", "app.kubernetes.io/instance=everwarm", "-o", "name")
        left = cluster.kubectl(*everything).split()
        assert left == ["customresourcedefinition.apiextensions.k8s.io/modelservices.everwarm.dev"]
        assert cluster.get("modelservice", "charted") is not None
        assert answers(cluster, digits)
    finally:
        operator.install()
    cluster.wait_for("the operator decides again", decides(cluster), timeout_seconds=60)
    assert with_condition(cluster, "charted", "Ready", "True")


def _namespace(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _model(name: str, namespace: str, image: str) -> Json:
    return {
        "apiVersion": "everwarm.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"image": image, "model": {"uri": "/models/digits", "format": "onnx"}},
    }
