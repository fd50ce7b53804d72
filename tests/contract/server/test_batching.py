"""Batches in a real process: what waits while the model is busy is computed together, and no neighbour is hurt."""

import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

# The first column says what a row does; each answer says with how many rows it was computed.
MODEL = """
import time

import numpy as np


class Model:
    metadata = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
    }

    def predict(self, inputs):
        x = inputs["x"]
        if (x < 0).any():
            time.sleep(-float(x.min()))
        if (x == 666).any():
            raise RuntimeError("boom")
        return {"y": np.hstack([x * 2, np.full_like(x, len(x))])}
"""


@pytest.fixture(scope="module")
def served(start_shared: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("models") / "rows"
    directory.mkdir()
    (directory / "model.py").write_text(MODEL)
    (directory / "model.toml").write_text("[batching]\nmode = 'on'\nmax_rows = 8\n")
    return start_shared(directory, queue_size=20)


def body(*rows: float, **parameters: Any) -> bytes:
    tensor = {"name": "x", "shape": [len(rows), 1], "datatype": "FP32", "data": list(rows)}
    return json.dumps({"inputs": [tensor], "parameters": parameters}).encode()


def ask(served: Any, *rows: float, **parameters: Any) -> Any:
    """The code, and y by rows or the error."""
    reply = served.ask("POST", "/v2/models/rows/infer", body(*rows, **parameters))
    if reply.code != 200:
        return reply.code, reply.json["error"]
    (y,) = reply.json["outputs"]
    return reply.code, [y["data"][i : i + 2] for i in range(0, len(y["data"]), 2)]


class Busy:
    """The model computes for some time, so that what is asked within waits together."""

    def __init__(self, served: Any, seconds: float = 0.5) -> None:
        self._served = served
        self._thread = threading.Thread(target=ask, args=(served, -seconds))

    def __enter__(self) -> ThreadPoolExecutor:
        before = self._served.metric("everwarm_in_flight_requests", model_name="rows")
        self._thread.start()
        self._served.until(lambda: self._served.metric("everwarm_in_flight_requests", model_name="rows") == before + 1)
        time.sleep(0.05)  # it has come to the model, too
        self._pool = ThreadPoolExecutor(16)
        return self._pool

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        self._thread.join()


def until_waiting(served: Any, requests: int) -> None:
    served.until(lambda: served.metric("everwarm_queue_requests", model_name="rows") == requests)


def test_what_waits_is_computed_together(served: Any) -> None:
    with Busy(served) as pool:
        answers = [pool.submit(ask, served, float(number)) for number in range(1, 6)]
        until_waiting(served, 5)
    assert [answer.result() for answer in answers] == [(200, [[2.0 * number, 5.0]]) for number in range(1, 6)]


def test_one_poisoned_row_gets_the_error_alone(served: Any) -> None:
    with Busy(served) as pool:
        answers = [pool.submit(ask, served, first) for first in (1.0, 2.0, 666.0, 4.0, 5.0)]
        until_waiting(served, 5)
    codes = [answer.result()[0] for answer in answers]
    assert codes == [200, 200, 500, 200, 200]
    assert "boom" in answers[2].result()[1]
    assert [answers[index].result()[1][0][0] for index in (0, 1, 3, 4)] == [2.0, 4.0, 8.0, 10.0]


def test_a_client_that_leaves_the_queue_is_not_computed_and_hurts_nobody(served: Any) -> None:
    with Busy(served) as pool:
        answers = [pool.submit(ask, served, float(number)) for number in (1, 2)]
        with socket.create_connection(("127.0.0.1", served.port)) as leaving:
            content = body(3.0)
            head = f"POST /v2/models/rows/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
            leaving.sendall(head.encode() + content)
            until_waiting(served, 3)
        until_waiting(served, 2)
    assert [answer.result() for answer in answers] == [(200, [[2.0, 2.0]]), (200, [[4.0, 2.0]])]


def test_a_large_request_is_answered_whole(served: Any) -> None:
    rows = [float(number) for number in range(1, 21)]
    code, answer = ask(served, *rows)
    assert code == 200
    assert [row[0] for row in answer] == [2 * row for row in rows]
    assert max(row[1] for row in answer) == 8


def test_a_deadline_passes_in_the_queue(served: Any) -> None:
    with Busy(served, 0.6) as pool:
        started = time.monotonic()
        late = pool.submit(ask, served, 1.0, timeout=100_000)  # microseconds
        patient = pool.submit(ask, served, 2.0)
        code, sentence = late.result()
        # At its deadline, or before it where the cost of the batches so far says that it would be missed.
        assert time.monotonic() - started < 0.5
    assert (code, "deadline" in sentence) == (504, True)
    assert patient.result() == (200, [[4.0, 1.0]])


def test_a_full_queue_says_when_to_come_again(served: Any) -> None:
    with Busy(served) as pool:
        answers = [pool.submit(ask, served, 1.0, number=number) for number in range(16)]
        until_waiting(served, 16)
        more = [http.client.HTTPConnection("127.0.0.1", served.port, timeout=20) for _ in range(6)]
        for connection in more:
            connection.request("POST", "/v2/models/rows/infer", body(1.0))
        last = more[-1].getresponse()
        assert (last.status, int(last.headers["retry-after"]) >= 1) == (503, True)
        for connection in more[:4]:
            assert connection.getresponse().status == 200
        for connection in more:
            connection.close()
    assert {answer.result()[0] for answer in answers} == {200}


def test_frames_of_a_stream_are_computed_in_order_on_any_number_of_threads(start_server: Any, tmp_path: Path) -> None:
    directory = tmp_path / "rows"
    directory.mkdir()
    # Without its stream's order the last frame, which is the quickest, would be the first to end.
    ended = MODEL.replace("len(x)", "time.monotonic() % 1000")
    (directory / "model.py").write_text(ended)
    (directory / "model.toml").write_text("[batching]\nmode = 'on'\nmax_rows = 1\n")
    server = start_server(directory, concurrency=4)
    with ThreadPoolExecutor(8) as pool:
        answers = []
        for number, seconds in enumerate([0.8, 0.07, 0.06, 0.05, 0.04, 0.03, 0.02, 0.01]):
            answers.append(pool.submit(ask, server, -seconds, sequence_id="camera"))
            until_waiting(server, number)  # behind the first
    ends = [answer.result()[1][0][1] for answer in answers]
    assert ends == sorted(ends)
    assert len(set(ends)) == 8


def test_batches_are_counted(served: Any) -> None:
    assert served.metric("everwarm_batch_max_rows", model_name="rows") == 8
    assert served.metric("everwarm_batches_total", reason="idle") > 0
    assert served.metric("everwarm_batch_rows_sum") >= served.metric("everwarm_batch_rows_count") > 0
    assert served.metric("everwarm_row_cost_seconds") + served.metric("everwarm_batch_cost_seconds") > 0
    refused = served.metric("everwarm_refused_requests_total", reason="deadline")
    assert served.metric("everwarm_expired_requests_total") == 1 or refused == 1
    assert served.metric("everwarm_refused_requests_total", reason="queue_full") >= 1


def test_auto_finds_out_what_pays(start_server: Any, tmp_path: Path) -> None:
    directory = tmp_path / "rows"
    directory.mkdir()
    slow = MODEL.replace("    def predict", "    only_computes = True\n\n    def predict").replace(
        "        if (x == 666)", "        time.sleep(0.005)\n        if (x == 666)"
    )
    # What else is in a batch must not show in an answer, or the trials rightly fail.
    (directory / "model.py").write_text(slow.replace("len(x)", "1"))
    server = start_server(directory)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            found = list(pool.map(lambda number: ask(server, float(number)), range(8)))
            assert found == [(200, [[2.0 * number, 1.0]]) for number in range(8)]
    assert server.metric("everwarm_batch_max_rows", model_name="rows") == 64


def test_no_request_is_lost_at_sigterm_while_batches_run(start_server: Any, tmp_path: Path) -> None:
    directory = tmp_path / "rows"
    directory.mkdir()
    (directory / "model.py").write_text(MODEL)
    (directory / "model.toml").write_text("[batching]\nmode = 'on'\nmax_rows = 8\n")
    server = start_server(directory, drain_seconds=0.4)
    answered, lost = [0] * 12, []

    def hammer(index: int) -> None:
        """Ask for a row that takes 5 ms until nobody listens."""
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            try:
                connection.connect()
            except OSError:
                return  # refused, or no answer: nothing was sent, so it would go elsewhere
            try:
                while True:
                    connection.request("POST", "/v2/models/rows/infer", body(-0.005))
                    reply = connection.getresponse()
                    reply.read()
                    assert reply.status == 200
                    answered[index] += 1
                    if reply.will_close:
                        break
            except (OSError, AssertionError, http.client.HTTPException) as error:
                lost.append(repr(error))
            finally:
                connection.close()

    with ThreadPoolExecutor(12) as pool:
        clients = [pool.submit(hammer, index) for index in range(12)]
        server.until(lambda: min(answered) >= 10, 20)
        server.terminate()
        for client in clients:
            client.result()
    assert lost == []
    assert server.wait() == 0
