"""The harness itself: Knative does here what the rest of the tests take for granted."""

from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from harness.access import Cluster, Json
from harness.images import HELLO

pytestmark = pytest.mark.cluster

NAME = "hello"
MIN_SCALE = "autoscaling.knative.dev/min-scale"


@pytest.fixture(scope="module")
def url(cluster: Cluster) -> Iterator[str]:
    if not cluster.is_ours:
        pytest.skip("a given cluster is taken as it is")
    cluster.delete("ksvc", NAME)
    cluster.apply(_service("3"))
    ready = cluster.wait_for("the Knative Service is ready", lambda: _ready(cluster, 1), timeout_seconds=60)
    yield str(ready["status"]["url"])
    cluster.delete("ksvc", NAME)


def test_a_service_answers_through_envoy_at_its_public_and_at_its_local_host(cluster: Cluster, url: str) -> None:
    answers = [cluster.request("GET", host) for host in (f"{url}/", f"http://{NAME}.default.svc.cluster.local/")]

    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "hello from hello-00001\n")] * 2
    assert {answer.headers["server"] for answer in answers} == {"envoy"}


def test_a_pod_reaches_a_service_by_its_local_name(cluster: Cluster, url: str) -> None:
    command = f"busybox wget -q -O - http://{NAME}.default.svc.cluster.local/"
    pod = {"name": "caller", "image": HELLO, "command": ["/bin/busybox", "sh", "-c", command]}
    spec = {"restartPolicy": "Never", "containers": [pod]}
    cluster.delete("pod", "caller")
    cluster.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "caller", "namespace": "default"}, "spec": spec}
    )

    cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/caller", "--timeout=30s")

    assert cluster.kubectl("logs", "caller") == "hello from hello-00001\n"
    cluster.delete("pod", "caller")


def test_the_first_request_after_scale_to_zero_is_answered(cluster: Cluster, url: str) -> None:
    cluster.wait_for("no pod is left", lambda: not pods(cluster), timeout_seconds=90)

    answer = cluster.request("GET", f"{url}/", timeout_seconds=30)

    assert (answer.status_code, answer.text) == (200, "hello from hello-00001\n")
    cluster.wait_for("its one pod is ready", lambda: len(pods(cluster)) == 1, timeout_seconds=20)


def test_prometheus_knows_the_requests_from_both_of_knatives_proxies(cluster: Cluster, url: str) -> None:
    cluster.request("GET", f"{url}/")

    for series in ("activator_request_count", "revision_request_count", "autoscaler_actual_pods"):
        selector = f'sum({series}{{namespace_name="default",service_name="{NAME}"}})'
        cluster.wait_for(f"{series} is there", partial(cluster.query, selector), timeout_seconds=30)
    labels = f'revision_request_count{{revision_name="{NAME}-00001",configuration_name="{NAME}",pod_name=~"{NAME}-.+"}}'
    assert cluster.query(labels)


def test_a_floor_on_the_pod_autoscaler_moves_pods_without_a_revision(cluster: Cluster, url: str) -> None:
    revision = f"{NAME}-00001"

    cluster.kubectl("annotate", "--overwrite", "podautoscaler", revision, f"{MIN_SCALE}=3")

    cluster.wait_for("three pods are ready", lambda: len(pods(cluster)) == 3, timeout_seconds=60)
    assert [item["metadata"]["name"] for item in cluster.list("revisions")] == [revision]


def test_traffic_is_split_by_percent_and_a_tag_has_a_host_of_its_own(cluster: Cluster, url: str) -> None:
    split = ({"revisionName": f"{NAME}-00001", "percent": 75}, {"revisionName": f"{NAME}-00002", "percent": 25})
    cluster.apply(_service("2", split[0], {**split[1], "tag": "new"}))
    cluster.wait_for("the split is in place", lambda: _ready(cluster, 2), timeout_seconds=60)

    answers = Counter(cluster.request("GET", f"{url}/").text for _ in range(200))

    assert set(answers) == {f"hello from {NAME}-00001\n", f"hello from {NAME}-00002\n"}
    assert 120 <= answers[f"hello from {NAME}-00001\n"] <= 180  # five standard deviations around 150
    tagged = cluster.request("GET", f"{url}/".replace(NAME, f"new-{NAME}", 1))
    assert tagged.text == f"hello from {NAME}-00002\n"


def pods(cluster: Cluster) -> list[Json]:
    """Returns the pods of the service that are not on their way out."""
    found = cluster.list("pods", selector=f"serving.knative.dev/service={NAME}")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"] and _is_ready(pod)]


def _service(max_scale: str, *traffic: Json) -> Json:
    container = {"image": HELLO, "securityContext": {"runAsNonRoot": True}}
    annotations = {"autoscaling.knative.dev/max-scale": max_scale}
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {"template": template, "traffic": list(traffic) or [{"latestRevision": True, "percent": 100}]},
    }


def _ready(cluster: Cluster, generation: int) -> Json | None:
    service = cluster.get("ksvc", NAME)
    status = (service or {}).get("status", {})
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
    return service if ready and status["observedGeneration"] == generation else None


def _is_ready(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
