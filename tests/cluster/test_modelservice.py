"""The whole of it: a ModelService answers on Knative, and its warm floor follows the load without a new revision.

The floor moves under a model with a fixed service time of 250 ms (slow_digits/): twelve clients at once need three busy
replicas by arithmetic (Little), on any machine. With the digits model itself, whose inference takes less than a
millisecond, the load that one replica can't carry would be one that the test's own client and two cores can't send.
"""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from harness import models
from harness.access import Cluster, Json
from harness.load import load
from harness.models import (
    DIGITS,
    LOW_SECONDS,
    MIN_SCALE,
    condition,
    events,
    held_out_samples,
    inference,
    owned,
    pods,
    status,
    with_condition,
)

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

CLIENTS = 12
BUSY_SECONDS = 6  # of load at least: several passes see a busy service, so that no earlier idling counts


@pytest.fixture(scope="module")
def digits(cluster: Cluster, digits_image: str) -> Iterator[str]:
    """Yields the URL of the digits model, which may scale to zero."""
    yield from models.serving(cluster, models.digits("digits", digits_image, minimum=0))


@pytest.fixture(scope="module")
def slow(cluster: Cluster, slow_digits_image: str) -> Iterator[str]:
    """Yields the URL of the model with a fixed service time, of which one replica at least is warm."""
    yield from models.serving(cluster, models.slow_digits("slow-digits", slow_digits_image))


def test_the_digits_model_answers_right_through_envoy(cluster: Cluster, digits: str) -> None:
    images, labels = held_out_samples(100)

    answer = cluster.request("POST", f"{digits}/v2/models/digits/infer", json=inference(images))

    assert answer.status_code == 200, answer.text
    outputs = {output["name"]: output["data"] for output in answer.json()["outputs"]}
    expected = _onnx_labels(DIGITS / "model.onnx", images)
    assert outputs["label"] == expected.tolist()
    assert (expected == labels).mean() > 0.9
    assert len(outputs["probabilities"]) == 1000


def test_status_says_what_is_served_and_measured(cluster: Cluster, digits: str) -> None:
    def served() -> Json | None:
        cluster.request("POST", f"{digits}/v2/models/digits/infer", json=inference(held_out_samples(1)[0]))
        found = status(cluster, "digits")
        return found if "p95Milliseconds" in found.get("observed", {}) else None

    found = cluster.wait_for("the status shows the p95", served, timeout_seconds=40)

    assert {name: condition(found, name) for name in ("Ready", "MetricsAvailable", "ScalingActive")} == {
        "Ready": "True",
        "MetricsAvailable": "True",
        "ScalingActive": "True",
    }
    assert found["observedGeneration"] == 1
    assert found["url"] == digits
    assert found["observed"]["ratePerSecond"] > 0


def test_the_first_request_after_scale_to_zero_is_answered_right(cluster: Cluster, digits: str) -> None:
    cluster.wait_for("no pod is left", lambda: not pods(cluster, "digits"), timeout_seconds=120)
    images, _ = held_out_samples(3)

    answer = cluster.request("POST", f"{digits}/v2/models/digits/infer", json=inference(images))

    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == _onnx_labels(DIGITS / "model.onnx", images).tolist()
    if cluster.prometheus is None:
        return
    cold = cluster.wait_for(
        "the server counted the cold start",
        lambda: cluster.query('sum(everwarm_cold_start_requests_total{service_name="digits"}) > 0'),
        timeout_seconds=20,
    )
    assert list(cold.values()) == [1.0]


def test_under_load_the_floor_rises_and_pods_follow_within_one_revision(cluster: Cluster, slow: str) -> None:
    before = status(cluster, "slow-digits")["floor"]

    floor = _raise_floor(cluster, slow)

    assert before == 1 < floor <= 4
    revisions = [item["metadata"]["name"] for item in owned(cluster, "revisions", "slow-digits")]
    assert revisions == ["slow-digits-00001"]
    # Long after Knative's own autoscaler forgot the load, the floor alone keeps the pods.
    time.sleep(LOW_SECONDS / 2)
    kept = status(cluster, "slow-digits")["floor"]
    annotations = owned(cluster, "podautoscalers", "slow-digits")[0]["metadata"]["annotations"]
    assert annotations[MIN_SCALE] == str(kept)
    assert len(pods(cluster, "slow-digits")) >= kept
    raised = events(cluster, "slow-digits", "FloorRaised")
    assert raised
    assert all("p95" in sentence and "floor" in sentence for sentence in raised)


def test_without_prometheus_the_floor_holds_and_the_status_says_so(cluster: Cluster, slow: str) -> None:
    if not cluster.is_ours:
        pytest.skip("Prometheus of a given cluster is not the test's to stop")
    _raise_floor(cluster, slow)
    cluster.stop_prometheus()
    try:
        blind = cluster.wait_for(
            "MetricsAvailable is False",
            lambda: with_condition(cluster, "slow-digits", "MetricsAvailable", "False"),
            timeout_seconds=30,
        )
        time.sleep(2 * LOW_SECONDS)
        later = status(cluster, "slow-digits")
    finally:
        cluster.start_prometheus()

    assert later["floor"] == blind["floor"] > 1
    assert len(pods(cluster, "slow-digits")) >= later["floor"]
    (reason,) = (c for c in later["conditions"] if c["type"] == "MetricsAvailable")
    assert "Prometheus" in reason["message"]
    cluster.wait_for(
        "MetricsAvailable is True again",
        lambda: with_condition(cluster, "slow-digits", "MetricsAvailable", "True"),
        timeout_seconds=60,
    )


def test_after_the_load_the_floor_steps_down_one_by_one_to_its_minimum(cluster: Cluster, slow: str) -> None:
    _raise_floor(cluster, slow)
    floors: list[tuple[float, int]] = []

    def lowest() -> bool:
        floor = status(cluster, "slow-digits")["floor"]
        if not floors or floors[-1][1] != floor:
            floors.append((time.monotonic(), floor))
        return bool(floor == 1)

    cluster.wait_for("the floor is 1", lowest, timeout_seconds=150)

    falls = [(earlier, later) for earlier, later in pairwise(floors) if later[1] < earlier[1]]
    assert falls
    assert all(later[1] == earlier[1] - 1 for earlier, later in falls)
    gaps = [later[0] - earlier[0] for earlier, later in falls[1:]]
    assert all(gap >= LOW_SECONDS - 2 for gap in gaps), gaps
    cluster.wait_for("one pod is left", lambda: len(pods(cluster, "slow-digits")) == 1, timeout_seconds=60)
    assert events(cluster, "slow-digits", "FloorLowered")
    assert len(owned(cluster, "revisions", "slow-digits")) == 1


def test_a_public_model_answers_whoever_has_the_token(cluster: Cluster, digits_image: str) -> None:
    secret = {"metadata": {"name": "callers", "namespace": "default"}, "stringData": {"token": "of-the-test"}}
    cluster.apply({"apiVersion": "v1", "kind": "Secret", **secret})
    served = models.digits("open-digits", digits_image, visibility="Public", auth={"tokenSecretName": "callers"})
    serving = models.serving(cluster, served)
    url = next(serving)
    body = inference(held_out_samples(1)[0])

    answers = [
        cluster.request("POST", f"{url}/v2/models/open-digits/infer", json=body, headers=headers).status_code
        for headers in ({}, {"Authorization": "Bearer of-the-test"})
    ]

    assert answers == [401, 200]
    assert not url.endswith(".svc.cluster.local")
    next(serving, None)
    cluster.delete("secret", "callers")


def test_deletion_leaves_nothing(cluster: Cluster, digits_image: str) -> None:
    serving = models.serving(cluster, models.digits("short-lived", digits_image))
    next(serving)

    next(serving, None)

    def left() -> list[str]:
        kinds = ("ksvc", "configurations", "routes", "revisions", "podautoscalers", "deployments", "services")
        return [item["metadata"]["name"] for kind in kinds for item in owned(cluster, kind, "short-lived")]

    cluster.wait_for("all it owned is gone", lambda: not left(), timeout_seconds=60)
    cluster.wait_for("its pods are on their way", lambda: not pods(cluster, "short-lived"), timeout_seconds=60)


def _raise_floor(cluster: Cluster, url: str) -> int:
    """Sends the load until the floor is over 1 and as many pods are ready; returns the floor."""
    address, headers = cluster.address(url)
    body = inference(held_out_samples(1)[0])
    path = f"{address}/v2/models/slow-digits/infer"

    def followed() -> int | None:
        floor = int(status(cluster, "slow-digits")["floor"])
        return floor if floor > 1 and len(pods(cluster, "slow-digits")) >= floor else None

    with load(path, body, headers, clients=CLIENTS, at_most_seconds=90) as outcome:
        time.sleep(BUSY_SECONDS)
        floor = cluster.wait_for("the floor is over 1, and so are the pods", followed, timeout_seconds=80)
    assert set(outcome.codes) == {200}, outcome
    assert not outcome.errors
    return floor


def _onnx_labels(path: Path, images: "np.ndarray") -> "np.ndarray":
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    labels: np.ndarray = session.run(["label"], {"image": images})[0]
    return labels
