import asyncio
import random
import threading
from dataclasses import dataclass, field

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from everwarm_server.telemetry import otel
from everwarm_server.telemetry.trace_context import Sampler
from everwarm_server.telemetry.tracing import MOST_WAITING, Batch, Ended, Sender, Span, Tracer, by_environment

PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HTTP = {"http.request.method": "POST", "http.response.status_code": 200}


@dataclass
class Recorded:
    spans: list[Span] = field(default_factory=list)

    def send(self, span: Span) -> None:
        self.spans.append(span)

    def close(self) -> None:
        pass


def ended(*, inferred=(10.25, 10.5), batch=None, failed=False):
    return Ended(("m", "1"), (10.0, 10.75), inferred, batch, HTTP, failed)


def test_a_request_has_a_queue_and_a_model():
    recorded = Recorded()
    tracer = Tracer(Sampler(ids=random.Random(1)), recorded.send)
    trace = tracer.begin(PARENT)
    tracer.end(trace, ended())
    model = {"everwarm.model.name": "m", "everwarm.model.version": "1"}
    request, queue, inference = recorded.spans
    assert request == Span("infer m", "server", trace, (10.0, 10.75), model | HTTP)
    assert (queue.name, queue.times, queue.attributes) == ("queue", (10.0, 10.25), {})
    assert (inference.name, inference.times, inference.attributes) == ("model", (10.25, 10.5), model)
    assert {queue.trace.parent_id, inference.trace.parent_id} == {trace.span_id}
    assert len({span.trace.span_id for span in recorded.spans}) == 3
    assert {span.trace.trace_id for span in recorded.spans} == {0x0AF7651916CD43DD8448EB211C80319C}


def test_a_request_that_never_ran_has_its_span_alone():
    recorded = Recorded()
    tracer = Tracer(Sampler(), recorded.send)
    tracer.end(tracer.begin(None), ended(inferred=None, failed=True))
    assert [(span.name, span.failed) for span in recorded.spans] == [("infer m", True)]


def test_a_child_lies_within_its_parent_whatever_the_clocks_say():
    recorded = Recorded()
    tracer = Tracer(Sampler(), recorded.send)
    tracer.end(tracer.begin(None), ended(inferred=(9.0, 11.0)))
    assert [span.times for span in recorded.spans] == [(10.0, 10.75), (10.0, 10.0), (10.0, 10.75)]


async def test_a_batch_links_to_its_requests_and_they_to_it():
    recorded = Recorded()
    tracer = Tracer(Sampler(), recorded.send)
    batch = Batch(requests=3, rows=8)
    traces = [tracer.begin(PARENT), tracer.begin(None)]  # the third was not sampled
    for trace in traces:
        tracer.end(trace, ended(batch=batch))
    await asyncio.sleep(0)
    joined = recorded.spans[-1]
    size = {"everwarm.batch.requests": 3, "everwarm.batch.rows": 8}
    assert (joined.name, joined.times, joined.trace.parent_id) == ("batch", (10.25, 10.5), None)
    assert joined.links == [(trace.trace_id, trace.span_id) for trace in traces]
    assert size.items() <= joined.attributes.items()
    models = [span for span in recorded.spans if span.name == "model"]
    assert [span.links for span in models] == [((joined.trace.trace_id, joined.trace.span_id),)] * 2
    assert all(size.items() <= span.attributes.items() for span in models)


def test_a_batch_of_one_is_none():
    recorded = Recorded()
    tracer = Tracer(Sampler(), recorded.send)
    tracer.end(tracer.begin(None), ended(batch=Batch(requests=1, rows=4)))
    assert [(span.name, span.links) for span in recorded.spans] == [("infer m", ()), ("queue", ()), ("model", ())]


def test_spans_become_opentelemetrys():
    exporter = InMemorySpanExporter()
    sender = Sender(lambda: otel.Exporter(SimpleSpanProcessor(exporter)))
    tracer = Tracer(Sampler(), sender.send)
    trace = tracer.begin(PARENT)
    tracer.end(trace, ended(failed=True))
    sender.close(5)
    request, queue, model = exporter.get_finished_spans()
    assert (request.name, request.kind, request.status.status_code) == ("infer m", SpanKind.SERVER, StatusCode.ERROR)
    assert (request.start_time, request.end_time) == (10_000_000_000, 10_750_000_000)
    assert f"00-{request.context.trace_id:032x}-{request.parent.span_id:016x}-01".encode() == PARENT
    assert dict(request.attributes) == {"everwarm.model.name": "m", "everwarm.model.version": "1", **HTTP}
    assert request.resource.attributes["service.name"] == "everwarm"
    assert [span.parent.span_id for span in (queue, model)] == [request.context.span_id] * 2
    assert (queue.kind, queue.status.status_code) == (SpanKind.INTERNAL, StatusCode.UNSET)


@pytest.mark.parametrize(
    ("given", "name"), [({"OTEL_SERVICE_NAME": "x"}, "x"), ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=y,a=b"}, "y")]
)
def test_the_resource_is_as_the_environment_says(given, name, monkeypatch):
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    assert otel.resource().attributes["service.name"] == name


def test_a_sender_that_is_behind_drops_spans_and_holds_up_nobody():
    recorded, go = Recorded(), threading.Event()

    def slow():
        assert go.wait(10)
        return recorded

    sender = Sender(slow)
    tracer = Tracer(Sampler(), sender.send)
    for _ in range(MOST_WAITING):
        tracer.end(tracer.begin(None), ended())
    go.set()
    sender.close(10)
    assert len(recorded.spans) == MOST_WAITING


def test_without_the_extra_it_says_so_once(caplog):
    def missing():
        raise ImportError("No module named 'opentelemetry'")

    sender = Sender(missing)
    sender.send(Span("a", "internal", Sampler().begin(None), (0.0, 1.0), {}))
    sender.close(5)
    assert caplog.messages == ["No spans are sent: No module named 'opentelemetry'; install everwarm[otel]"]


ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "console, OTLP"}, True),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "TRUE"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "false"}, True),
    ],
)
def test_the_environment_asks_for_it(environment, wanted):
    assert (by_environment(environment) is not None) == wanted


def test_another_protocol_is_said_not_to_be_there(caplog):
    by_environment(ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert caplog.messages == ["Spans are sent by http/protobuf, not by grpc: this server has no other way"]


def test_a_wrong_sampler_is_said_and_left_out(caplog):
    assert by_environment(ENDPOINT | {"OTEL_TRACES_SAMPLER": "sometimes"}) is not None
    (message,) = caplog.messages
    assert message.startswith("OTEL_TRACES_SAMPLER='sometimes' with OTEL_TRACES_SAMPLER_ARG='' is no sampler;")
