import math
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from everwarm_server.telemetry.metrics import Metrics, ModelMetrics

START = 1_000_000.0
NO_BATCHES = {
    "everwarm_batch_rows_count": 0,
    "everwarm_batch_rows_sum": 0,
    "everwarm_batch_seconds_count": 0,
    "everwarm_batch_seconds_sum": 0,
    "everwarm_batches_total{reason=full}": 0,
    "everwarm_batches_total{reason=idle}": 0,
    "everwarm_batches_total{reason=delay}": 0,
    "everwarm_refused_requests_total{reason=queue_full}": 0,
    "everwarm_expired_requests_total": 0,
}


def of_model(concurrency: int = 1) -> tuple[Metrics, ModelMetrics]:
    process = Metrics(START)
    return process, process.model("m", concurrency)


def series(metrics: Metrics) -> dict[str, float]:
    def lines() -> Iterator[tuple[str, float]]:
        for family in text_string_to_metric_families(metrics.exposition("text/plain")[0].decode()):
            for sample in family.samples:
                labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()) if k != "model_name")
                yield f"{sample.name}{{{labels}}}" if labels else sample.name, sample.value

    return {name: value for name, value in lines() if name.startswith("everwarm_") and "_bucket" not in name}


def test_all_series_are_there_before_the_first_request() -> None:
    found = series(of_model(2)[0])
    assert math.isnan(found.pop("everwarm_arrival_dispersion"))
    assert found == {
        "everwarm_requests_total{code=200}": 0,
        "everwarm_cold_start_requests_total": 0,
        "everwarm_request_seconds_count": 0,
        "everwarm_request_seconds_sum": 0,
        "everwarm_queue_seconds_count": 0,
        "everwarm_queue_seconds_sum": 0,
        "everwarm_inference_seconds_count": 0,
        "everwarm_inference_seconds_sum": 0,
        **NO_BATCHES,
        "everwarm_in_flight_requests": 0,
        "everwarm_model_ready": 0,
        "everwarm_concurrency": 2,
        "everwarm_ready_time_seconds": 0,
        "everwarm_start_time_seconds": START,
    }


def test_a_request_is_counted_once_in_each_metric() -> None:
    process, metrics = of_model()
    metrics.ready(START + 3)
    process.ready(START + 3)
    metrics.phase("fetch", 1.5)
    metrics.arrived(START + 3.2)
    metrics.arrived(START + 9)
    metrics.accepted(None, START + 3.2)
    metrics.inferred(0.25, 0.5)
    metrics.answered(200, 1.0)
    found = series(process)
    del found["everwarm_arrival_dispersion"]
    assert found == {
        "everwarm_requests_total{code=200}": 1,
        "everwarm_cold_start_requests_total": 1,
        "everwarm_request_seconds_count": 1,
        "everwarm_request_seconds_sum": 1,
        "everwarm_queue_seconds_count": 1,
        "everwarm_queue_seconds_sum": 0.25,
        "everwarm_inference_seconds_count": 1,
        "everwarm_inference_seconds_sum": 0.5,
        **NO_BATCHES,
        "everwarm_in_flight_requests": 1,
        "everwarm_load_seconds{phase=fetch}": 1.5,
        "everwarm_model_ready": 1,
        "everwarm_concurrency": 1,
        "everwarm_ready_time_seconds": START + 3,
        "everwarm_start_time_seconds": START,
    }


@pytest.mark.parametrize(("code", "timed"), [(200, 1), (400, 1), (503, 1), (499, 0)])
def test_a_client_that_left_has_no_latency(code: int, timed: int) -> None:
    process, metrics = of_model()
    metrics.arrived(START)
    metrics.answered(code, 0.1)
    found = series(process)
    assert (found[f"everwarm_requests_total{{code={code}}}"], found["everwarm_request_seconds_count"]) == (1, timed)
    assert metrics.in_flight == 0


def test_before_readiness_nothing_is_cold() -> None:
    process, metrics = of_model()
    metrics.accepted(None, START)
    assert series(process)["everwarm_cold_start_requests_total"] == 0


def test_a_draining_replica_is_not_ready_but_was() -> None:
    process, metrics = of_model()
    metrics.ready(START + 3)
    process.ready(START + 3)
    metrics.not_ready()
    found = series(process)
    assert (found["everwarm_model_ready"], found["everwarm_ready_time_seconds"]) == (0, START + 3)
