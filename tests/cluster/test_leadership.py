"""Two operators, one of which acts: handed over at once when it is told to end, taken over when it is stopped."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import models
from harness.access import Cluster
from harness.chart import NAMESPACE
from harness.models import floors

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

FAILOVER_SECONDS = 20


@pytest.fixture
def served(cluster: Cluster, digits_image: str) -> Iterator[str]:
    """Yields the name of a service whose floor is what its spec says, as soon as somebody acts."""
    serving = models.serving(cluster, models.digits("led", digits_image, maximum=3))
    next(serving)
    yield "led"
    next(serving, None)


def test_a_leader_that_is_stopped_is_replaced_and_stands_by_when_it_goes_on(cluster: Cluster, served: str) -> None:
    if not cluster.is_ours:
        pytest.skip("processes of a given cluster are not the test's to stop")
    old = leader(cluster)
    process = _process_of(old)
    os.kill(process, signal.SIGSTOP)
    stopped_at = time.monotonic()
    try:
        new = _next_leader(cluster, old)
        took = time.monotonic() - stopped_at
        _floor_follows(cluster, served, 2)
    finally:
        os.kill(process, signal.SIGCONT)
    _floor_follows(cluster, served, 1)

    print(f"taken over after {took:.1f} s")
    assert took <= FAILOVER_SECONDS
    cluster.wait_for("the old leader stands by", lambda: _leads(cluster, old) == 0.0, timeout_seconds=20)
    assert leader(cluster) == new
    assert _leads(cluster, new) == 1.0


def test_a_leader_that_is_told_to_end_hands_over_at_once(cluster: Cluster, served: str) -> None:
    old = leader(cluster)
    began_at = time.monotonic()
    cluster.kubectl("-n", NAMESPACE, "delete", "pod", old, "--wait=false")
    _next_leader(cluster, old)
    took = time.monotonic() - began_at

    print(f"handed over after {took:.1f} s")
    assert took <= 10
    _floor_follows(cluster, served, 2)


def leader(cluster: Cluster) -> str:
    """Returns the name of the pod that holds the Lease."""

    def holder() -> str:
        lease = cluster.get("lease", "everwarm-leader", NAMESPACE)
        return str(lease["spec"].get("holderIdentity") or "").partition("_")[0] if lease else ""

    return cluster.wait_for("somebody leads", holder, timeout_seconds=40)


def _next_leader(cluster: Cluster, old: str) -> str:
    def other() -> str | None:
        now = leader(cluster)
        return now if now != old else None

    return cluster.wait_for("another one leads", other, timeout_seconds=40, every_seconds=0.25)


def _leads(cluster: Cluster, pod: str) -> float:
    """What a pod's own metrics say."""
    text = cluster.kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:9464/proxy/metrics")
    (value,) = (line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith("everwarm_operator_leader "))
    return float(value)


def _floor_follows(cluster: Cluster, name: str, minimum: int) -> None:
    models.change(cluster, name, {"scaling": {"policy": "fixed", "minReplicas": minimum}})
    wanted = {f"{name}-00001": str(minimum)}
    cluster.wait_for(f"the floor is {minimum}", lambda: floors(cluster, name) == wanted, timeout_seconds=30)


def _process_of(pod: str) -> int:
    """Returns the process of a pod's operator: the harness runs its containers on this machine."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue  # it has ended
        if b"everwarm_operator" in command and f"HOSTNAME={pod}".encode() in environment.split(b"\0"):
            return int(folder.name)
    raise AssertionError(f"no process of {pod} runs here")
