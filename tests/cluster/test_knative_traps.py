"""What Knative alone does not do: say who waited where no ingress does, heed a floor at zero, forget an old one."""

import time
from collections.abc import Iterator

import pytest

from harness import models
from harness.access import Cluster
from harness.load import load
from harness.models import events, floors, held_out_samples, inference, pods, status

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

CLIENTS = 12
WINDOW_SECONDS = 10  # of the operator, as conftest.py sets it
# The harness' Envoy adds the header only where it is absent: with this one, a server knows as little as behind Kourier.
NO_REQUEST_START = {"X-Request-Start": "none"}


@pytest.fixture
def headless(cluster: Cluster, slow_digits_image: str) -> Iterator[str]:
    """Yields the URL of a model with a service time of 250 ms, whose floor stays at 1 until its policy changes."""
    yield from models.serving(cluster, models.slow_digits("headless", slow_digits_image, maximum=2, policy="fixed"))


@pytest.fixture
def asleep(cluster: Cluster, digits_image: str) -> Iterator[str]:
    """Yields the name of a service that has scaled to zero."""
    serving = models.serving(cluster, models.digits("asleep", digits_image, minimum=0))
    next(serving)
    cluster.wait_for("no pod is left", lambda: not pods(cluster, "asleep"), timeout_seconds=120)
    yield "asleep"
    next(serving, None)


@pytest.fixture
def rolling(cluster: Cluster, digits_image: str) -> Iterator[str]:
    """Yields the name of a service with one revision and a floor of 1."""
    serving = models.serving(cluster, models.digits("rolling", digits_image))
    next(serving)
    cluster.wait_for("the floor stands", lambda: floors(cluster, "rolling")["rolling-00001"] == "1", timeout_seconds=30)
    yield "rolling"
    next(serving, None)


def test_the_floor_rises_where_no_ingress_says_when_a_request_came(cluster: Cluster, headless: str) -> None:
    address, headers = cluster.address(headless)
    path, body = f"{address}/v2/models/headless/infer", inference(held_out_samples(1)[0])

    # Two replicas answer 8 requests per second, so each of twelve clients waits for 1.5 s, most of it at the activator.
    # Once the second replica is older than the window, the servers themselves have counted no cold start in it.
    with load(path, body, {**headers, **NO_REQUEST_START}, clients=CLIENTS, at_most_seconds=90) as outcome:
        cluster.wait_for("Knative started a replica", lambda: len(pods(cluster, "headless")) == 2, timeout_seconds=60)
        time.sleep(WINDOW_SECONDS + 5)
        counted = _cold_starts_counted_by_servers(cluster, "headless")
        before = status(cluster, "headless")["floor"]
        models.change(cluster, "headless", {"scaling": {"policy": "paper"}})
        after = cluster.wait_for(
            "the floor is over 1", lambda: _floor_over(cluster, "headless", before), timeout_seconds=30
        )

    assert (before, counted, after) == (1, 0, 2)
    assert set(outcome.codes) == {200}, outcome
    (told,) = events(cluster, "headless", "FloorRaised")
    assert "of requests found no warm replica" in told
    assert floors(cluster, "headless") == {"headless-00001": "2"}


def test_a_floor_raised_at_zero_is_heeded_after_a_restart_of_knatives_autoscaler(cluster: Cluster, asleep: str) -> None:
    if not cluster.is_ours:
        pytest.skip("the autoscaler of a given cluster is not the test's to restart")
    cluster.kubectl("-n", "knative-serving", "delete", "pod", "--selector=app=autoscaler", "--wait=true")
    cluster.kubectl("-n", "knative-serving", "rollout", "status", "deployment/autoscaler", "--timeout=60s")

    models.change(cluster, asleep, {"scaling": {"minReplicas": 1}})

    cluster.wait_for("a pod is there", lambda: pods(cluster, asleep), timeout_seconds=60)
    (told,) = cluster.wait_for("the event", lambda: events(cluster, asleep, "RevisionWoken"), timeout_seconds=10)
    assert "asleep-00001" in told
    time.sleep(3 * models.LOW_SECONDS / 2)
    assert len(pods(cluster, asleep)) == 1, "the floor alone keeps it, long after the one request"
    assert models.condition(status(cluster, asleep), "ScalingActive") == "True"


def test_an_old_revision_keeps_no_floor(cluster: Cluster, rolling: str) -> None:
    models.change(cluster, rolling, {"timeoutSeconds": 50})

    def moved() -> bool:
        return floors(cluster, rolling) == {"rolling-00001": None, "rolling-00002": "1"}

    cluster.wait_for("the floor went along", moved, timeout_seconds=60)
    wanted = [{"name": "rolling-00002", "percent": 100, "floor": 1}]
    cluster.wait_for(
        "the status forgot it", lambda: status(cluster, rolling)["revisions"] == wanted, timeout_seconds=20
    )


def _floor_over(cluster: Cluster, name: str, before: int) -> int | None:
    floor = int(status(cluster, name)["floor"])
    return floor if floor > before else None


def _cold_starts_counted_by_servers(cluster: Cluster, name: str) -> float:
    """Returns how many cold starts the servers themselves counted in the window; 0 where Prometheus can't be asked."""
    if cluster.prometheus is None:
        return 0
    counter = f'everwarm_cold_start_requests_total{{service_name="{name}"}}'
    return sum(cluster.query(f"sum({counter}) - sum({counter} offset {WINDOW_SECONDS}s)").values())
