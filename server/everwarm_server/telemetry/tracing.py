"""What happened to requests in, OpenTelemetry spans out. Off, and nothing of it imported, unless OTEL_* ask for it.

A request's span has two children: `queue` until its inference starts, and `model`. Requests that were inferred together
share a span `batch`, in a trace of its own, with links to their spans; each one's `model` links to it. All spans are
made when the answer is out, from the times that metrics need anyway: the loop pays for a tuple each. A thread turns
them into OpenTelemetry's, whose batches go by OTLP over HTTP. It imports OpenTelemetry, for 0.3 s, once the first span
is there, so a cold start does not pay for it.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from everwarm_server.telemetry.trace_context import Sampler, Trace, UnknownSampler, sampler

MOST_WAITING: Final = 4096  # spans that the thread has not taken yet; more are dropped
_LOG: Final = logging.getLogger(__name__)
Attributes: TypeAlias = Mapping[str, str | int | float]
Times: TypeAlias = tuple[float, float]  # unix seconds of a start and an end


class Span(NamedTuple):
    """A span that is over. Times in unix seconds; links to spans by (trace's id, span's id)."""

    name: str
    kind: str
    trace: Trace
    times: Times
    attributes: Attributes
    links: Sequence[tuple[int, int]] = ()
    failed: bool = False


class Batch:
    """What was inferred together; runs of the same batch share it."""

    __slots__ = ("requests", "rows", "span_ids", "traces")

    def __init__(self, requests: int, rows: int) -> None:
        self.requests = requests
        self.rows = rows
        self.traces: list[Trace] = []
        self.span_ids: tuple[int, int] | None = None


class Ended(NamedTuple):
    """A request that has its answer.

    Attributes:
        model: its name and version.
        times: of arrival and answer, in unix seconds.
        inferred: of the inference, if there was one.
        batch: what else was inferred with it.
        attributes: of its span, by OpenTelemetry's semantic conventions for its protocol.
        failed: whether it is the server's failure.
    """

    model: tuple[str, str]
    times: Times
    inferred: Times | None
    batch: Batch | None
    attributes: Attributes
    failed: bool


class Tracer:
    """Makes the spans of requests. Its methods belong to the event loop's thread."""

    def __init__(self, sampling: Sampler, send: Callable[[Span], None]) -> None:
        self._sampling = sampling
        self._send = send

    def begin(self, traceparent: bytes | None) -> Trace | None:
        """A request has arrived; None: nobody wants its spans."""
        return self._sampling.begin(traceparent)

    def end(self, trace: Trace, ended: Ended) -> None:
        """It has its answer."""
        model = _model(ended)
        start, end = ended.times
        name = f"infer {ended.model[0]}"
        self._send(Span(name, "server", trace, (start, end), {**model, **ended.attributes}, (), ended.failed))
        if ended.inferred is None:
            return
        began = min(max(ended.inferred[0], start), end)
        self._send(Span("queue", "internal", self._child(trace), (start, began), {}))
        links: Sequence[tuple[int, int]] = ()
        if ended.batch is not None and ended.batch.requests > 1:
            model |= _size(ended.batch)
            links = (self._joined(ended.batch, trace, ended),)
        inferred = (began, min(max(ended.inferred[1], began), end))
        self._send(Span("model", "internal", self._child(trace), inferred, model, links, ended.failed))

    def _child(self, trace: Trace) -> Trace:
        return Trace(trace.trace_id, self._sampling.span_id(), trace.span_id)

    def _joined(self, batch: Batch, trace: Trace, ended: Ended) -> tuple[int, int]:
        """The ids of the batch's span, which is sent after all that end in this turn of the loop."""
        if batch.span_ids is None:
            own = Trace(self._sampling.ids.getrandbits(128) or 1, self._sampling.span_id(), None)
            batch.span_ids = (own.trace_id, own.span_id)
            asyncio.get_running_loop().call_soon(self._send_batch, batch, own, ended)
        batch.traces.append(trace)
        return batch.span_ids

    def _send_batch(self, batch: Batch, own: Trace, ended: Ended) -> None:
        links = [(trace.trace_id, trace.span_id) for trace in batch.traces]
        times = ended.inferred or ended.times
        self._send(Span("batch", "internal", own, times, _model(ended) | _size(batch), links, ended.failed))


def _model(ended: Ended) -> dict[str, str | int | float]:
    name, version = ended.model
    return {"everwarm.model.name": name, "everwarm.model.version": version}


def _size(batch: Batch) -> dict[str, str | int | float]:
    return {"everwarm.batch.requests": batch.requests, "everwarm.batch.rows": batch.rows}


class Exporter(Protocol):
    """Sends spans, from one thread."""

    def send(self, span: Span) -> None:
        """Take one."""

    def close(self) -> None:
        """Send what waits."""


class Sender:
    """Takes spans on any thread, and hands them to an exporter on one of its own.

    Args:
        exporter: makes it, on that thread.
    """

    def __init__(self, exporter: Callable[[], Exporter]) -> None:
        self._exporter = exporter
        self._spans: queue.Queue[Span | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._work, name="everwarm-traces", daemon=True)
        self._started = False

    def send(self, span: Span) -> None:
        """Take one; drop it where too many wait."""
        if not self._started:
            self._started = True
            self._thread.start()
        try:
            self._spans.put_nowait(span)
        except queue.Full:
            return

    def close(self, timeout_seconds: float) -> None:
        """Send what waits, for so long at most."""
        if self._started:
            try:
                self._spans.put(None, timeout=timeout_seconds)
            except queue.Full:
                return
            self._thread.join(timeout_seconds)

    def _work(self) -> None:
        try:
            exporter = self._exporter()
        except ImportError as error:
            _LOG.warning("No spans are sent: %s; install everwarm[otel]", error)
            return
        while (span := self._spans.get()) is not None:
            exporter.send(span)
        exporter.close()


def by_environment(environment: Mapping[str, str]) -> tuple[Tracer, Sender] | None:
    """The tracer that OpenTelemetry's variables ask for, and what sends its spans; None: they ask for none.

    They do by OTEL_TRACES_EXPORTER=otlp or, without that, by an endpoint (OTEL_EXPORTER_OTLP_ENDPOINT or
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT), and not if OTEL_SDK_DISABLED=true. The rest of them (headers, certificates,
    timeouts, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_*) is read by OpenTelemetry itself.
    What is wrong there is warned of and left out, as OpenTelemetry's specification demands.
    """

    def given(name: str) -> str:
        return environment.get(f"OTEL_{name}", "").strip()

    exporters = {one.strip().lower() for one in given("TRACES_EXPORTER").split(",")} - {""}
    endpoint = given("EXPORTER_OTLP_TRACES_ENDPOINT") or given("EXPORTER_OTLP_ENDPOINT")
    wanted = "otlp" in exporters if exporters else bool(endpoint)
    if not wanted or given("SDK_DISABLED").lower() == "true":
        return None
    protocol = given("EXPORTER_OTLP_TRACES_PROTOCOL") or given("EXPORTER_OTLP_PROTOCOL")
    if protocol not in {"", "http/protobuf"}:
        _LOG.warning("Spans are sent by http/protobuf, not by %s: this server has no other way", protocol)

    def exporter() -> Exporter:
        from everwarm_server.telemetry.otel import otlp

        return otlp()

    sender = Sender(exporter)
    try:
        sampling = sampler(given("TRACES_SAMPLER"), given("TRACES_SAMPLER_ARG"))
    except UnknownSampler as error:
        _LOG.warning("%s", error)
        sampling = Sampler()
    return Tracer(sampling, sender.send), sender
