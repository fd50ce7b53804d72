"""The metrics that the operator reads, and the token, on a real server."""

import json
import math
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

# Name (as Prometheus stores the family), type and labels.
CONTRACT = {
    ("everwarm_request_seconds", "histogram", ("model_name",)),
    ("everwarm_requests", "counter", ("code", "model_name")),
    ("everwarm_queue_seconds", "histogram", ("model_name",)),
    ("everwarm_inference_seconds", "histogram", ("model_name",)),
    ("everwarm_in_flight_requests", "gauge", ("model_name",)),
    ("everwarm_cold_start_requests", "counter", ("model_name",)),
    ("everwarm_load_seconds", "gauge", ("model_name", "phase")),
    ("everwarm_model_ready", "gauge", ("model_name",)),
    ("everwarm_ready_time_seconds", "gauge", ()),
    ("everwarm_start_time_seconds", "gauge", ()),
    ("everwarm_concurrency", "gauge", ("model_name",)),
    ("everwarm_arrival_dispersion", "gauge", ("model_name",)),
    ("everwarm_batch_rows", "histogram", ("model_name",)),
    ("everwarm_batch_seconds", "histogram", ("model_name",)),
    ("everwarm_batches", "counter", ("model_name", "reason")),
    ("everwarm_expired_requests", "counter", ("model_name",)),
    ("everwarm_refused_requests", "counter", ("model_name", "reason")),
    ("everwarm_queue_rows", "gauge", ("model_name",)),
    ("everwarm_queue_requests", "gauge", ("model_name",)),
    ("everwarm_batch_max_rows", "gauge", ("model_name",)),
    ("everwarm_batch_cost_seconds", "gauge", ("model_name",)),
    ("everwarm_row_cost_seconds", "gauge", ("model_name",)),
    ("everwarm_admission_limit", "gauge", ("model_name",)),
}


@pytest.fixture
def served(start_server: Any, bendable: Path) -> Any:
    """A server and its metrics port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    return start_server(bendable, metrics_port=port, api_token="right", concurrency=2), port


TOKEN = {"Authorization": "Bearer right"}


def families(server: Any, port: int) -> dict[str, Any]:
    text = replace(server, port=port).ask("GET", "/metrics").body.decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_names_types_and_labels_are_the_contract(served: Any) -> None:
    server, port = served
    found = {
        (family.name, family.type, tuple(sorted(set(family.samples[0].labels) - {"le"})))
        for family in families(server, port).values()
        if family.name.startswith("everwarm_")
    }
    assert found == CONTRACT
    assert {"process_resident_memory_bytes", "process_cpu_seconds", "python_info"} <= set(families(server, port))


def test_buckets_reach_from_a_millisecond_to_two_minutes(served: Any) -> None:
    samples = families(*served)["everwarm_request_seconds"].samples
    bounds = [float(s.labels["le"]) for s in samples if "le" in s.labels]
    assert (min(bounds), sorted(bounds)[-2], max(bounds)) == (0.001, 120.0, math.inf)


def test_metrics_tell_what_happened(served: Any) -> None:
    server, port = served
    time.sleep(0.6)  # beyond the grace in which a request counts as cold
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    body = json.dumps({"inputs": [tensor], "parameters": {"sleep_seconds": 0.2}}).encode()
    path = "/v2/models/bendable/infer"
    assert server.ask("POST", path, body, TOKEN).code == 200
    ready = server.metric("everwarm_ready_time_seconds", port)
    cold = TOKEN | {"X-Request-Start": f"t={ready - 1:.3f}"}
    assert server.ask("POST", path, body, cold).code == 200
    assert server.ask("POST", path, b"{", TOKEN).code == 400

    def metric(name: str, **labels: str) -> float:
        return float(server.metric(f"everwarm_{name}", port, **labels))

    assert metric("requests_total", model_name="bendable", code="200") == 2
    assert metric("requests_total", code="400") == 1
    assert metric("request_seconds_count") == 3
    assert metric("inference_seconds_count") == 2
    assert metric("inference_seconds_sum") == pytest.approx(0.4, abs=0.1)
    assert metric("queue_seconds_sum") < 0.1
    assert metric("cold_start_requests_total") == 1
    assert metric("concurrency") == 2
    assert metric("in_flight_requests") == 0
    assert time.time() - 30 < metric("start_time_seconds") < ready < time.time()
    assert metric("load_seconds", phase="warmup") >= 0


def test_the_first_request_after_readiness_found_no_warm_replica(start_server: Any, bendable: Path) -> None:
    server = start_server(bendable)
    server.infer()
    ready = server.metric("everwarm_ready_time_seconds")
    if time.time() - ready < 0.4:  # else this machine was too slow to be early
        assert server.metric("everwarm_cold_start_requests_total") == 1


def test_the_main_port_needs_the_token_and_has_no_metrics(served: Any) -> None:
    server, port = served
    for path in ("/v2", "/v2/models/bendable", "/v1/models", "/docs", "/metrics"):
        reply = server.ask("GET", path)
        assert (reply.code, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert server.infer().code == 401
    assert server.ask("GET", "/v2", headers=TOKEN).code == 200
    assert server.ask("GET", "/metrics", headers=TOKEN).code == 404
    assert server.ask("GET", "/v2/health/ready").code == 200
    assert server.ask("GET", "/v2/health/live").code == 200
    assert families(server, port)


def test_the_token_is_in_no_log(served: Any) -> None:
    server, _ = served
    server.ask("GET", "/v2", headers={"Authorization": "Bearer right"})
    server.terminate()
    server.wait()
    assert "right" not in server.log.read_text()
