"""Spans, exemplars and the access log of a real process; a receiver of OTLP over HTTP on loopback takes its spans."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
UNSAMPLED = {"traceparent": f"00-{TRACE[::-1]}-{PARENT}-00"}
INFER = "/v2/models/bendable/infer"
BODY = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
SUM = """
import time


class Model:
    metadata = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
    }

    def predict(self, inputs):
        time.sleep(0.05)
        return {"y": inputs["x"] * 2}
"""


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.spans: list[tuple[Any, Any]] = []
        self.paths: set[tuple[str, str | None]] = set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def settings(self) -> dict[str, str]:
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.server_port}",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=secret",
            "OTEL_SERVICE_NAME": "tested",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }

    def named(self, name: str) -> list[Any]:
        return [span for _, span in self.spans if span.name == name]


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        message = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        self.server.paths.add((self.path, self.headers["x-key"]))
        for of_resource in message.resource_spans:
            for of_scope in of_resource.scope_spans:
                self.server.spans += [(of_resource.resource, span) for span in of_scope.spans]
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def traced(receiver: Receiver, environment: dict[str, str]) -> Iterator[None]:
    environment.update(receiver.settings)
    yield
    for name in receiver.settings:
        del environment[name]


@pytest.mark.usefixtures("traced")
def test_a_sampled_request_is_seen_from_its_arrival_to_its_model(
    receiver: Receiver, start_server: Any, bendable: Path
) -> None:
    server = start_server(bendable)
    assert server.ask("POST", INFER, BODY | {"parameters": {"sleep_seconds": 0.1}}, SAMPLED).code == 200
    assert server.ask("POST", INFER, BODY, UNSAMPLED).code == 200
    assert server.ask("POST", INFER, {"inputs": []}, SAMPLED).code == 400
    server.until(lambda: len(receiver.spans) == 4)
    good, bad = receiver.named("infer bendable")
    (queue,), (model,) = receiver.named("queue"), receiver.named("model")
    assert {span.trace_id.hex() for _, span in receiver.spans} == {TRACE}
    assert {good.parent_span_id.hex(), bad.parent_span_id.hex()} == {PARENT}
    assert {queue.parent_span_id, model.parent_span_id} == {good.span_id}
    assert good.start_time_unix_nano == queue.start_time_unix_nano <= queue.end_time_unix_nano
    assert queue.end_time_unix_nano == model.start_time_unix_nano < model.end_time_unix_nano < good.end_time_unix_nano
    assert 0.1e9 <= model.end_time_unix_nano - model.start_time_unix_nano < 0.5e9
    attributes = {item.key: item.value.string_value or item.value.int_value for item in good.attributes}
    assert attributes == {
        "everwarm.model.name": "bendable",
        "everwarm.model.version": "1",
        "http.request.method": "POST",
        "http.response.status_code": 200,
    }
    resource = {item.key: item.value.string_value for item in receiver.spans[0][0].attributes}
    assert resource["service.name"] == "tested"
    assert receiver.paths == {("/v1/traces", "secret")}


@pytest.mark.usefixtures("traced")
def test_a_sampled_request_is_an_exemplar_in_openmetrics_alone(start_server: Any, bendable: Path) -> None:
    server = start_server(bendable)
    assert server.ask("POST", INFER, BODY, SAMPLED).code == 200
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    lines = server.ask("GET", "/metrics", headers=accept).body.decode().splitlines()
    (exemplar,) = [line for line in lines if " # " in line and line.startswith("everwarm")]
    assert exemplar.startswith('everwarm_request_seconds_bucket{le="')
    assert f'# {{trace_id="{TRACE}"}} 0.' in exemplar
    assert TRACE not in server.ask("GET", "/metrics").body.decode()


@pytest.mark.usefixtures("traced")
def test_a_batch_is_linked_with_its_requests(receiver: Receiver, start_server: Any, tmp_path: Path) -> None:
    model = tmp_path / "sum"
    model.mkdir()
    (model / "model.py").write_text(SUM)
    server = start_server(model, batching="on")
    with ThreadPoolExecutor(12) as threads:
        codes = list(threads.map(lambda _: server.ask("POST", "/v2/models/sum/infer", BODY).code, range(48)))
    assert codes == [200] * 48
    server.until(lambda: len(receiver.named("infer sum")) == 48)
    server.until(lambda: len(receiver.named("batch")) > 0)
    requests = {(span.trace_id, span.span_id) for span in receiver.named("infer sum")}
    batches = {(span.trace_id, span.span_id): span for span in receiver.named("batch")}
    for batch in batches.values():
        size = {item.key: item.value.int_value for item in batch.attributes}["everwarm.batch.requests"]
        assert len(batch.links) == size > 1
        assert {(link.trace_id, link.span_id) for link in batch.links} <= requests
    together = [span for span in receiver.named("model") if span.links]
    assert {(link.trace_id, link.span_id) for span in together for link in span.links} == set(batches)


@pytest.mark.usefixtures("traced")
def test_the_last_spans_are_sent_at_the_end(receiver: Receiver, start_server: Any, bendable: Path) -> None:
    server = start_server(bendable)
    server.ask("POST", INFER, BODY, SAMPLED)
    server.terminate()
    assert server.wait() == 0
    assert len(receiver.spans) == 3


def test_a_request_that_is_late_is_refused_at_once(start_server: Any, bendable: Path) -> None:
    server = start_server(bendable)
    for headers, parameters in (
        ({"X-Request-Timeout-Ms": "0"}, {}),
        ({"X-Request-Timeout-Ms": "0", "Expect": "100-continue"}, {}),  # by the way of ASGI
    ):
        reply = server.ask("POST", INFER, BODY | {"parameters": parameters}, headers)
        assert (reply.code, reply.json["error"]) == (504, "The deadline of this request had passed when it arrived.")
    assert server.ask("POST", INFER, BODY, {"X-Request-Timeout-Ms": "soon"}).code == 400
    assert server.ask("POST", INFER, BODY, {"X-Request-Timeout-Ms": "20000", "X-Tenant-Id": "acme"}).code == 200


def test_the_access_log_is_off_and_can_be_had(start_server: Any, bendable: Path) -> None:
    quiet = start_server(bendable)
    loud = start_server(bendable, access_log=1)
    for server in (quiet, loud):
        assert server.ask("POST", INFER, BODY, {"X-Tenant-Id": "acme"}).code == 200
    loud.until(lambda: '"Request"' in loud.log.read_text())
    lines = [json.loads(line) for line in loud.log.read_text().splitlines()]
    (line,) = [line for line in lines if line["logger"] == "everwarm_server.access"]
    known = {name: line[name] for name in ("message", "model", "version", "code", "tenant")}
    assert known == {"message": "Request", "model": "bendable", "version": "1", "code": 200, "tenant": "acme"}
    assert 0 <= line["queue_seconds"] + line["inference_seconds"] <= line["seconds"]
    assert '"Request"' not in quiet.log.read_text()
