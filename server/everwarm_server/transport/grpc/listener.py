"""The gRPC port, and its end, which loses no call that a client was right to make.

grpc's own end, Server.stop(), tells clients to go (GOAWAY), and cancels the calls that they make before they have read
that: of 24 busy clients 16 lose one. So here a connection becomes old after a few seconds, at all times: its client is
told to open another, and what it calls until then is answered. At the end the kernel is told to drop what comes new, as
listener.py does for HTTP. Once the last connection has become old nobody is left who could call, and the server stops.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc

from everwarm_server.repository import Repository
from everwarm_server.telemetry.watch import Watch
from everwarm_server.transport.grpc.service import TokenRequired, add_services
from everwarm_server.transport.listener import HANDSHAKE_SECONDS, drop_new

_AGE_JITTER: Final = 1.1  # grpc lets connections live 10 % longer or shorter
_TICK_SECONDS: Final = 0.02
_LAST_WORDS_SECONDS: Final = 1.0
_ESTABLISHED: Final = "01"  # in /proc/net/tcp
_LOG: Final = logging.getLogger(__name__)


class GrpcListener:
    """One port. `serve_until_exit` returns after `should_exit` was set and the calls have ended.

    Args:
        address: host and port.
        repository: what is served.
        server_name: as the metadata calls the server.
        tokens: what calls must carry, if anything, and those that load or unload a model in place of it.
        max_message_bytes: of a request, before and after it is inflated.
        connection_seconds: after which a client is asked to open another connection.
        shutdown_seconds: that connections and calls may take to end.
        watch: looks at requests, if somebody wants that.
    """

    def __init__(
        self,
        address: tuple[str, int],
        repository: Repository,
        *,
        server_name: str,
        tokens: tuple[str | None, str | None],
        max_message_bytes: int,
        connection_seconds: float,
        shutdown_seconds: float,
        watch: Watch | None = None,
    ) -> None:
        self._watch = watch
        self._host, self.port = address
        self._repository = repository
        self._server_name = server_name
        self._tokens = [None if token is None else token.encode() for token in tokens]
        self._options = _options(max_message_bytes, connection_seconds)
        self._connection_seconds = connection_seconds
        self._shutdown_seconds = shutdown_seconds
        self._closing = asyncio.Event()
        self.unanswered = 0

    @property
    def should_exit(self) -> bool:
        """Whether it ends."""
        return self._closing.is_set()

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        if value:
            self._closing.set()

    async def serve_until_exit(self) -> None:
        """Serve.

        Raises:
            OSError: the port can't be had.
        """
        interceptors = (TokenRequired(*self._tokens),) if any(self._tokens) else ()
        server = grpc.aio.server(options=self._options, interceptors=interceptors)
        inference = add_services(server, self._repository, self._server_name, self._closing, self._watch)
        host = f"[{self._host}]" if ":" in self._host else self._host
        try:
            self.port = server.add_insecure_port(f"{host}:{self.port}")
        except RuntimeError as error:
            raise OSError(f"the gRPC port {self.port} can't be had: {error}") from error
        await server.start()
        _LOG.info("Listening for gRPC", extra={"host": self._host, "port": self.port})
        await self._closing.wait()
        await self._finish(server, inference)

    async def _finish(self, server: Any, inference: Any) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._shutdown_seconds
        old = min(end, loop.time() + HANDSHAKE_SECONDS + self._connection_seconds * _AGE_JITTER)
        for listening in _listening(self.port):
            with contextlib.closing(listening):
                drop_new(listening)
        await asyncio.sleep(HANDSHAKE_SECONDS)
        while loop.time() < old and _connections(self.port):  # noqa: ASYNC110 - the kernel sets no Event
            await asyncio.sleep(_TICK_SECONDS)
        stopping = asyncio.create_task(server.stop(max(0.0, end - loop.time()) + _LAST_WORDS_SECONDS))
        await asyncio.wait({stopping}, timeout=max(0.0, end - loop.time()))
        self.unanswered = inference.active
        await stopping


def _options(max_message_bytes: int, connection_seconds: float) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # a second server on the port would get half of the connections
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", 16 * 1024),
        ("grpc.max_concurrent_streams", 256),  # the next wait at their client
        ("grpc.max_connection_age_ms", int(connection_seconds * 1000)),
        ("grpc.keepalive_time_ms", 60_000),  # a client that is gone without a word is noticed after ...
        ("grpc.keepalive_timeout_ms", 20_000),  # ... this much more
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # more pings from a client are a flood
    ]


def _listening(port: int) -> Iterator[socket.socket]:
    """Copies of the sockets of this process that listen on a port; grpc does not hand them out."""
    with contextlib.suppress(OSError):
        for entry in list(Path("/proc/self/fd").iterdir()):
            with contextlib.suppress(OSError):
                if not entry.is_socket():
                    continue
                copy = socket.socket(fileno=os.dup(int(entry.name)))
                if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and copy.getsockname()[1] == port:
                    yield copy
                else:
                    copy.close()


def _connections(port: int) -> int:
    """How many connections to a port are open, by the kernel's tables; where there are none, as if one were."""
    tables = [path for path in (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6")) if path.exists()]
    if not tables:
        return 1
    ours = f":{port:04X}"
    rows = (line.split() for path in tables for line in path.read_text().splitlines()[1:])
    return sum(row[3] == _ESTABLISHED and row[1].endswith(ours) for row in rows)
