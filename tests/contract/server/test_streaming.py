"""Streams over real connections: events as they are made, clients that leave or lag, and the end of the server."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# Counts up to `n`, and writes how far it came.
COUNTER = """
import time

import numpy as np


class Model:
    metadata = {
        "inputs": [{"name": "n", "datatype": "INT64", "shape": [1]}],
        "outputs": [
            {"name": "filler", "datatype": "BYTES", "shape": [1]},
            {"name": "i", "datatype": "INT64", "shape": [1]},
        ],
    }

    async def predict(self, inputs, parameters):
        try:
            for i in range(int(inputs["n"][0])):
                (self.directory / "given").write_text(str(i))
                yield {"filler": ["x" * parameters.get("bytes", 0)], "i": np.array([i])}
                time.sleep(parameters.get("pause_seconds", 0))
        finally:
            (self.directory / "ended").touch()
"""
END = b"\r\n0\r\n\r\n"
PATH = "/v2/models/counter/generate_stream"


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    directory = tmp_path / "counter"
    directory.mkdir()
    (directory / "model.py").write_text(COUNTER)
    return directory


@contextmanager
def stream(server: Any, n: int, buffer_bytes: int | None = None, **parameters: Any) -> Iterator[socket.socket]:
    """A connection on which a stream was asked for."""
    body = json.dumps({"n": n, "parameters": parameters}).encode()
    with socket.socket() as connection:
        if buffer_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(
            b"POST %b HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n%b" % (PATH.encode(), len(body), body)
        )
        yield connection


def read_until(connection: socket.socket, text: bytes) -> bytes:
    read = b""
    while text not in read:
        part = connection.recv(65536)
        assert part, f"the connection ended after {read!r}"
        read += part
    return read


def test_an_event_is_there_as_soon_as_its_answer(start_server: Any, counter: Path) -> None:
    server = start_server(counter)
    with stream(server, 2, pause_seconds=2) as connection:
        start = time.monotonic()
        head = read_until(connection, b'"i":0}\n\n')
        assert time.monotonic() - start < 1.5
        assert b"200 OK" in head
        assert b"content-type: text/event-stream; charset=utf-8\r\n" in head
        assert b'"i":1}\n\n' in read_until(connection, END)
    assert server.metric("everwarm_requests_total", code="200") == 1


def test_a_client_that_leaves_frees_the_thread(start_server: Any, counter: Path) -> None:
    server = start_server(counter, concurrency=1)
    with stream(server, 1_000_000, pause_seconds=0.05) as connection:
        read_until(connection, b'"i":0}')
    server.until((counter / "ended").exists)
    with stream(server, 1) as connection:
        read_until(connection, END)
    assert server.metric("everwarm_requests_total", code="499") == 1


def test_a_deadline_ends_the_stream_and_frees_the_thread(start_server: Any, counter: Path) -> None:
    server = start_server(counter, concurrency=1)
    body = {"n": 1_000_000, "parameters": {"pause_seconds": 0.05}}
    reply = server.ask("POST", PATH, body, {"X-Request-Timeout-Ms": "500"})
    last = json.loads(reply.body.rpartition(b"data: ")[2])
    assert (reply.code, last) == (200, {"error": "The deadline of this request came before the end of its answer."})
    server.until((counter / "ended").exists)
    assert server.metric("everwarm_requests_total", code="504") == 1


def test_a_client_that_does_not_read_holds_the_model_back(start_server: Any, counter: Path) -> None:
    server = start_server(counter)
    with stream(server, 5000, buffer_bytes=65536, bytes=100_000) as connection:
        read_until(connection, b'"i":0')
        given = -1
        while int((counter / "given").read_text() or 0) != given:
            given = int((counter / "given").read_text() or 0)
            time.sleep(0.5)
        assert given < 500, "500 MB of answers would wait here"
        assert server.answers("/v2/health/ready") == 200
        read_until(connection, b'"i":%d' % (given + 5))


def test_a_stream_in_progress_ends_before_the_server_does(start_server: Any, counter: Path) -> None:
    server = start_server(counter)
    with stream(server, 4, pause_seconds=0.5) as connection:
        read_until(connection, b'"i":0}')
        server.terminate()
        rest = read_until(connection, END)
        assert b'"i":3}' in rest
        assert b'"error"' not in rest
    assert server.wait() == 0


def test_a_stream_that_takes_too_long_is_told_that_the_server_stops(start_server: Any, counter: Path) -> None:
    server = start_server(counter, shutdown_seconds=0.5)
    with stream(server, 100, pause_seconds=0.2) as connection:
        read_until(connection, b'"i":0}')
        server.terminate()
        assert b"The server stopped before the model had answered" in read_until(connection, END)
    assert server.wait() == 1
