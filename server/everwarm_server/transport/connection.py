"""uvicorn's HTTP/1.1 connection with limits for slow clients, errors as JSON, and what a drain needs to know."""

import array
import asyncio
import fcntl
import termios
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from everwarm_server.protocol.v2_json import encode_error
from everwarm_server.transport.http import CLIENT

HEAD_SECONDS: Final = 10.0  # from a request's first byte to the end of its headers
HEAD_BYTES: Final = 65536  # of headers; they are read in pieces of up to 256 KiB, so this is no exact limit
# Longer than the 90 s after which Go's clients (Knative's queue-proxy) close an idle connection: if we closed first, a
# request might be on its way.
IDLE_SECONDS: Final = 120


class Connection(HttpToolsProtocol):
    """One connection. uvicorn itself waits for ever for the first byte, and for the end of the headers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.last_read_seconds = self.loop.time()
        self.gone = False
        self.when_gone: Callable[[], None] | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0

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
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def on_message_begin(self) -> None:
        """Let the application ask to be told when the client leaves; ASGI's way takes a task for each request."""
        super().on_message_begin()
        self.scope[CLIENT] = self  # type: ignore[typeddict-unknown-key]  # an extension of ours

    def data_received(self, data: bytes) -> None:
        """Read on, and see that the headers come to an end."""
        self.last_read_seconds = self.loop.time()
        super().data_received(data)
        if not self.idle:
            self._head_bytes = 0
            self._stop_head_timer()
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self._say_and_close(431, f"The headers are larger than {HEAD_BYTES} bytes.")
        elif self._head_timer is None and self.timeout_keep_alive_task is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._stop_head_timer()
        super().connection_lost(exc)
        self.gone = True
        if self.when_gone is not None:
            self.when_gone()
        self._unset_keepalive_if_required()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def send_400_response(self, msg: str) -> None:
        """Say that it was not HTTP, and close."""
        self._say_and_close(400, msg)

    def _say_and_close(self, code: int, sentence: str) -> None:
        body = encode_error(sentence)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[code] + head + body)
        self.transport.close()
