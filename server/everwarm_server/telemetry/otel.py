"""Our spans in, OpenTelemetry's out, and the processor that sends them. The one module that imports OpenTelemetry."""

from importlib.metadata import version
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from everwarm_server.telemetry.tracing import Span

_SERVICE: Final = "everwarm"
_SCOPE: Final = InstrumentationScope("everwarm_server", version("everwarm"))
_UNNAMED: Final = "unknown_service"  # how Resource.create() calls what OTEL_SERVICE_NAME has no name for
_KINDS: Final = {"server": SpanKind.SERVER, "internal": SpanKind.INTERNAL}
_NANOSECONDS: Final = 10**9


def resource() -> Resource:
    """Who sends: as OTEL_* say, else the service `everwarm`."""
    made = Resource.create({"service.version": version("everwarm")})
    named = str(made.attributes.get("service.name", _UNNAMED))
    return made.merge(Resource({"service.name": _SERVICE})) if named.startswith(_UNNAMED) else made


_RESOURCE: Final = resource()


def to_otel(span: Span) -> ReadableSpan:
    """A span as OpenTelemetry's exporters take it."""
    trace = span.trace
    return ReadableSpan(
        span.name,
        context=_context(trace.trace_id, trace.span_id),
        parent=None if trace.parent_id is None else _context(trace.trace_id, trace.parent_id),
        resource=_RESOURCE,
        attributes=span.attributes,
        links=[Link(_context(*ids)) for ids in span.links],
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR if span.failed else StatusCode.UNSET),
        start_time=round(span.times[0] * _NANOSECONDS),
        end_time=round(span.times[1] * _NANOSECONDS),
        instrumentation_scope=_SCOPE,
    )


def _context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class Exporter:
    """Sends spans by one of OpenTelemetry's processors."""

    def __init__(self, processor: SpanProcessor) -> None:
        self._processor = processor

    def send(self, span: Span) -> None:
        """Take one."""
        self._processor.on_end(to_otel(span))

    def close(self) -> None:
        """Send what waits."""
        self._processor.shutdown()


def otlp() -> Exporter:
    """Sends batches of spans by OTLP over HTTP, where OTEL_EXPORTER_OTLP_* say."""
    return Exporter(BatchSpanProcessor(OTLPSpanExporter()))
