import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from typing import Any

import numpy as np
import pytest

from everwarm_server.errors import InferenceFailed, InvalidInput
from everwarm_server.protocol.tensors import Array, ModelMetadata, Parameters, TensorSpec
from everwarm_server.runtime.base import only_answer
from everwarm_server.transport.http import CLIENT
from everwarm_server.transport.inference import Inference
from everwarm_server.transport.router import Router
from everwarm_server.transport.streaming import Streams

GENERATE = "/v2/models/m/generate_stream"
INFER = "/v2/models/m/infer_stream"


class Counter:
    """Gives x, x + 1, ...: `n` of them; waits before the last, fails after it, or gives NaN, where asked to."""

    device = "cpu"
    only_computes = False
    takes_parameters = True
    streams = True
    metadata = ModelMetadata("m", "1", "fake", (TensorSpec("x", "FP32", (-1,)),), (TensorSpec("y", "FP32", (-1,)),))

    def __init__(self) -> None:
        self.go, self.closed = threading.Event(), threading.Event()

    def infer(self, inputs: Mapping[str, Array], parameters: Parameters) -> Mapping[str, Array]:
        return only_answer(self.stream(inputs, parameters))

    def stream(self, inputs: Mapping[str, Array], parameters: Parameters) -> Generator[Mapping[str, Array], None, None]:
        try:
            count = int(parameters.get("n", 1))
            for i in range(count):
                if "wait" in parameters and i == count - 1:
                    assert self.go.wait(10)
                yield {"y": inputs["x"] + np.float32("nan" if "nan" in parameters else i)}
            if "refuse" in parameters:
                raise InvalidInput("I have had enough.")
            if "fail" in parameters:
                raise InferenceFailed("The model failed: too much.")
        finally:
            self.closed.set()

    def close(self) -> None:
        pass


@pytest.fixture
def model() -> Counter:
    return Counter()


@pytest.fixture
async def router(model: Counter, serving: Callable[..., Any]) -> AsyncIterator[Router]:
    repository = await serving(runtime=model)
    yield Router(repository, Inference(1000), None, metrics_here=True)
    model.go.set()
    repository.close()


def body(**parameters: Any) -> bytes:
    return json.dumps({"x": 5, "parameters": parameters}).encode()


def v2_body(**members: Any) -> bytes:
    tensor = {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}
    return json.dumps({"id": "7", "inputs": [tensor], **members}).encode()


def events(reply: Any) -> list[Any]:
    """The events; whatever is no well-formed event fails."""
    *parts, end = reply.body.decode().split("\n\n")
    assert (end, reply.complete) == ("", True)
    return [json.loads(part.removeprefix("data: ")) for part in parts]


def event(y: float) -> dict[str, Any]:
    return {"model_name": "m", "model_version": "1", "y": y}


def counted(router: Router, code: str) -> float | None:
    registry = router._repository.metrics.registry
    return registry.get_sample_value("everwarm_requests_total", {"model_name": "m", "code": code})


@pytest.mark.parametrize("path", [GENERATE, "/v2/models/m/versions/1/generate_stream"])
async def test_each_answer_is_an_event_of_its_own(router: Router, client: Any, path: str) -> None:
    reply = await client(router, "POST", path, body(n=3))
    assert (reply.code, reply.headers) == (
        200,
        {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache, no-transform",
            "x-accel-buffering": "no",
        },
    )
    assert events(reply) == [event(5.0), event(6.0), event(7.0)]
    assert [message["body"].count(b"data:") for message in reply.messages[1:]] == [1, 1, 1, 0]


async def test_a_model_may_give_no_answer(router: Router, client: Any) -> None:
    reply = await client(router, "POST", GENERATE, body(n=0))
    assert (reply.code, events(reply)) == (200, [])


async def test_a_v2_request_gets_a_v2_response_in_each_event(router: Router, client: Any) -> None:
    reply = await client(router, "POST", INFER, v2_body(parameters={"n": 2}))
    assert [(e["id"], e["outputs"][0]["data"]) for e in events(reply)] == [("7", [1.0, 2.0]), ("7", [2.0, 3.0])]


async def test_one_answer_needs_no_stream(router: Router, client: Any) -> None:
    reply = await client(router, "POST", "/v2/models/m/generate", body())
    assert (reply.code, reply.headers["content-type"], reply.json) == (200, "application/json", event(5.0))
    reply = await client(router, "POST", "/v2/models/m/generate", body(n=2))
    assert reply.code == 400
    assert reply.json["error"].startswith("This model gave more than one answer to this request")


@pytest.mark.parametrize(
    ("path", "content", "code", "sentence"),
    [
        (GENERATE, b"{", 400, "The body is not valid JSON"),
        (GENERATE, b"{}", 400, "The model 'm' also needs the input 'x'."),
        (GENERATE, body(n=0, refuse=True), 400, "I have had enough."),
        (GENERATE, b" " * 1001, 413, "The body has 1001 bytes"),
        (INFER, v2_body(parameters={"binary_data_output": True}), 400, "Events are text, so they can't carry binary"),
        (INFER, v2_body(outputs=[{"name": "y", "parameters": {"binary_data": True}}]), 400, "Events are text"),
        ("/v2/models/other/generate_stream", body(), 404, "Request for unknown model 'other'"),
        ("/v2/models/m/versions/9/infer_stream", body(), 404, "The model 'm' has no version '9' here"),
    ],
)
async def test_what_is_wrong_before_the_first_answer_is_an_error_of_http(
    router: Router, client: Any, path: str, content: bytes, code: int, sentence: str
) -> None:
    reply = await client(router, "POST", path, content)
    assert (reply.code, reply.headers["content-type"]) == (code, "application/json")
    assert reply.json["error"].startswith(sentence)


async def test_only_post_is_answered(router: Router, client: Any) -> None:
    reply = await client(router, "GET", GENERATE)
    assert (reply.code, reply.headers["allow"]) == (405, "POST")


async def test_a_model_that_fails_at_once_is_an_event_with_the_code(router: Router, client: Any) -> None:
    reply = await client(router, "POST", GENERATE, body(n=0, fail=True))
    assert (reply.code, reply.headers["content-type"]) == (500, "text/event-stream; charset=utf-8")
    assert events(reply) == [{"error": "The model failed: too much."}]


@pytest.mark.parametrize(
    ("parameters", "given", "sentence", "code"),
    [
        ({"n": 2, "fail": True}, 2, "The model failed: too much.", "500"),
        ({"n": 1, "refuse": True}, 1, "I have had enough.", "400"),
    ],
)
async def test_what_goes_wrong_later_is_the_last_event(
    router: Router, client: Any, parameters: dict[str, Any], given: int, sentence: str, code: str
) -> None:
    reply = await client(router, "POST", GENERATE, body(**parameters))
    assert (reply.code, events(reply)) == (200, [*map(event, [5.0, 6.0][:given]), {"error": sentence}])
    assert counted(router, code) == 1.0


async def test_what_json_cannot_carry_ends_the_stream(router: Router, client: Any, model: Counter) -> None:
    reply = await client(router, "POST", GENERATE, body(n=5, nan=True))
    assert "holds NaN or infinity" in events(reply)[-1]["error"]
    assert await asyncio.to_thread(model.closed.wait, 10)


class Watcher:
    """An exchange whose messages can be waited for, and whose client can leave."""

    def __init__(self, app: Any, content: bytes) -> None:
        self.gone = self.too_slow = False
        self.when_gone: Callable[[], None] | None = None
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._content = content
        headers = [(b"content-length", b"%d" % len(content))]
        scope = {"type": "http", "method": "POST", "path": GENERATE, "headers": headers, CLIENT: self}
        self.task = asyncio.create_task(app(scope, self._receive, self.messages.put))

    async def _receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": self._content, "more_body": False}

    async def texts(self, count: int) -> list[bytes]:
        """The next bodies; the start has none."""
        return [(await asyncio.wait_for(self.messages.get(), 10)).get("body", b"") for _ in range(count)]


async def test_silence_is_filled_with_comments(router: Router, model: Counter) -> None:
    router._streams = Streams(Inference(1000), keep_alive_seconds=0.01)
    watcher = Watcher(router, body(n=2, wait=True))
    assert [text[:5] for text in await watcher.texts(4)] == [b"", b"data:", b":\n\n", b":\n\n"]
    model.go.set()
    await watcher.task
    rest = await watcher.texts(watcher.messages.qsize())
    assert [text for text in rest if text != b":\n\n"] == [
        b'data: {"model_name":"m","model_version":"1","y":6.0}\n\n',
        b"",
    ]


async def test_silence_before_the_first_answer_starts_the_stream(router: Router, model: Counter) -> None:
    router._streams = Streams(Inference(1000), keep_alive_seconds=0.01)
    watcher = Watcher(router, body(n=1, wait=True))
    assert (await asyncio.wait_for(watcher.messages.get(), 10))["status"] == 200
    model.go.set()
    await watcher.task


async def test_a_client_that_leaves_stops_the_model(router: Router, model: Counter) -> None:
    watcher = Watcher(router, body(n=1000, wait=True))
    await watcher.texts(2)
    assert watcher.when_gone is not None
    watcher.when_gone()
    await asyncio.wait_for(watcher.task, 10)
    assert await asyncio.to_thread(model.closed.wait, 10)
    assert counted(router, "499") == 1.0


@pytest.mark.parametrize(("count", "given"), [(1, 0), (2, 1)])
async def test_when_the_servers_time_is_over_the_client_is_told(
    router: Router, model: Counter, count: int, given: int
) -> None:
    watcher = Watcher(router, body(n=count, wait=True))
    await watcher.texts(2 * given)
    await asyncio.sleep(0)
    watcher.task.cancel()
    await asyncio.wait_for(watcher.task, 10)
    texts = await watcher.texts(watcher.messages.qsize())
    assert b"The server stopped before the model had answered" in b"".join(texts)
    assert counted(router, "503") == 1.0
