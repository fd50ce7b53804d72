"""Clients that send or read slowly, or nothing at all, against a real process with short limits."""

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

HEAD = b"POST /v2/models/bendable/infer HTTP/1.1\r\nHost: x\r\n"
LIMITS = {"head_seconds": 0.6, "body_seconds": 0.6, "idle_seconds": 1.2, "unread_seconds": 0.8}
LATE_SECONDS = 2.0  # how much later than its limit a connection may be closed on a machine that others use


@pytest.fixture(scope="module")
def server(start_shared: Any, bendable: Any) -> Any:
    return start_shared(bendable, **LIMITS)


def until_closed(server: Any, first: bytes, again: bytes = b"") -> tuple[float, bytes]:
    """Send something, then some more each 50 ms: seconds until the connection ends, and what was said."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(first)
        connection.settimeout(0.05)
        start, said = time.monotonic(), b""
        while time.monotonic() - start < 10:
            try:
                chunk = connection.recv(65536)
            except TimeoutError:
                connection.sendall(again)
            except ConnectionResetError:
                break
            else:
                said += chunk
                if not chunk:
                    break
        return time.monotonic() - start, said


@pytest.mark.parametrize(
    ("first", "again", "after_seconds", "said"),
    [
        (b"", b"", LIMITS["idle_seconds"], b""),
        (b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n", b"", LIMITS["idle_seconds"], b"HTTP/1.1 200"),
        (b"POST / HT", b"", LIMITS["head_seconds"], b"HTTP/1.1 408"),
        (HEAD + b"X-Slow: ", b"a", LIMITS["head_seconds"], b"HTTP/1.1 408"),
        (HEAD + b"Content-Length: 1000\r\n\r\n{", b"", LIMITS["body_seconds"], b"HTTP/1.1 408"),
        (HEAD + b"Content-Length: 1000\r\n\r\n{", b" ", LIMITS["body_seconds"], b"HTTP/1.1 408"),
        (
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
            b"1\r\n \r\n",
            LIMITS["body_seconds"],
            b"HTTP/1.1 408",
        ),
        (
            HEAD.replace(b"infer", b"none") + b"Content-Length: 1000\r\n\r\n{",
            b" ",
            LIMITS["body_seconds"],
            b"HTTP/1.1 404",  # the body of what is refused is waited for, but no longer
        ),
    ],
    ids=["silent", "idle", "half a head", "slow head", "no body", "slow body", "slow chunks", "slow body to nowhere"],
)
def test_a_slow_client_is_cut_off_with_a_word(
    server: Any, first: bytes, again: bytes, after_seconds: float, said: bytes
) -> None:
    seconds, answer = until_closed(server, first, again)
    assert answer.startswith(said)
    assert after_seconds - 0.05 <= seconds <= after_seconds + LATE_SECONDS
    assert server.infer().code == 200


def test_a_slow_body_is_counted_as_408(server: Any) -> None:
    before = server.metric("everwarm_requests_total", code="408")
    until_closed(server, HEAD + b"Content-Length: 1000\r\n\r\n{")
    until_closed(server, HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
    assert server.metric("everwarm_requests_total", code="408") == (0 if before != before else before) + 2
    assert server.metric("everwarm_in_flight_requests") == 0


def test_a_client_that_reads_nothing_is_cut_off(server: Any) -> None:
    rows = 500_000
    raw = bytes(rows * 8)
    tensor = {"name": "x", "shape": [rows, 2], "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    lines = b"Inference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n" % (len(header), len(header) + len(raw))
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(HEAD + lines + header + raw)
        server.until(lambda: open_connections(server) >= 1)
        server.until(lambda: open_connections(server) == 0)
    assert server.infer().code == 200


def open_connections(server: Any) -> int:
    """Sockets of the process that are connected."""
    with Path(f"/proc/{server.process.pid}/net/tcp").open() as table:
        established = "01"
        lines = [line.split() for line in table.readlines()[1:]]
    return sum(int(line[1].split(":")[1], 16) == server.port and line[3] == established for line in lines)


def test_slow_clients_hold_up_nobody(start_server: Any, bendable: Any) -> None:
    server = start_server(bendable, max_connections=400, **LIMITS | {"head_seconds": 30, "idle_seconds": 30})
    slow = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(300)]
    for index, connection in enumerate(slow):
        connection.sendall((b"", b"POST / HT", HEAD + b"X-Slow: ")[index % 3])
    start = time.monotonic()
    assert [server.infer().code for _ in range(50)] == [200] * 50
    assert time.monotonic() - start < 10
    for connection in slow:
        connection.close()


def test_beyond_the_most_connections_new_ones_are_refused_until_idle_ones_made_room(
    start_server: Any, bendable: Any
) -> None:
    server = start_server(bendable, max_connections=20, head_seconds=1, idle_seconds=100)
    idle = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(20)]
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as refused:
        answer = refused.recv(65536)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in answer
    server.until(lambda: server.answers("/v2/health/live") == 200)
    for connection in idle:
        connection.close()
