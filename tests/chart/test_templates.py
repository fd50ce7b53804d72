"""What the chart renders, scenario by scenario: lint, names, rights, PodSecurity, traffic."""

from typing import Any

import pytest
import yaml

from harness import chart
from harness.chart import CHART, NAMESPACE, SCENARIOS, of_kind, options, render
from harness.paths import ROOT
from harness.shell import CommandFailed, run

Json = dict[str, Any]

CLUSTER_SCOPED = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace"}


@pytest.fixture(scope="session", params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def objects(helm: str, scenario: str) -> list[Json]:
    return render(helm, *options(scenario))


def pod_specs(objects: list[Json]) -> list[Json]:
    deployments = [found["spec"]["template"]["spec"] for found in of_kind(objects, "Deployment")]
    return deployments + [found["spec"] for found in of_kind(objects, "Pod")]


def test_every_values_file_belongs_to_a_scenario() -> None:
    used = {CHART / file for files in SCENARIOS.values() for file in files}
    assert used == {*CHART.glob("ci/*.yaml"), *CHART.glob("values-*.yaml")}


def test_helm_lints_it_strictly(helm: str, scenario: str) -> None:
    assert "0 chart(s) failed" in run([helm, "lint", "--strict", CHART, *options(scenario)])


def test_every_object_says_whose_it_is_and_where_it_lives(objects: list[Json]) -> None:
    for found in objects:
        metadata = found["metadata"]
        labels = metadata["labels"]
        assert labels["app.kubernetes.io/instance"] == "everwarm", found
        assert labels["app.kubernetes.io/managed-by"] == "Helm", found
        assert len(metadata["name"]) <= 63
        assert ("namespace" in metadata) is (found["kind"] not in CLUSTER_SCOPED), found


def test_no_object_is_rendered_twice(objects: list[Json]) -> None:
    names = [(f["kind"], f["metadata"].get("namespace"), f["metadata"]["name"]) for f in objects]
    assert sorted(set(names), key=str) == sorted(names, key=str)


def test_every_pod_is_fit_for_a_restricted_namespace(objects: list[Json]) -> None:
    pods = pod_specs(objects)
    assert len(pods) == 2  # the operator's and that of `helm test`
    for pod in pods:
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert set(container["resources"]) == {"requests", "limits"}


def test_the_service_and_all_else_select_the_operators_pod_and_not_that_of_the_test(objects: list[Json]) -> None:
    (deployment,) = of_kind(objects, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    wanted = deployment["spec"]["selector"]["matchLabels"]
    selectors = [found["spec"]["selector"] for found in of_kind(objects, "Service")]
    selectors += [found["spec"]["selector"]["matchLabels"] for found in of_kind(objects, "PodDisruptionBudget")]
    selectors += [found["spec"]["podSelector"]["matchLabels"] for found in of_kind(objects, "NetworkPolicy")]
    (test_pod,) = of_kind(objects, "Pod")
    assert all(selector == wanted for selector in selectors)
    assert wanted.items() <= labels.items()
    assert not wanted.items() <= test_pod["metadata"]["labels"].items()


def test_rights_are_bound_to_the_account_that_the_pod_has(objects: list[Json]) -> None:
    (deployment,) = of_kind(objects, "Deployment")
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    made = [found["metadata"]["name"] for found in of_kind(objects, "ServiceAccount")]
    bindings = [f for kind in ("RoleBinding", "ClusterRoleBinding") for f in of_kind(objects, kind)]
    operators = [found for found in bindings if not found["metadata"]["name"].endswith("-test")]
    assert account in made
    assert {yaml.safe_dump(found["subjects"]) for found in operators} == {
        yaml.safe_dump([{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}])
    }


def test_within_namespaces_the_rights_are_the_same_and_nothing_is_the_clusters(helm: str) -> None:
    objects = render(helm, *options("namespaced"))
    manifests = list(yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text()))
    (everywhere,) = [f for f in of_kind(manifests, "ClusterRole") if f["metadata"]["name"] == "everwarm-operator"]
    roles = [found for found in of_kind(objects, "Role") if found["metadata"]["name"] == "everwarm-operator"]

    assert {found["metadata"]["namespace"] for found in roles} == {"default", "everwarm-system"}
    assert all(found["rules"] == everywhere["rules"] for found in roles)
    assert {found["kind"] for found in objects} & CLUSTER_SCOPED == set()
    (deployment,) = of_kind(objects, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "EVERWARM_OPERATOR_NAMESPACES", "value": "default,everwarm-system"} in container["env"]


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({}, "everwarm-operator:0.1.0"),
        ({"tag": "2.0"}, "everwarm-operator:2.0"),
        ({"repository": "host:5000/a", "digest": f"sha256:{'a' * 64}", "tag": "2"}, f"host:5000/a@sha256:{'a' * 64}"),
    ],
)
def test_an_image_is_named_by_digest_or_tag_or_version(helm: str, values: Json, image: str) -> None:
    pods = pod_specs(render(helm, values={"operator": {"image": values}}))
    assert [container["image"] for pod in pods for container in pod["containers"]] == [image, image]


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("everwarm", {}, "everwarm-operator"),
        ("my-everwarm", {}, "my-everwarm-operator"),
        ("floors", {}, "floors-everwarm-operator"),
        ("a" * 53, {}, "a" * 50 + "-operator"),
        ("floors", {"fullnameOverride": "x"}, "x-operator"),
    ],
)
def test_names_come_from_the_release(helm: str, release: str, values: Json, name: str) -> None:
    (deployment,) = of_kind(render(helm, values=values, release=release), "Deployment")
    assert deployment["metadata"]["name"] == name


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://prometheus.monitoring:9090", 9090),
        ("http://prometheus.monitoring", 80),
        ("https://prometheus.example.com/base", 443),
        ("http://[fd00::1]:9091/", 9091),
    ],
)
def test_the_network_policy_lets_the_operator_ask_prometheus_where_it_is(helm: str, url: str, port: int) -> None:
    egress = {"dns": False, "apiServerPorts": [], "gatewayPorts": []}
    values = {"prometheus": {"url": url}, "networkPolicy": {"enabled": True, "egress": egress}}
    (policy,) = of_kind(render(helm, values=values), "NetworkPolicy")
    assert policy["spec"]["egress"] == [{"ports": [{"port": port}]}]


def test_the_network_policy_names_what_goes_out_and_nothing_else(helm: str) -> None:
    (policy,) = of_kind(render(helm, *options("all-on")), "NetworkPolicy")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert policy["spec"]["egress"] == [
        {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
        {"ports": [{"port": 443}, {"port": 6443}]},
        {"ports": [{"port": 443}]},
        {"to": [{"namespaceSelector": {}}], "ports": [{"port": 80}, {"port": 8080}, {"port": 8081}]},
        {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 3128}]},
    ]


def test_a_role_of_iam_stands_on_the_operators_account_alone(helm: str) -> None:
    accounts = of_kind(render(helm, *options("eks")), "ServiceAccount")
    annotations = {found["metadata"]["name"]: found["metadata"].get("annotations", {}) for found in accounts}
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/everwarm-operator"}
    assert annotations["everwarm-operator"] == role
    assert not role.items() <= annotations["everwarm-test"].items()


def test_two_monitors_of_the_same_pods_are_refused(helm: str) -> None:
    both = {"monitoring": {"podMonitor": {"enabled": True}, "scrapeConfig": {"enabled": True}}}
    with pytest.raises(CommandFailed, match="both enabled: every pod would be scraped twice; choose one"):
        render(helm, values=both)


def test_what_exists_for_the_test_only_is_a_hook_that_goes_when_it_went_well(helm: str) -> None:
    hooks = [f for f in chart.render(helm) if "helm.sh/hook" in f["metadata"].get("annotations", {})]
    assert sorted(found["kind"] for found in hooks) == ["ConfigMap", "Pod", "Role", "RoleBinding", "ServiceAccount"]
    for found in hooks:
        annotations = found["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "test"
        assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
