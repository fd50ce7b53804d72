import logging
import time

import pytest

from everwarm_server.telemetry.trace_context import Sampler
from everwarm_server.telemetry.tracing import Batch, Span, Tracer
from everwarm_server.telemetry.watch import Watch

SAMPLED = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = SAMPLED[:-1] + b"0"
MODEL = ("m", "1")


def end(watch, watched, code=200):
    now = time.perf_counter()
    watched.inferred = (now - 0.2, now - 0.1)
    watch.end(watched, MODEL, (now - 0.25, 1000.0), code, {"http.response.status_code": code})


def test_it_is_off_by_default():
    watch = Watch()
    assert not watch.is_on
    assert watch.begin(SAMPLED) is None


def test_a_sampled_request_has_spans_and_its_trace_for_an_exemplar():
    spans: list[Span] = []
    watch = Watch(Tracer(Sampler(), spans.append))
    assert watch.is_on
    assert watch.begin(UNSAMPLED) is None
    watched = watch.begin(SAMPLED)
    assert watched.trace_hex == "0af7651916cd43dd8448eb211c80319c"
    end(watch, watched, 500)
    assert [(span.name, span.failed) for span in spans] == [("infer m", True), ("queue", False), ("model", True)]
    request, queue, model = (span.times for span in spans)
    assert request == (1000.0, pytest.approx(1000.25, abs=0.01))
    assert queue == (1000.0, pytest.approx(1000.05, abs=0.01))
    assert model == (pytest.approx(1000.05, abs=0.01), pytest.approx(1000.15, abs=0.01))


def test_a_logged_request_has_a_line(caplog):
    caplog.set_level(logging.INFO)
    watch = Watch(log_share=1.0)
    watched = watch.begin(SAMPLED, "acme")
    watched.batch = Batch(requests=4, rows=9)
    end(watch, watched)
    (record,) = caplog.records
    line = {name: getattr(record, name) for name in ("model", "version", "code", "tenant", "batch_requests")}
    assert line == {"model": "m", "version": "1", "code": 200, "tenant": "acme", "batch_requests": 4}
    assert (record.name, record.message) == ("everwarm_server.access", "Request")
    assert [record.queue_seconds, record.inference_seconds] == pytest.approx([0.05, 0.1], abs=0.01)
    assert record.seconds == pytest.approx(0.25, abs=0.01)
    assert not hasattr(record, "trace_id")


def test_a_line_names_the_trace(caplog):
    caplog.set_level(logging.INFO)
    watch = Watch(Tracer(Sampler(), lambda span: None), log_share=1.0)
    end(watch, watch.begin(SAMPLED))
    assert caplog.records[0].trace_id == "0af7651916cd43dd8448eb211c80319c"


def test_a_share_is_logged(caplog):
    caplog.set_level(logging.INFO)
    watch = Watch(log_share=0.1)
    assert sum(watch.begin(None) is not None for _ in range(10_000)) == pytest.approx(1000, abs=150)
