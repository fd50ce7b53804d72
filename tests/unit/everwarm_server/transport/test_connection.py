import asyncio
from collections.abc import Callable
from typing import Any

import looptime
import pytest
import uvicorn
from uvicorn.server import ServerState

from everwarm_server.transport.connection import Connection
from everwarm_server.transport.limits import Limits

LIMITS = Limits()
HEAD_SECONDS, IDLE_SECONDS, BODY_SECONDS = LIMITS.head_seconds, LIMITS.idle_seconds, LIMITS.body_seconds
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed_at: float | None = None
        self.aborted = False
        self.unread_bytes = 0

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        if self.closed_at is None:
            self.closed_at = asyncio.get_running_loop().time()

    def is_closing(self) -> bool:
        return self.closed_at is not None

    def abort(self) -> None:
        self.aborted = True

    def get_write_buffer_size(self) -> int:
        return self.unread_bytes

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return FakeSocket() if name == "socket" else default


class FakeSocket:
    def fileno(self) -> int:
        raise OSError

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 1

    getpeername = getsockname


async def look_each_second(connection: Connection) -> None:
    """As the listener does."""
    while True:
        connection.close_if_overdue(asyncio.get_running_loop().time())
        await asyncio.sleep(1)


async def answer_after(seconds: float, send: Any) -> None:
    await asyncio.sleep(seconds)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


def opened(answer_seconds: float, limits: Limits = LIMITS) -> tuple[Connection, FakeTransport]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer_after(answer_seconds, send)

    config = uvicorn.Config(app, http=Connection, ws="none", lifespan="off", log_config=None)
    config.load()
    loop = asyncio.get_running_loop()
    connection = Connection(config=config, server_state=ServerState(), app_state={}, _loop=loop, limits=limits)
    transport = FakeTransport()
    connection.connection_made(transport)
    return connection, transport


def in_fake_time(scenario: Callable[[], Any]) -> Any:
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        return runner.run(scenario())


UPLOAD = b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "closed_at", "said"),
    [
        ([], IDLE_SECONDS, b""),
        ([(0, REQUEST)], IDLE_SECONDS, b"HTTP/1.1 200"),  # answered at once, then idle
        ([(5, REQUEST[:9])], 5 + HEAD_SECONDS, b"HTTP/1.1 408"),  # headers that never end
        ([(second, REQUEST[second : second + 1]) for second in range(20)], HEAD_SECONDS, b"HTTP/1.1 408"),
        ([(second, b"\r\n") for second in range(1, 20)], 1 + HEAD_SECONDS, b"HTTP/1.1 408"),  # nothing, again and again
        ([(0, REQUEST), (3, REQUEST[:9]), (4, REQUEST[9:])], 4 + IDLE_SECONDS, b"HTTP/1.1 200"),
        ([(0, REQUEST), (3, REQUEST[:9])], 3 + HEAD_SECONDS, b"HTTP/1.1 200"),
        ([(0, REQUEST[:9]), (8, REQUEST[9:] + UPLOAD)], 8 + BODY_SECONDS, b"HTTP/1.1 200"),
        ([(2, UPLOAD)], 2 + BODY_SECONDS, b""),
        ([(2, UPLOAD), *((second, b"x") for second in range(3, 60))], 2 + BODY_SECONDS, b""),
        ([(second, UPLOAD if second == 0 else b"x" * 2048) for second in range(60)], 2 * BODY_SECONDS, b""),
    ],
)
def test_a_slow_client_is_cut_off(pieces: list[tuple[float, bytes]], closed_at: float, said: bytes) -> None:
    async def scenario() -> tuple[float | None, bytes]:
        connection, transport = opened(answer_seconds=0)
        looking = asyncio.create_task(look_each_second(connection))
        now = 0.0
        for at, piece in pieces:
            await asyncio.sleep(at - now)
            now = at
            if not transport.is_closing():
                connection.data_received(piece)
        await asyncio.sleep(2 * IDLE_SECONDS)
        looking.cancel()
        return transport.closed_at, transport.written

    got_closed_at, written = in_fake_time(scenario)
    assert got_closed_at == pytest.approx(closed_at, abs=2.01)
    assert written.startswith(said)


def test_a_request_that_is_answered_before_its_body_has_come_is_followed_by_another() -> None:
    async def scenario() -> bytes:
        connection, transport = opened(answer_seconds=0)
        connection.data_received(b"POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n")
        await asyncio.sleep(1)
        for part in (b"x" * 100_000, b"x" * 100_000, REQUEST):
            connection.data_received(part)
        await asyncio.sleep(1)
        return transport.written

    assert in_fake_time(scenario).count(b"HTTP/1.1 200") == 2


def test_whoever_sends_fast_enough_may_send_for_long() -> None:
    async def scenario() -> float | None:
        connection, transport = opened(answer_seconds=1000)
        looking = asyncio.create_task(look_each_second(connection))
        connection.data_received(UPLOAD)
        for _ in range(600):
            await asyncio.sleep(1)
            connection.data_received(b"x" * 5000)
        looking.cancel()
        return transport.closed_at

    assert in_fake_time(scenario) is None


@pytest.mark.parametrize(
    ("unread", "aborted_after_seconds"),
    [
        (lambda second: 0, None),
        (lambda second: 1, 30),
        (lambda second: 10**6, 30),  # nothing is taken
        (lambda second: 409_600 - second, 130),  # a byte a second
        (lambda second: max(0, 10**6 - 10_000 * second), None),
        (lambda second: 1 if second % 20 else 0, None),  # another answer each time
        (lambda second: 10**6 + second, 30),  # more is written, and nothing taken
    ],
)
def test_whoever_does_not_read_is_cut_off(unread: Callable[[int], int], aborted_after_seconds: float | None) -> None:
    async def scenario() -> float | None:
        connection, transport = opened(answer_seconds=0)
        connection.data_received(REQUEST)
        await asyncio.sleep(0.1)
        for second in range(150):
            transport.unread_bytes = unread(second)
            connection.close_if_overdue(float(second))
            if transport.aborted:
                return float(second)
        return None

    seconds = in_fake_time(scenario)
    assert seconds == (None if aborted_after_seconds is None else pytest.approx(aborted_after_seconds, abs=1))


def test_too_many_connections_are_refused() -> None:
    async def scenario() -> bytes:
        connection, _ = opened(answer_seconds=0, limits=Limits(connections=1))
        state = connection.server_state
        second = Connection(
            config=connection.config,
            server_state=state,
            app_state={},
            _loop=connection.loop,
            limits=Limits(connections=1),
        )
        transport = FakeTransport()
        second.connection_made(transport)
        assert transport.closed_at is not None
        return transport.written

    written = in_fake_time(scenario)
    assert written.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nretry-after: 1\r\n" in written
    assert written.endswith(b'{"error":"This replica has 1 connections already; try again later."}')


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100 + b"\r\n", b"200"),
        (b"GET / HTTP/1.1\r\na: " + b"b" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000, b"200"),
        (b"GET / HTTP/2.0\r\n\r\n", b"505"),
        (b"GET /\r\n\r\n", b"505"),
        (b"CONNECT example.com:443 HTTP/1.1\r\n\r\n", b"405"),
        (b"GET http://x:99999999/ HTTP/1.1\r\n\r\n", b"400"),
    ],
)
def test_heads_have_limits(request_bytes: bytes, code: bytes) -> None:
    async def scenario() -> bytes:
        connection, transport = opened(answer_seconds=0)
        connection.data_received(request_bytes)
        await asyncio.sleep(1)
        return transport.written

    assert in_fake_time(scenario).split()[1] == code


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
