"""What `everwarm up` promises: it answers, scales, holds the first request, and leaves nothing behind."""

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

DOUBLED = [3.0, -4.0]
SHORT = ("--window", "3s", "--policy", "paper", "--low-utilization", "3s")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found through /proc")


def outputs(response: httpx.Response) -> list[float]:
    assert response.status_code == 200, response.text
    values: list[float] = response.json()["outputs"][0]["data"]
    return values


def test_concurrent_requests_bring_more_replicas_and_ctrl_c_ends_all(up: Callable[..., Any], model: Path) -> None:
    running = up(model, "--max-replicas", "3", "--interval", "500ms")
    with ThreadPoolExecutor(6) as pool:
        deadline = time.monotonic() + 45
        peak = 0
        while peak < 3 and time.monotonic() < deadline:
            answers = list(pool.map(lambda _: running.infer(), range(12)))
            assert [outputs(answer) for answer in answers] == [DOUBLED] * 12
            peak = max(peak, len(running.servers()))
    assert peak == 3
    running.eventually(lambda it: it.said("replicas 3 ready"), 20, "three ready replicas")
    address = httpx.URL(running.url)
    assert running.send(signal.SIGINT) == 0
    assert running.servers() == set()
    with pytest.raises(ConnectionRefusedError), socket.create_connection((address.host, address.port), timeout=2):
        pass
    running.eventually(lambda it: any(line.startswith("floor ") for line in running.out), 5, "the summary")
    assert any(re.fullmatch(r"requests   \d+, of which 0 errors", line) for line in running.out)
    assert "Traceback" not in "\n".join(running.err)


def test_sigterm_lets_a_request_that_is_being_computed_finish(
    up: Callable[..., Any], write_model: Callable[..., Path]
) -> None:
    model = write_model("slow", seconds=1.5)
    running = up(model)
    assert outputs(running.infer()) == DOUBLED
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(running.infer)
        time.sleep(0.5)  # it is in the model by then, for another second
        assert running.send(signal.SIGTERM) == 0
        assert outputs(answer.result()) == DOUBLED
    assert running.servers() == set()


def test_a_killed_up_leaves_no_replica(up: Callable[..., Any], model: Path) -> None:
    running = up(model, "--min-replicas", "2", "--max-replicas", "2")
    assert outputs(running.infer()) == DOUBLED
    running.eventually(lambda it: len(running.servers()) == 2, 20, "two replicas")
    assert running.send(signal.SIGKILL) == -signal.SIGKILL
    running.eventually(lambda it: not running.servers(), 5, "no replica outlives it")


def test_the_first_request_at_zero_is_held_and_answered(up: Callable[..., Any], model: Path) -> None:
    running = up(model, "--min-replicas", "0", "--stable-window", "6s", "--interval", "500ms", *SHORT)
    assert running.url
    running.eventually(lambda it: it.said("replicas 0 ready  floor 0"), 10, "a tick at zero")
    assert running.servers() == set()
    assert outputs(running.infer()) == DOUBLED
    assert len(running.servers()) >= 1
    # One request met a cold start, so the paper's algorithm keeps one replica warm until it has idled for a window.
    running.eventually(lambda it: it.said("so the floor goes from 0 to 1."), 10, "the floor of one")
    running.eventually(lambda it: it.said("the floor goes from 1 to 0."), 20, "the floor of zero")
    running.eventually(lambda it: not it.servers(), 45, "back to zero, after Knative's grace period of 30 s")
    assert outputs(running.infer()) == DOUBLED


def test_a_replica_that_dies_is_replaced_and_its_neighbours_answer(up: Callable[..., Any], model: Path) -> None:
    running = up(model, "--min-replicas", "2", "--max-replicas", "2", "--interval", "500ms")
    running.eventually(lambda it: it.said("replicas 2 ready"), 30, "two replicas")
    before = running.servers()
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    assert [outputs(running.infer()) for _ in range(10)] == [DOUBLED] * 10
    running.eventually(
        lambda it: len(running.servers() - {victim}) == 2, 20, "a third process in the place of the dead one"
    )


def test_a_server_that_cannot_start_ends_it_with_the_servers_own_words(
    up: Callable[..., Any], write_model: Callable[..., Path]
) -> None:
    model = write_model("broken", load="raise OSError('the weights are on the other disk')")
    running = up(model)
    assert running.process.wait(timeout=50) == 1
    running.eventually(lambda it: it.said("the weights are on the other disk"), 5, "the reason")
    text = "\n".join(running.err)
    assert re.search(r"everwarm: The server ended with exit status \d+ before it was ready, 3 times in a row", text)
    assert running.servers() == set()


def test_a_port_that_is_taken_is_said_in_a_sentence(up: Callable[..., Any], model: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running = up(model, "--port", str(port))
        assert running.process.wait(timeout=20) == 1
    running.eventually(lambda it: bool(running.err), 5, "the sentence")
    sentence = f"everwarm: Port {port} can't be used (Address already in use); choose another with --port."
    assert running.err == [sentence]


def test_the_bursts_of_the_demo_are_answered_right(up: Callable[..., Any]) -> None:
    digits = Path(__file__).resolve().parents[3] / "examples" / "digits"
    if not (digits / "model.onnx").is_file():
        pytest.skip("examples/digits is not built")
    running = up(digits, "--load", "bursts", "--duration", "12s")
    assert running.process.wait(timeout=50) == 0
    running.eventually(lambda it: any(line.startswith("load ") for line in running.out), 5, "the summary")
    (line,) = (line for line in running.out if line.startswith("load "))
    sent, right, wrong, failed = (int(number) for number in re.findall(r"(\d+) (?:sent|right|wrong|failed)", line))
    assert (wrong, failed) == (0, 0)
    assert 10 < right <= sent
