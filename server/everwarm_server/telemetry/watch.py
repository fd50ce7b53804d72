"""Requests that are looked at one by one: a trace context in; spans, a line of the access log and an exemplar out.

Both are off by default, and a request of which neither is wanted costs a comparison. Who watches a request gets the
times of its inference from the data plane, and all else at its end from the transport.
"""

import logging
import random
import time
from collections.abc import Mapping
from typing import Final

from everwarm_server.telemetry.trace_context import Trace
from everwarm_server.telemetry.tracing import Attributes, Batch, Ended, Sender, Times, Tracer, by_environment

_LOG: Final = logging.getLogger("everwarm_server.access")
SERVER_FAILED: Final = 500


class Watched:
    """A request that is looked at.

    Attributes:
        trace: if its spans are wanted.
        is_logged: whether it gets a line of log.
        tenant: whose it is.
        inferred: start and end of its inference by time.perf_counter(), if there was one.
        batch: what was inferred with it.
    """

    __slots__ = ("batch", "inferred", "is_logged", "tenant", "trace")

    def __init__(self, trace: Trace | None, is_logged: bool, tenant: str) -> None:
        self.trace = trace
        self.is_logged = is_logged
        self.tenant = tenant
        self.inferred: Times | None = None
        self.batch: Batch | None = None

    @property
    def trace_hex(self) -> str | None:
        """The id of its trace, for an exemplar."""
        return None if self.trace is None else self.trace.trace_hex


class Watch:
    """Looks at requests. Its methods belong to the event loop's thread.

    Args:
        tracer: what makes spans, if somebody wants them.
        log_share: of the requests that get a line of log each.
        sender: takes the tracer's spans.
    """

    def __init__(self, tracer: Tracer | None = None, log_share: float = 0.0, sender: Sender | None = None) -> None:
        self._tracer = tracer
        self._sender = sender
        self._log_share = log_share
        self._random = random.Random()  # noqa: S311 - which requests get a line of log is no secret
        self.is_on = tracer is not None or log_share > 0

    @classmethod
    def by_environment(cls, environment: Mapping[str, str], log_share: float) -> "Watch":
        """With spans if OpenTelemetry's variables ask for them; see tracing.py."""
        tracer, sender = by_environment(environment) or (None, None)
        return cls(tracer, log_share, sender)

    def close(self, timeout_seconds: float) -> None:
        """Send the spans that wait, for so long at most."""
        if self._sender is not None:
            self._sender.close(timeout_seconds)

    def begin(self, traceparent: bytes | None, tenant: str = "") -> Watched | None:
        """A request has arrived; None: nobody looks at it. Ask only if `is_on`, to spare the call."""
        trace = None if self._tracer is None else self._tracer.begin(traceparent)
        is_logged = self._log_share > 0 and self._random.random() < self._log_share
        return Watched(trace, is_logged, tenant) if is_logged or trace is not None else None

    def end(self, watched: Watched, model: tuple[str, str], arrived: Times, code: int, attributes: Attributes) -> None:
        """It has its answer.

        Args:
            watched: by begin().
            model: its name and version.
            arrived: when it arrived, by time.perf_counter() and by the clock.
            code: of the answer, as HTTP counts.
            attributes: of its span, by OpenTelemetry's semantic conventions for its protocol.
        """
        came_seconds, came_unix_seconds = arrived
        seconds = time.perf_counter() - came_seconds
        if watched.trace is not None and self._tracer is not None:
            offset = came_unix_seconds - came_seconds
            inferred = watched.inferred and (watched.inferred[0] + offset, watched.inferred[1] + offset)
            times = (came_unix_seconds, came_unix_seconds + seconds)
            failed = code >= SERVER_FAILED
            self._tracer.end(watched.trace, Ended(model, times, inferred, watched.batch, attributes, failed))
        if watched.is_logged:
            _LOG.info("Request", extra=_line(watched, model, came_seconds, seconds) | {"code": code})


def _line(watched: Watched, model: tuple[str, str], came_seconds: float, seconds: float) -> dict[str, object]:
    line: dict[str, object] = {"model": model[0], "version": model[1], "seconds": round(seconds, 6)}
    if watched.tenant:
        line["tenant"] = watched.tenant
    if watched.inferred is not None:
        start, end = watched.inferred
        line |= {"queue_seconds": round(start - came_seconds, 6), "inference_seconds": round(end - start, 6)}
    if watched.batch is not None:
        line["batch_requests"] = watched.batch.requests
    if watched.trace is not None:
        line |= {"trace_id": watched.trace.trace_hex, "span_id": f"{watched.trace.span_id:016x}"}
    return line
