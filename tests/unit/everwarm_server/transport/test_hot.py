"""Whole requests over a connection with a fake transport: those that hot.py takes, and those that it leaves to ASGI."""

import asyncio
import gc
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import uvicorn
from uvicorn.server import ServerState

from everwarm_server.catalogue import ModelSpec, Source, start_plan
from everwarm_server.dataplane import DataPlane
from everwarm_server.loading import Loaded
from everwarm_server.protocol.tensors import Array, ModelMetadata, Parameters
from everwarm_server.repository import Repository
from everwarm_server.telemetry.metrics import Metrics
from everwarm_server.transport.connection import Connection
from everwarm_server.transport.inference import Inference
from everwarm_server.transport.limits import Limits
from everwarm_server.transport.router import Router

LIMITS = Limits()


class Model:
    """Doubles; with the parameter `wait` when it is let go; with `run` by a coroutine on a loop of its own."""

    device = "cpu"
    only_computes = True
    takes_parameters = True
    streams = False
    metadata = ModelMetadata("m", "1", "fake", (), ())

    def __init__(self) -> None:
        self.go = threading.Event()
        self.threads: list[str] = []

    def infer(self, inputs: Mapping[str, Array], parameters: Parameters) -> Mapping[str, Array]:
        self.threads.append(threading.current_thread().name)
        if "wait" in parameters:
            assert self.go.wait(10)
        if "run" in parameters:
            coroutine = asyncio.sleep(0)
            try:
                asyncio.run(coroutine)
            finally:
                coroutine.close()
        return {"y": inputs["x"] * 2}

    def close(self) -> None:
        self.go.set()


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in {"sockname", "peername"} else default


@dataclass
class Opened:
    """A connection to a server of one model."""

    connection: Connection
    transport: FakeTransport
    repository: Repository
    plane: DataPlane
    model: Model
    state: ServerState

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.connection.data_received(piece)

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(10_000):
            if condition():
                return
            await asyncio.sleep(0.001)
        pytest.fail("it did not come to hold")

    async def answers(self, count: int) -> list[tuple[int, Any, bytes]]:
        """As soon as they are there: code, JSON and head of each."""
        await self.until(lambda: len(parsed(bytes(self.transport.written))) >= count)
        return parsed(bytes(self.transport.written))

    def counted(self, code: int) -> float | None:
        labels = {"model_name": "m", "code": str(code)}
        return self.plane.metrics.registry.get_sample_value("everwarm_requests_total", labels)


def parsed(written: bytes) -> list[tuple[int, Any, bytes]]:
    found = []
    while written:
        head, _, rest = written.partition(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields[b"content-length"])
        if len(rest) < length:
            break
        found.append((int(head.split()[1]), json.loads(rest[:length]), head))
        written = rest[length:]
    return found


async def opened(inline_seconds: float = 0.0, token: str | None = None, max_body_bytes: int = 10_000) -> Opened:
    model = Model()
    metrics = Metrics(0.0)

    def open_plane(source: Source) -> DataPlane:
        return DataPlane(source.name, 1, 10, metrics.model(source.name, 1), inline_seconds, source.version)

    async def load(source: Source) -> Loaded:
        return Loaded(model, {})

    spec = ModelSpec(Source("m", "none://m"))
    repository = Repository(lambda: {"m": spec}, metrics, open_plane, load)
    await repository.start(start_plan([spec]))
    plane = repository.find("m")
    router = Router(repository, Inference(max_body_bytes), token, metrics_here=True)
    config = uvicorn.Config(router, http=Connection, ws="none", lifespan="off", log_config=None)  # type: ignore[arg-type]
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    connection = Connection(config=config, server_state=state, app_state={}, _loop=loop, limits=LIMITS)
    transport = FakeTransport()
    connection.connection_made(transport)
    return Opened(connection, transport, repository, plane, model, state)


def asked(number: float = 1.5, headers: str = "", path: str = "/v2/models/m/infer", **parameters: Any) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "data": [number]}
    body = json.dumps({"inputs": [tensor], "parameters": parameters}).encode()
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def values(answers: list[tuple[int, Any, bytes]]) -> list[Any]:
    return [(code, document["outputs"][0]["data"]) for code, document, _ in answers]


async def test_a_plain_request_takes_no_task() -> None:
    one = await opened()
    one.send(asked(1.5))
    assert not one.state.tasks
    assert values(await one.answers(1)) == [(200, [3.0])]
    assert (one.counted(200), one.plane.metrics.in_flight, one.connection.idle) == (1, 0, True)
    one.plane.close()


async def test_it_may_come_in_any_pieces() -> None:
    one = await opened()
    request = asked(1.5)
    for cut in range(1, len(request)):
        one.send(request[:cut], request[cut:])
        assert values(await one.answers(cut))[-1] == (200, [3.0])
    one.send(*(request[i : i + 1] for i in range(len(request))))
    assert values(await one.answers(len(request)))[-1] == (200, [3.0])
    one.plane.close()


@pytest.mark.parametrize("inline_seconds", [0.0, 0.01])
async def test_pipelined_requests_are_answered_in_their_order(inline_seconds: float) -> None:
    one = await opened(inline_seconds)
    one.send(b"".join(asked(number) for number in range(30)))
    assert values(await one.answers(30)) == [(200, [2.0 * number]) for number in range(30)]
    one.plane.close()


async def test_a_request_whose_model_is_replaced_before_its_body_is_whole_goes_to_the_new_one() -> None:
    one = await opened()
    request = asked(1.5)
    one.send(request[:-10])
    await one.repository.load("m")
    assert (one.plane.retired, one.repository.find("m").retired) == (True, False)
    one.send(request[-10:])
    assert values(await one.answers(1)) == [(200, [3.0])]
    assert (one.counted(200), one.repository.find("m").metrics.totals().successes) == (1, 1)
    one.send(asked(2))
    assert values(await one.answers(2))[1] == (200, [4.0])
    one.repository.close()


async def test_one_that_waits_holds_back_what_came_behind_it() -> None:
    one = await opened()
    one.send(asked(1, wait=True) + asked(2) + b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(0.01)
    assert (one.transport.written, one.connection.idle) == (b"", False)
    one.model.go.set()
    answers = await one.answers(3)
    assert [code for code, _, _ in answers] == [200, 200, 200]
    assert [values(answers[:2]), answers[2][1]] == [[(200, [2.0]), (200, [4.0])], {"live": True}]
    one.plane.close()


@pytest.mark.parametrize("behind", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n"])
@pytest.mark.parametrize("between", [b"", b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_what_is_refused_behind_a_request_is_refused_after_its_answer(behind: bytes, between: bytes) -> None:
    one = await opened()
    one.send(asked(1, wait=True) + between + behind)
    await asyncio.sleep(0.01)
    assert (bytes(one.transport.written), one.transport.closed) == (b"", False)
    one.model.go.set()
    *answers, refused = await one.answers(3 if between else 2)
    assert [code for code, _, _ in answers] == [200] * len(answers)
    assert (refused[0] in {400, 431}, one.transport.closed) == (True, True)
    one.plane.close()


async def test_a_quick_model_moves_to_the_loop() -> None:
    one = await opened(inline_seconds=0.01)
    for number in range(20):
        one.send(asked(number))
        await one.answers(number + 1)
    assert one.model.threads[0] == "everwarm-inference-0"
    assert one.model.threads[-1] == threading.current_thread().name
    one.send(asked(7))
    await asyncio.sleep(0)  # one turn of the loop, in which no thread could answer
    assert values(parsed(bytes(one.transport.written)))[-1] == (200, [14.0])
    one.plane.close()


async def test_a_quick_model_that_may_wait_for_others_stays_in_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "only_computes", False)
    one = await opened(inline_seconds=0.01)
    for number in range(20):
        one.send(asked(number))
        await one.answers(number + 1)
    assert set(one.model.threads) == {"everwarm-inference-0"}
    one.plane.close()


async def test_a_model_that_runs_an_event_loop_goes_back_to_its_thread_for_good() -> None:
    one = await opened(inline_seconds=0.01)
    for number in range(20):
        one.send(asked(number))
        await one.answers(number + 1)
    one.send(asked(7, run=True))
    assert values(await one.answers(21))[-1] == (200, [14.0])
    for number in range(20):
        one.send(asked(number))
        await one.answers(22 + number)
    assert set(one.model.threads[-21:]) == {"everwarm-inference-0"}
    one.plane.close()


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (asked(path="/v2/models/other/infer"), 404),
        (asked(path="/v2/models/m/infer?x=1"), 200),
        (asked().replace(b"POST", b"PUT"), 405),
        (asked(headers="Content-Encoding: br\r\n"), 415),
        (asked(headers="X: 1\r\n").replace(b"Content-Length", b"X-Length") + b"", 400),
        (b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n", 413),
        (b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n\r\n", 400),
        (b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n{", 400),
        (b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 400),
    ],
)
async def test_what_is_not_plain_is_answered_too(request_bytes: bytes, code: int) -> None:
    one = await opened()
    one.send(request_bytes)
    (got, _, _), *_ = await one.answers(1)
    assert got == code
    one.plane.close()


@pytest.mark.parametrize(("headers", "code"), [("", 401), ("Authorization: Bearer s\r\n", 200)])
async def test_the_token_is_needed(headers: str, code: int) -> None:
    one = await opened(token="s")
    one.send(asked(headers=headers))
    ((got, _, _),) = await one.answers(1)
    assert got == code
    one.plane.close()


async def test_a_slow_body_ends_the_request_and_the_connection() -> None:
    one = await opened()
    one.send(asked(1.5)[:-9])
    now = one.connection.last_read_seconds
    one.connection.close_if_overdue(now)
    one.connection.close_if_overdue(now + LIMITS.body_seconds)
    assert not one.transport.closed
    one.connection.close_if_overdue(now + LIMITS.body_seconds + 1)
    ((code, document, _),) = await one.answers(1)
    assert (code, document) == (408, {"error": "The body came too slowly."})
    assert (one.transport.closed, one.counted(408), one.plane.metrics.in_flight) == (True, 1, 0)
    one.plane.close()


async def test_a_body_may_come_byte_by_byte() -> None:
    one = await opened()
    request = asked(1.5, filler="x" * 1000)
    one.send(*(request[i : i + 1] for i in range(len(request))))
    assert values(await one.answers(1)) == [(200, [3.0])]
    one.plane.close()


async def test_trailers_are_no_headers() -> None:
    one = await opened(token="s")
    body = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1]}]}'
    head = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    one.send(head + b"%x\r\n%b\r\n0\r\nAuthorization: Bearer s\r\n\r\n" % (len(body), body))
    ((code, _, _),) = await one.answers(1)
    assert code == 401
    one.plane.close()


H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"


@pytest.mark.parametrize("cut", [0, 60, -5, None])
async def test_an_offer_to_upgrade_changes_nothing(cut: int | None) -> None:
    one = await opened()
    request = asked(1.5, headers=H2C)
    one.send(*[piece for piece in (request[:cut], request[cut:] if cut else b"", asked(2)) if piece])
    expected = [(200, [3.0]), (200, [4.0])] if cut != 0 else [(200, [4.0])]
    assert values(await one.answers(len(expected))) == expected
    one.plane.close()


async def test_upgrade_of_a_chunked_request_with_another_behind_it() -> None:
    one = await opened()
    body = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1]}]}'
    head = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + H2C.encode() + b"\r\n"
    one.send(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) + asked(2))
    assert values(await one.answers(2)) == [(200, [2.0]), (200, [4.0])]
    one.plane.close()


async def test_a_client_that_breaks_off_is_counted_and_never_run() -> None:
    one = await opened()
    one.send(asked()[:-3])
    one.connection.connection_lost(None)
    assert (one.counted(499), one.plane.metrics.in_flight, one.model.threads) == (1, 0, [])
    one.plane.close()


async def test_a_client_that_leaves_while_it_waits_gets_nothing() -> None:
    one = await opened()
    one.send(asked(wait=True))
    await one.until(lambda: one.model.threads != [])
    one.connection.connection_lost(None)
    one.model.go.set()
    await one.until(lambda: one.plane.metrics.in_flight == 0)
    assert (one.counted(499), one.transport.written) == (1, b"")
    one.plane.close()


async def test_at_the_end_of_its_time_the_server_says_so() -> None:
    one = await opened()
    one.send(asked(wait=True))
    await one.until(lambda: one.model.threads != [])
    one.connection.stop_waiting()
    ((code, document, _),) = await one.answers(1)
    assert (code, document["error"][:18]) == (503, "The server stopped")
    one.model.go.set()
    await one.until(lambda: one.plane.admission.running == 0)
    assert len(parsed(bytes(one.transport.written))) == 1
    one.plane.close()


@pytest.mark.parametrize("why", ["the client asks", "the server drains"])
async def test_a_connection_that_ends_says_so_once(why: str) -> None:
    one = await opened()
    if why == "the server drains":
        one.state.default_headers = [(b"connection", b"close")]
    one.send(asked(headers="Connection: close\r\n" if why == "the client asks" else ""))
    ((code, _, head),) = await one.answers(1)
    assert (code, head.lower().count(b"connection: close"), one.transport.closed) == (200, 1, True)
    one.plane.close()


async def test_large_bodies_are_writable_arrays() -> None:
    one = await opened(max_body_bytes=2_000_000)
    raw = np.arange(100_000, dtype=np.float32).tobytes()
    tensor = {"name": "x", "datatype": "FP32", "shape": [100_000], "parameters": {"binary_data_size": len(raw)}}
    header = json.dumps({"inputs": [tensor]}).encode()
    head = f"POST /v2/models/m/infer HTTP/1.1\r\nContent-Length: {len(header) + len(raw)}\r\n"
    request = f"{head}Inference-Header-Content-Length: {len(header)}\r\n\r\n".encode() + header + raw
    one.send(*(request[i : i + 65536] for i in range(0, len(request), 65536)))
    ((code, document, _),) = await one.answers(1)
    assert (code, document["outputs"][0]["data"][:3], len(document["outputs"][0]["data"])) == (200, [0, 2, 4], 100_000)
    one.plane.close()


@pytest.mark.parametrize("inline_seconds", [0.0, 0.01])
async def test_a_request_leaves_nothing_to_the_garbage_collector(inline_seconds: float) -> None:
    one = await opened(inline_seconds)
    for number in range(20):
        one.send(asked(number))
        await one.answers(number + 1)
    gc.collect()
    gc.disable()
    try:
        for number in range(20):
            one.send(asked(number))
            await one.answers(21 + number)
        assert gc.collect() < 20
    finally:
        gc.enable()
    one.plane.close()
