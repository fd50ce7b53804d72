"""uvicorn's HTTP/1.1 connection with limits for slow clients, errors as JSON, and what a drain needs to know."""

import array
import asyncio
import fcntl
import termios
from collections.abc import Callable
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from everwarm_server.protocol.v2_json import encode_error
from everwarm_server.transport.hot import Cycle, Hot
from everwarm_server.transport.http import CLIENT, CLOSE, JOIN_BYTES, Answer, scan

HEAD_SECONDS: Final = 10.0  # from a request's first byte to the end of its headers
HEAD_BYTES: Final = 65536  # of headers; they are read in pieces of up to 256 KiB, so this is no exact limit
# Longer than the 90 s after which Go's clients (Knative's queue-proxy) close an idle connection: if we closed first, a
# request might be on its way.
IDLE_SECONDS: Final = 120
HOT_BODY_SECONDS: Final = 1.0  # a body that takes longer is read by ASGI's way, which knows slow clients


class Connection(HttpToolsProtocol):
    """One connection. uvicorn itself waits for ever for the first byte, and for the end of the headers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.last_read_seconds = self._quiet_since_seconds = self.loop.time()
        self._idle_timer: asyncio.TimerHandle
        self.gone = False
        self.when_gone: Callable[[], None] | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._hot: Hot | None = getattr(self.config.app, "hot", None)
        self._hot_cycle: Cycle | None = None  # the last
        self._body: list[bytes] | None = None  # of a hot request, until it is whole
        self._body_timer: asyncio.TimerHandle | None = None
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
        """The client may say nothing for as long as an idle connection may."""
        super().connection_made(transport)
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        """One timer that looks back now and then; uvicorn starts and stops one for each request."""
        left = float(self.timeout_keep_alive)
        if self.idle:
            left -= self.loop.time() - self._quiet_since_seconds
            if left <= 0 and not self._head_bytes:
                self.transport.close()
                return
        self._idle_timer = self.loop.call_later(max(left, 1.0), self._close_if_idle)

    def on_message_begin(self) -> None:
        """Another request; what ASGI needs is made when it is asked."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def _start_asgi(self) -> None:
        url, headers, expect_100_continue = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expect_100_continue
        self.scope["headers"] = headers
        # Lets the application ask to be told when the client leaves; ASGI's way takes a task for each request.
        self.scope[CLIENT] = self  # type: ignore[typeddict-unknown-key]  # an extension of ours
        super().on_headers_complete()

    def on_headers_complete(self) -> None:
        """Take a plain inference request for ourselves; see hot.py."""
        cycle = self._plain()
        if cycle is None:
            self._start_asgi()
        else:
            self._hot_cycle = cycle
            self.cycle = cycle  # type: ignore[assignment]  # it has what is used of uvicorn's
            self._body = []

    def _plain(self) -> Cycle | None:
        if self._hot is None or not self._is_next() or self.expect_100_continue or self.flow.write_paused:
            return None
        endpoint = self._hot.endpoint(self.url)
        if endpoint is None or self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
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
            super().on_body(body)
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """The body is whole."""
        # It may be answered before data_received() ends, which then sees an idle connection.
        self._head_bytes = 0
        self._stop_head_timer()
        cycle = cast("Cycle", self._hot_cycle)
        if self._body is not None and cycle.outlived:
            self._stop_body_timer()
            self._hand_over()
        if self._body is None:
            super().on_message_complete()
            return
        parts, self._body = self._body, None
        self._stop_body_timer()
        # Where there are several parts, an array that a model may write to, which saves it a copy.
        cycle.start(parts[0] if len(parts) == 1 else bytearray().join(parts))

    def _hand_over(self) -> None:
        """Let ASGI read the body on."""
        parts, self._body = self._body or [], None
        self.cycle = None  # type: ignore[assignment]  # as before its headers
        self._body_timer = None
        self._start_asgi()
        for part in parts:
            super().on_body(part)

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
            self._quiet_since_seconds = self.loop.time()
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())

    def stop_waiting(self) -> None:
        """Answer a request that the model has not answered."""
        if self._hot_cycle is not None:
            self._hot_cycle.stop()

    def data_received(self, data: bytes) -> None:
        """Read on, and see that the headers come to an end."""
        self.last_read_seconds = self.loop.time()
        self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # not offered; the request is answered as any other
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        if self._body is not None and self._body_timer is None:
            self._body_timer = self.loop.call_later(HOT_BODY_SECONDS, self._hand_over)
        if not self.idle:
            self._head_bytes = 0
            self._stop_head_timer()
            return
        if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self._say_and_close(431, f"The headers are larger than {HEAD_BYTES} bytes.")
        elif self._head_bytes and self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._stop_head_timer()
        self._stop_body_timer()
        super().connection_lost(exc)
        if self._body is not None:
            self._body = None
            cast("Cycle", self._hot_cycle).broken_off()
        self.gone = True
        if self.when_gone is not None:
            self.when_gone()
        self._idle_timer.cancel()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_body_timer(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def send_400_response(self, msg: str) -> None:
        """Say that it was not HTTP, and close."""
        self._say_and_close(400, msg)

    def _say_and_close(self, code: int, sentence: str) -> None:
        body = encode_error(sentence)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[code] + head + body)
        self.transport.close()
