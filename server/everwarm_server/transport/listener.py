"""An ASGI application on a listening socket; its end loses no request that a client was right to send.

uvicorn's own end closes the socket with connections in its backlog, and connections that were accepted but not read
(uvicorn#2757): their clients see a reset. Here: first the kernel is told to drop what comes new, then what has come is
accepted, then the socket closes, and each open connection is read from until it has been silent for a second.
"""

import asyncio
import contextlib
import ctypes
import select
import socket
import struct
from collections.abc import Generator
from functools import partial
from typing import Any, Final, cast

import uvicorn

from everwarm_server.transport.connection import Connection
from everwarm_server.transport.http import CLOSE
from everwarm_server.transport.limits import FULL, ROOMY, Limits
from everwarm_server.transport.router import Asgi

SILENCE_SECONDS: Final = 1.0  # after which a connection without a request is taken for an idle one
BACKLOG: Final = 2048
_SO_ATTACH_FILTER: Final = 26  # of Linux; not in Python's socket module
LAST_WORDS_SECONDS: Final = 1.0  # in which a request that was cut off is told so
_TICK_SECONDS: Final = 0.02
_UVICORN_TICK_SECONDS: Final = 0.1
ACCEPT_TURNS: Final = 1000
HANDSHAKE_SECONDS: Final = 0.1  # in which a handshake that had begun before comes to its end


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens at once, so that whoever comes while the server still starts waits and is not refused.

    Raises:
        OSError: the address can't be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def drop_new(listening: socket.socket) -> None:
    """Make the kernel drop packets that would open a connection (socket(7), SO_ATTACH_FILTER), where it can.

    Their clients try again and, once the socket is closed, are refused; without this, one that comes between the last
    accept() and the close() is reset after it has sent its request. Only the first packet of a handshake is dropped: a
    client whose last one is dropped takes itself for connected, sends, and is reset by the close() all the same.
    """
    instructions = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFF_FFFF))
    # Load the flags of the TCP header; is SYN set? then return 0 bytes, else all.
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in instructions))
    with contextlib.suppress(OSError):
        pointer = struct.pack("HL", len(instructions), ctypes.addressof(program))
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)


class Listener(uvicorn.Server):
    """One port. `serve_until_exit` returns after `should_exit` was set and the connections have ended."""

    def __init__(
        self, app: Asgi, listening: socket.socket, shutdown_seconds: float, limits: Limits | None = None
    ) -> None:
        limits = limits or Limits()
        config = uvicorn.Config(
            cast("Any", app),  # our types of the messages are looser than uvicorn's
            http=cast("type[asyncio.Protocol]", partial(Connection, limits=limits)),
            loop="none",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
        )
        super().__init__(config)
        self._limits = limits
        self._ticks_per_look = max(1, int(limits.look_seconds / _UVICORN_TICK_SECONDS))
        self._listening = listening
        self._shutdown_seconds = shutdown_seconds
        self.unanswered = 0

    @property
    def port(self) -> int:
        """The port, also where any free one was asked for."""
        return cast("int", self._listening.getsockname()[1])

    async def serve_until_exit(self) -> None:
        """Serve."""
        await self.serve(sockets=[self._listening])

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are the application's."""
        yield

    def close_connections_after_answers(self) -> None:
        """From now on each answer says Connection: close; to ask again changes nothing."""
        if CLOSE not in self.server_state.default_headers:
            self.config.encoded_headers = [*self.config.encoded_headers, CLOSE]
            self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]

    async def on_tick(self, counter: int) -> bool:
        """Look at a part of the connections, and at all of them within `look_seconds`: 3 us each."""
        turn = counter % self._ticks_per_look
        self._close_overdue([one for one in self._connections if one.number % self._ticks_per_look == turn])
        if turn == 0:
            self._make_room()
        return await super().on_tick(counter)

    def _close_overdue(self, connections: "list[Connection]") -> None:
        now_seconds = asyncio.get_running_loop().time()
        for connection in connections:
            connection.close_if_overdue(now_seconds)

    def _make_room(self) -> None:
        most = self._limits.connections
        if len(self._connections) <= FULL * most:
            return
        now_seconds = asyncio.get_running_loop().time()
        idle = [one for one in self._connections if one.idle_seconds(now_seconds) > 0]
        idle.sort(key=lambda one: one.idle_seconds(now_seconds), reverse=True)
        for connection in idle[: len(self._connections) - int(ROOMY * most)]:
            connection.close_if_silent()

    @property
    def _connections(self) -> "set[Connection]":
        return cast("set[Connection]", self.server_state.connections)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, then wait for the connections; `unanswered` says how many requests the time limit cut off."""
        del sockets
        self.close_connections_after_answers()
        drop_new(self._listening)
        poll = select.poll()
        poll.register(self._listening, select.POLLIN)
        end = asyncio.get_running_loop().time() + self._shutdown_seconds
        await asyncio.sleep(HANDSHAKE_SECONDS)
        for _ in range(ACCEPT_TURNS):
            await asyncio.sleep(0.001)  # the loop accepts
            if not poll.poll(0):
                break
        for server in self.servers:
            server.close()
        await self._finish(end)

    async def _finish(self, end: float) -> None:
        loop = asyncio.get_running_loop()
        closed = loop.time()
        connections = self._connections
        while connections and loop.time() < end and not self.force_exit:
            silent_since = loop.time() - SILENCE_SECONDS
            for connection in list(connections):
                silent = max(closed, connection.last_read_seconds) <= silent_since
                if connection.idle and silent:
                    connection.close_if_silent()
            self._close_overdue(list(connections))
            await asyncio.sleep(_TICK_SECONDS)
        self.unanswered = sum(not connection.idle for connection in connections)
        for connection in list(connections):
            connection.stop_waiting()
        for task in self.server_state.tasks:
            task.cancel()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=LAST_WORDS_SECONDS)
