import asyncio
from collections.abc import Callable
from typing import Any

import looptime
import pytest
import uvicorn
from uvicorn.server import ServerState

from everwarm_server.transport.connection import HEAD_SECONDS, IDLE_SECONDS, Connection

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed_at: float | None = None

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        if self.closed_at is None:
            self.closed_at = asyncio.get_running_loop().time()

    def is_closing(self) -> bool:
        return self.closed_at is not None

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in {"sockname", "peername"} else default


async def answer_after(seconds: float, send: Any) -> None:
    await asyncio.sleep(seconds)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


def opened(answer_seconds: float) -> tuple[Connection, FakeTransport]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer_after(answer_seconds, send)

    config = uvicorn.Config(
        app, http=Connection, ws="none", lifespan="off", log_config=None, timeout_keep_alive=IDLE_SECONDS
    )
    config.load()
    connection = Connection(config=config, server_state=ServerState(), app_state={}, _loop=asyncio.get_running_loop())
    transport = FakeTransport()
    connection.connection_made(transport)
    return connection, transport


def in_fake_time(scenario: Callable[[], Any]) -> Any:
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        return runner.run(scenario())


@pytest.mark.parametrize(
    ("pieces", "closed_at"),
    [
        ([], IDLE_SECONDS),
        ([(0, REQUEST)], IDLE_SECONDS),  # answered at once, then idle
        ([(5, REQUEST[:9])], 5 + HEAD_SECONDS),  # headers that never end
        ([(second, REQUEST[second : second + 1]) for second in range(20)], HEAD_SECONDS),  # a byte a second
        ([(second, b"\r\n") for second in range(1, 20)], 1 + HEAD_SECONDS),  # nothing, again and again
        ([(0, REQUEST), (3, REQUEST[:9]), (4, REQUEST[9:])], 4 + IDLE_SECONDS),
        ([(0, REQUEST), (3, REQUEST[:9])], 3 + HEAD_SECONDS),
    ],
)
def test_a_slow_client_is_cut_off(pieces: list[tuple[float, bytes]], closed_at: float) -> None:
    async def scenario() -> float | None:
        connection, transport = opened(answer_seconds=0)
        now = 0.0
        for at, piece in pieces:
            await asyncio.sleep(at - now)
            now = at
            if not transport.is_closing():
                connection.data_received(piece)
        await asyncio.sleep(2 * IDLE_SECONDS)
        return transport.closed_at

    assert in_fake_time(scenario) == pytest.approx(closed_at, abs=0.01)


def test_a_slow_answer_is_waited_for() -> None:
    async def scenario() -> tuple[bool, bool, bytes]:
        connection, transport = opened(answer_seconds=1000)
        connection.data_received(REQUEST)
        await asyncio.sleep(999)
        waiting = connection.idle
        await asyncio.sleep(2)
        return waiting, connection.idle, transport.written

    waiting, idle, written = in_fake_time(scenario)
    assert (waiting, idle) == (False, True)
    assert written.startswith(b"HTTP/1.1 200 OK\r\n")


def test_what_is_not_http_is_answered_as_json_and_closed() -> None:
    async def scenario() -> tuple[bytes, float | None]:
        connection, transport = opened(answer_seconds=0)
        connection.data_received(b"\x16\x03\x01 TLS on a plain port")
        return transport.written, transport.closed_at

    written, closed_at = in_fake_time(scenario)
    assert written.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert written.endswith(b'{"error":"Invalid HTTP request received."}')
    assert closed_at == 0


def test_headers_without_end_are_refused() -> None:
    async def scenario() -> tuple[bytes, int]:
        connection, transport = opened(answer_seconds=0)
        connection.data_received(b"GET / HTTP/1.1\r\n")
        sent = 0
        while not transport.is_closing():
            connection.data_received(b"x-header: " + b"x" * 990 + b"\r\n")
            sent += 1000
        return transport.written, sent

    written, sent = in_fake_time(scenario)
    assert written.startswith(b"HTTP/1.1 431 ")
    assert sent < 70_000


def test_whoever_asked_is_told_when_the_client_leaves() -> None:
    async def scenario() -> list[str]:
        connection, _ = opened(answer_seconds=10)
        connection.data_received(REQUEST)
        told: list[str] = []
        connection.when_gone = lambda: told.append("gone")
        assert not connection.gone
        connection.connection_lost(None)
        assert connection.gone
        return told

    assert in_fake_time(scenario) == ["gone"]
