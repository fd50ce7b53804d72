"""uvicorn's HTTP/1.1 connection with limits for slow clients, errors as JSON, and what a drain needs to know.

Why this and not another server: docs/decisions/0005. A request that offers an upgrade is answered as if it had not;
httptools would drop its body, which Java's client sends with each offer of HTTP/2.
"""

import array
import asyncio
import fcntl
import itertools
import termios
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from everwarm_server.protocol.v2_json import encode_error
from everwarm_server.transport.hot import Cycle, Hot
from everwarm_server.transport.http import CLIENT, CLOSE, JOIN_BYTES, Answer, Refused, error_answer, scan, too_slow
from everwarm_server.transport.limits import Limits, Patience, Phase

_NUMBERS: Final = itertools.count()
MOST_SMALL_PARTS: Final = 65536  # 2 us each, of a body in chunks; Triton has the same limit for all
SMALL_PART_BYTES: Final = 64
_FOLDED_PARTS: Final = 256  # of a body; a client may send it byte by byte, and each part weighs 40 bytes more


class Connection(HttpToolsProtocol):
    """One connection. uvicorn itself waits for ever for the first byte, and for the end of headers and body."""

    def __init__(self, *args: Any, limits: Limits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.number = next(_NUMBERS)
        self._limits = limits
        self._patience = Patience()
        self._message_bytes = 0  # read since the last request was whole
        self._parts = 0  # of a body, since ASGI began to read one
        self._refused: Refused | None = None  # by a callback of the parser
        self._upgrading = False
        self.last_read_seconds = self.loop.time()
        self.gone = self.too_slow = False
        self.when_gone: Callable[[], None] | None = None
        self._hot: Hot | None = getattr(self.config.app, "hot", None)
        self._hot_cycle: Cycle | None = None  # the last
        self._hot_headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes | bytearray] | None = None  # of a hot request, until it is whole
        self._default_headers: list[tuple[bytes, bytes]] | None = None
        self._default_lines = b""
        self._closing = False

    @property
    def idle(self) -> bool:
        """Whether no request is being answered; one may be arriving."""
        return (self.cycle is None or self.cycle.response_complete) and not self.pipeline

    def has_unread_bytes(self) -> bool:
        """Whether the kernel holds bytes that were not read yet."""
        if self.transport.is_closing():
            return False
        count = array.array("i", [0])
        try:
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.FIONREAD, count)
        except OSError:
            return False
        return count[0] > 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Refuse it where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            sentence = f"This replica has {self._limits.connections} connections already; try again later."
            self._say_and_close(503, sentence, b"retry-after: 1\r\n")

    def close_if_overdue(self, now_seconds: float) -> None:
        """Look whether the client is too slow; see limits.py."""
        if self._patience.is_unread(self.transport.get_write_buffer_size(), now_seconds, self._limits):
            self.transport.abort()
        elif not self.transport.is_closing():
            phase = self._phase()
            if self._patience.is_over(phase, self._message_bytes, now_seconds, self._limits):
                self._give_up_on(phase)

    def _phase(self) -> Phase:
        if self._is_receiving_body() and not self.flow.read_paused:  # we pause while another one is in work
            return Phase.BODY
        if self.idle:
            return Phase.HEAD if self._message_bytes else Phase.IDLE
        return Phase.ANSWER

    def _is_receiving_body(self) -> bool:
        """Also where the answer did not wait for it."""
        return self._body is not None or (isinstance(self.cycle, RequestResponseCycle) and self.cycle.more_body)

    def _give_up_on(self, phase: Phase) -> None:
        if phase is Phase.IDLE:
            self.close_if_silent()
        elif phase is Phase.HEAD:
            self._say_and_close(408, "The headers came too slowly.")
        elif self._body is not None:
            self._body = None
            cast("Cycle", self._hot_cycle).refuse(error_answer(too_slow()))
        elif self.cycle.response_started:
            self.transport.close()
        else:
            self.too_slow = True  # for whoever reads the body
            self._say_and_close(408, str(too_slow()))

    def close_if_silent(self) -> None:
        """Close it, unless a request has come that was not read yet."""
        if not self.has_unread_bytes():
            self.transport.close()

    def idle_seconds(self, now_seconds: float) -> float:
        """How long it has been seen idle."""
        return self._patience.idle_seconds(now_seconds)

    def on_message_begin(self) -> None:
        """Another request; what ASGI needs is made when it is asked."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._patience.restart()

    def _start_asgi(self) -> None:
        self._parts = 0
        url, headers, expect_100_continue = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expect_100_continue
        self.scope["headers"] = headers
        # Lets the application ask to be told when the client leaves; ASGI's way takes a task for each request.
        self.scope[CLIENT] = self  # type: ignore[typeddict-unknown-key]  # an extension of ours
        super().on_headers_complete()

    def on_headers_complete(self) -> None:
        """Take a plain inference request for ourselves; see hot.py."""
        version, offers_upgrade = self.parser.get_http_version(), self.parser.should_upgrade()
        self._check_head(version, offers_upgrade=offers_upgrade)
        if offers_upgrade:
            self._upgrading = True
            return
        cycle = self._plain() if version == "1.1" else None
        if cycle is None:
            self._start_asgi()
        else:
            self._hot_cycle, self._hot_headers = cycle, self.headers
            self.cycle = cycle  # type: ignore[assignment]  # it has what is used of uvicorn's
            self._body = []
        # Trailers would be added to the headers, after these were checked (RFC 9110, 6.5.1: they must not be).
        self.headers = deque(maxlen=0)  # type: ignore[assignment]  # only append() is called

    def _check_head(self, version: str, *, offers_upgrade: bool) -> None:
        limits = self._limits
        if len(self.headers) > limits.head_fields:
            raise self._refuse(Refused(431, f"The request has more than {limits.head_fields} headers."))
        if self._message_bytes > limits.head_bytes:
            size_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size_bytes > limits.head_bytes:
                raise self._refuse(_head_too_large(limits))
        if version not in {"1.1", "1.0"}:
            raise self._refuse(Refused(505, "This server speaks HTTP/1.1."))
        if offers_upgrade and self.parser.get_method() == b"CONNECT":
            raise self._refuse(Refused(405, "This server is no proxy: CONNECT is not allowed."))

    def _refuse(self, refused: Refused) -> Refused:
        """For a callback of the parser to raise; the parser hides what it was."""
        self._refused = refused
        return refused

    def _plain(self) -> Cycle | None:
        if self._hot is None or not self._is_next() or self.expect_100_continue or self.flow.write_paused:
            return None
        endpoint = self._hot.endpoint(self.url)
        if endpoint is None or self.parser.get_method() != b"POST":
            return None
        head = scan(self.headers)
        if not self._hot.takes(head):
            return None
        cycle = self._hot.cycle(endpoint, head, self, self._write)
        cycle.keep_alive = self.parser.should_keep_alive()
        return cycle

    def _is_next(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        if self._body is None:
            self._parts += 1
            if self._parts > MOST_SMALL_PARTS and self._message_bytes < self._parts * SMALL_PART_BYTES:
                raise self._refuse(Refused(400, f"The body comes in chunks of less than {SMALL_PART_BYTES} bytes."))
            super().on_body(body)
            return
        self._body.append(body)
        if len(self._body) > _FOLDED_PARTS:
            first = self._body[0] if isinstance(self._body[0], bytearray) else bytearray(self._body[0])
            first += b"".join(self._body[1:])
            self._body = [first]

    def on_message_complete(self) -> None:
        """The body is whole."""
        if self._upgrading:
            return
        self._message_bytes = 0  # first: it may be answered before data_received() ends
        if self._body is None:
            super().on_message_complete()
            self.cycle.more_body = False  # also where it was answered already
            return
        parts, self._body = self._body, None
        cycle = cast("Cycle", self._hot_cycle)
        if cycle.outlived:
            self._hand_over(parts)
        else:
            # Where there are several parts, an array that a model may write to, which saves it a copy.
            cycle.start(parts[0] if len(parts) == 1 else bytearray().join(parts))

    def _hand_over(self, parts: list[bytes | bytearray]) -> None:
        """Let ASGI answer it."""
        self.cycle = None  # type: ignore[assignment]  # as before its headers
        self.headers = self._hot_headers
        self._start_asgi()
        for part in parts:
            super().on_body(bytes(part))
        super().on_message_complete()

    def _write(self, answer: Answer, keep_alive: bool) -> None:
        if self.server_state.default_headers is not self._default_headers:
            self._default_headers = self.server_state.default_headers
            self._default_lines = b"".join(name + b": " + value + b"\r\n" for name, value in self._default_headers)
            self._closing = CLOSE in self._default_headers
        keep_alive = keep_alive and not self._closing
        lines = [STATUS_LINE[answer.code], self._default_lines]
        for name, value in answer.headers:
            lines.append(b"%b: %b\r\n" % (name, value))
        lines.append(b"\r\n" if keep_alive or self._closing else b"connection: close\r\n\r\n")
        if sum(map(len, answer.chunks)) <= JOIN_BYTES:
            self.transport.write(b"".join([*lines, *answer.chunks]))
        else:
            self.transport.writelines([b"".join(lines), *answer.chunks])
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """Go on with a request that came meanwhile."""
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            if self.pipeline:
                self.flow.resume_reading()
                self._start_asgi_task(*self.pipeline.pop())
            elif self._refused is not None:
                self._say_and_close(self._refused.code, str(self._refused))
            else:
                self.flow.resume_reading()

    def stop_waiting(self) -> None:
        """Answer a request that the model has not answered."""
        if self._hot_cycle is not None:
            self._hot_cycle.stop()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self.last_read_seconds = self.loop.time()
        self._message_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._feed_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refused = self._refused or Refused(400, "Invalid HTTP request received.")
            if self.idle or self._is_receiving_body():
                self._say_and_close(self._refused.code, str(self._refused))
            else:  # after the answer to the request before
                self.flow.pause_reading()
        else:
            if self._message_bytes > self._limits.head_bytes and self._phase() is Phase.HEAD:
                refused = _head_too_large(self._limits)
                self._say_and_close(refused.code, str(refused))

    def _feed_without_upgrade(self, rest: bytes) -> None:
        """Give the parser the same request again, but for the offer."""
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self._upgrading = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        super().connection_lost(exc)
        if self._body is not None:
            self._body = None
            cast("Cycle", self._hot_cycle).broken_off()
        self.gone = True
        if self.when_gone is not None:
            self.when_gone()

    def send_400_response(self, msg: str) -> None:
        """Say that it was not HTTP, and close."""
        self._say_and_close(400, msg)

    def _say_and_close(self, code: int, sentence: str, lines: bytes = b"") -> None:
        body = encode_error(sentence)
        head = b"content-type: application/json\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[code] + head % (len(body), lines) + body)
        self.transport.close()


def _head_too_large(limits: Limits) -> Refused:
    return Refused(431, f"The headers are larger than {limits.head_bytes} bytes.")
