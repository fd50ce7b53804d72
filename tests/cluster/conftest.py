"""Fixtures: the cluster (a given KUBECONFIG, or the harness' own), the images, the operator."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import yaml

from harness import build, chart, container_images
from harness import cluster as own
from harness.access import Cluster
from harness.chart import Release, merged
from harness.container_images import BuiltImage
from harness.paths import KUBECONFIG, LOCAL_INGRESS, PROMETHEUS, PUBLIC_INGRESS, ROOT

GIVEN = os.environ.get("KUBECONFIG", "")
KEEP = os.environ.get("EVERWARM_KEEP_CLUSTER") == "1"
# Seconds instead of the minutes that a user's cluster has: a test waits for several passes.
FASTER = {"operator": {"intervalSeconds": 2, "windowSeconds": 10, "staleSeconds": 10}}

RUNNING = pytest.StashKey[Cluster]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the state of the cluster to the report of a test that failed."""
    report = yield
    cluster = item.config.stash.get(RUNNING, None)
    if report.failed and cluster is not None:
        report.sections.append(("the cluster", cluster.diagnose()))
    return report


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster with Knative; the harness' own runs on where it ran before, or where EVERWARM_KEEP_CLUSTER is 1."""
    given = bool(GIVEN) and Path(GIVEN) != KUBECONFIG
    if not given and os.geteuid() != 0:
        pytest.skip("the local cluster needs root; or give a KUBECONFIG of a cluster with Knative")
    found = given or not own.up(print)
    running = _given() if given else Cluster(KUBECONFIG, PUBLIC_INGRESS, LOCAL_INGRESS, PROMETHEUS, is_ours=True)
    request.config.stash[RUNNING] = running
    yield running
    if not (KEEP or found):
        own.down()


def _given() -> Cluster:
    ingress = os.environ.get("EVERWARM_INGRESS_URL", "http://127.0.0.1:80")
    local_ingress = os.environ.get("EVERWARM_LOCAL_INGRESS_URL") or None
    prometheus = os.environ.get("EVERWARM_PROMETHEUS_URL") or None
    return Cluster(Path(GIVEN), ingress, local_ingress, prometheus, is_ours=False)


def image(cluster: Cluster, target: str) -> str:
    """Returns the name of an image that the cluster has: built and imported, or as EVERWARM_<TARGET>_IMAGE names it."""
    variable = f"EVERWARM_{target.upper().replace('-', '_')}_IMAGE"
    if named := os.environ.get(variable):
        return named
    if not cluster.is_ours:
        pytest.skip(f"a given cluster can't be given an image: push the {target} image and name it in {variable}")
    return imported(container_images.build(target, print))


def imported(built: BuiltImage) -> str:
    own.import_image(built.archive)
    return built.tag


@pytest.fixture(scope="session")
def digits_image(cluster: Cluster) -> str:
    return image(cluster, "digits")


@pytest.fixture(scope="session")
def slow_digits_image(cluster: Cluster) -> str:
    if not cluster.is_ours:
        return image(cluster, "slow-digits")
    return imported(container_images.build_slow(container_images.build("digits", print), print))


@pytest.fixture(scope="session")
def operator(cluster: Cluster) -> Iterator[Release]:
    """The operator at work in the cluster, from the chart that users install, in a namespace that is restricted."""
    documents = yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text())
    (namespace,) = [document for document in documents if document["kind"] == "Namespace"]
    operator_image = image(cluster, "operator")
    release = Release(build.build_helm(print), cluster.kubeconfig, merged(FASTER, _image_values(operator_image)))
    cluster.apply(namespace)
    release.install()
    yield release
    if not KEEP:
        release.uninstall()
        cluster.delete("namespace", chart.NAMESPACE)


def _image_values(name: str) -> dict[str, object]:
    if "@" in name:
        repository, _, digest = name.partition("@")
        return {"operator": {"image": {"repository": repository, "digest": digest}}}
    repository, _, tag = name.rpartition(":")
    return {"operator": {"image": {"repository": repository, "tag": tag}}}
