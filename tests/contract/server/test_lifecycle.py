"""Start, readiness, the thread that computes, and the end of a real process."""

import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest


def test_it_lives_at_once_and_is_ready_when_the_model_is(start_server: Any, bendable: Path, tmp_path: Path) -> None:
    slow = tmp_path / "bendable"
    slow.mkdir()
    (slow / "model.py").write_text((bendable / "model.py").read_text())
    (slow / "load_seconds").write_text("2")
    server = start_server(slow, wait_ready=False)
    server.until(lambda: server.answers("/v2/health/live") == 200)
    reply = server.ask("GET", "/v2/health/ready")
    assert (reply.code, reply.json) == (
        503,
        {"error": "The model 'bendable' is still being loaded; try again later."},
    )
    assert server.infer().code == 503
    assert server.metric("everwarm_model_ready") == 0
    server.until(lambda: server.answers("/v2/health/ready") == 200)
    assert server.infer().code == 200
    assert server.metric("everwarm_model_ready") == 1
    # The imports of both threads, not compiled yet, may come on top.
    assert 2.0 <= server.metric("everwarm_load_seconds", phase="load") < 10.0


def test_a_model_that_cant_be_loaded_ends_the_process_with_a_sentence(start_server: Any, tmp_path: Path) -> None:
    server = start_server(tmp_path, wait_ready=False)
    assert server.wait() == 1
    log = server.log.read_text()
    assert "The model can't be served: " in log
    assert "the process ends with code 1" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"host": "0.0.0.0"}, "set EVERWARM_API_TOKEN, or EVERWARM_ALLOW_UNAUTHENTICATED=true"),
        ({"concurrency": 0}, "EVERWARM_CONCURRENCY"),
    ],
)
def test_wrong_settings_end_it_with_a_sentence(
    start_server: Any, bendable: Path, settings: dict[str, Any], sentence: str
) -> None:
    server = start_server(bendable, wait_ready=False, **settings)
    assert server.wait() == 2
    assert sentence in server.log.read_text()


def test_a_port_that_is_taken_ends_it_with_a_sentence(start_server: Any, bendable: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = start_server(bendable, wait_ready=False, port=taken.getsockname()[1])
        assert server.wait() == 1
    assert "can't listen on 127.0.0.1" in server.log.read_text()


@pytest.mark.parametrize("work", ["sleep_seconds", "busy_seconds"])
def test_health_answers_at_once_while_the_model_computes(start_server: Any, bendable: Path, work: str) -> None:
    server = start_server(bendable)
    waits_seconds = []
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(server.infer, **{work: 1.5})
        server.until(lambda: server.metric("everwarm_in_flight_requests") == 1)
        while not answer.done():
            start = time.perf_counter()
            assert server.answers("/v2/health/ready") == 200
            waits_seconds.append(time.perf_counter() - start)
    assert answer.result().code == 200
    # A shared machine may hold any one answer up; a blocked loop holds them all up, for as long as the model computes.
    late = sum(wait > 0.1 for wait in waits_seconds)
    assert late <= 0.02 * len(waits_seconds) + 1
    assert max(waits_seconds) < 0.5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_after_the_signal_it_is_not_ready_but_answers_until_the_drain_is_over(
    start_server: Any, bendable: Path, number: int
) -> None:
    server = start_server(bendable, drain_seconds=1.5)
    assert "connection" not in server.infer().headers
    server.process.send_signal(number)
    server.until(lambda: server.answers("/v2/health/ready") == 503)
    assert server.answers("/v2/health/live") == 200
    assert server.metric("everwarm_model_ready") == 0
    reply = server.infer()
    assert (reply.code, reply.headers["connection"]) == (200, "close")
    with ThreadPoolExecutor(1) as threads:
        late = threads.submit(server.infer, sleep_seconds=2.5)  # longer than what is left of the drain
        assert late.result().code == 200
    assert server.wait() == 0
    assert server.answers("/v2/health/live") == 0


def test_what_waits_is_answered_too(start_server: Any, bendable: Path) -> None:
    server = start_server(bendable)
    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(server.infer, sleep_seconds=0.4) for _ in range(4)]
        server.until(lambda: server.metric("everwarm_in_flight_requests") == 4)
        server.terminate()
        assert [answer.result().code for answer in answers] == [200] * 4
    assert server.wait() == 0


def test_beyond_the_time_limit_it_ends_and_says_what_was_lost(start_server: Any, bendable: Path) -> None:
    server = start_server(bendable, shutdown_seconds=0.3)
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(server.infer, sleep_seconds=30)
        server.until(lambda: server.metric("everwarm_in_flight_requests") == 1)
        server.terminate()
        assert server.wait(5) == 1
        assert answer.result().code == 503
        assert "stopped before the model had answered" in answer.result().json["error"]
    assert '"unanswered": 1' in server.log.read_text()


def test_a_second_signal_ends_it_at_once(start_server: Any, bendable: Path) -> None:
    server = start_server(bendable, drain_seconds=60)
    server.terminate()
    server.until(lambda: server.answers("/v2/health/ready") == 503)
    server.terminate()
    assert server.wait(3) == 128 + signal.SIGTERM


def test_a_signal_while_it_loads_ends_it_at_once(start_server: Any, bendable: Path, tmp_path: Path) -> None:
    slow = tmp_path / "bendable"
    slow.mkdir()
    (slow / "model.py").write_text((bendable / "model.py").read_text())
    (slow / "load_seconds").write_text("60")
    server = start_server(slow, wait_ready=False, drain_seconds=60)
    server.until(lambda: server.answers("/v2/health/live") == 200)
    server.terminate()
    assert server.wait(5) == 0


def test_a_connection_that_was_accepted_before_the_end_and_speaks_after_it_is_answered(
    start_server: Any, bendable: Path
) -> None:
    server = start_server(bendable)
    for _ in range(3):
        assert server.infer().code == 200
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        server.terminate()
        time.sleep(0.3)
        connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer
    assert server.wait() == 0


def test_idle_connections_do_not_hold_it_up(start_server: Any, bendable: Path) -> None:
    server = start_server(bendable)
    idle = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(20)]
    idle[0].sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    assert idle[0].recv(65536).startswith(b"HTTP/1.1 200")
    server.terminate()
    start = time.monotonic()
    assert server.wait() == 0
    assert time.monotonic() - start < 3
    for connection in idle:
        connection.close()


def test_a_client_that_leaves_the_queue_frees_its_place(start_server: Any, bendable: Path) -> None:
    server = start_server(bendable, queue_size=1)
    running = threading.Thread(target=server.infer, kwargs={"sleep_seconds": 1.5})
    running.start()
    server.until(lambda: server.metric("everwarm_in_flight_requests") == 1)
    waiting = raw_infer(server, sleep_seconds=30)
    server.until(lambda: server.metric("everwarm_in_flight_requests") == 2)
    assert server.infer().code == 503
    waiting.close()
    server.until(lambda: server.metric("everwarm_requests_total", code="499") == 1)
    reply = server.infer()
    running.join()
    # After the warm-up and the first one it was the third call: the one whose client left never ran.
    assert (reply.code, reply.json["outputs"][1]["data"]) == (200, [3])
    assert server.metric("everwarm_in_flight_requests") == 0


def raw_infer(server: Any, **parameters: Any) -> socket.socket:
    """Send a request, and give the connection without reading the answer."""
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    body = json.dumps({"inputs": [tensor], "parameters": parameters}).encode()
    head = f"POST /v2/models/bendable/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    connection.sendall(head.encode() + body)
    return connection


def test_beyond_the_queue_requests_get_503_and_the_server_survives(start_server: Any, bendable: Path) -> None:
    server = start_server(bendable, queue_size=2)
    with ThreadPoolExecutor(16) as threads:
        replies = list(threads.map(lambda _: server.infer(sleep_seconds=0.3), range(16)))
    codes = [reply.code for reply in replies]
    assert set(codes) == {200, 503}
    assert codes.count(200) >= 3
    refused = next(reply for reply in replies if reply.code == 503)
    assert int(refused.headers["retry-after"]) >= 1
    assert "wait for this replica" in refused.json["error"]
    assert server.metric("everwarm_requests_total", code="503") == codes.count(503)
    assert server.infer().code == 200
