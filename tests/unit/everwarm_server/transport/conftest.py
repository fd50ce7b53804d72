import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from everwarm_server.catalogue import ModelSpec, Source, start_plan
from everwarm_server.dataplane import DataPlane
from everwarm_server.errors import InferenceFailed
from everwarm_server.loading import Loaded
from everwarm_server.protocol.tensors import Array, ModelMetadata, Parameters, TensorSpec
from everwarm_server.repository import Repository
from everwarm_server.telemetry.metrics import Metrics
from everwarm_server.transport.inference import Inference
from everwarm_server.transport.router import Router


class Doubler:
    device = "cpu"
    only_computes = True
    takes_parameters = True
    streams = False
    weights_bytes = 0
    metadata = ModelMetadata("m", "1", "fake", (TensorSpec("x", "FP32", (-1,)),), (TensorSpec("y", "FP32", (-1,)),))

    def infer(self, inputs: Mapping[str, Array], parameters: Parameters) -> Mapping[str, Array]:
        if "fail" in parameters:
            raise InferenceFailed("The model failed.")
        return {"y": inputs["x"] * np.float32(2)}

    def close(self) -> None:
        pass


@dataclass
class Reply:
    """What an application sent."""

    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def code(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def complete(self) -> bool:
        return len(self.messages) > 1 and not self.messages[-1].get("more_body", False)


async def ask(
    app: Any,
    method: str,
    path: str,
    *chunks: bytes,
    headers: Mapping[str, str] | None = None,
    query: str = "",
    closed: bool = False,
) -> Reply:
    """Call an ASGI application as a server does; with `closed` the client breaks off after the chunks."""
    parts = list(chunks) or [b""]
    sent = {"content-length": str(sum(map(len, parts)))} | dict(headers or {})
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items() if value],
    }
    messages: Iterator[dict[str, Any]] = iter(
        {"type": "http.request", "body": part, "more_body": closed or index < len(parts) - 1}
        for index, part in enumerate(parts)
    )
    reply = Reply()

    async def receive() -> dict[str, Any]:
        message = next(messages, None)
        if message is None and not closed:
            await asyncio.Event().wait()
        return message or {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        reply.messages.append(message)

    await app(scope, receive, send)
    return reply


@pytest.fixture
def client() -> Callable[..., Any]:
    return ask


async def serving(runtime: Any = None) -> Repository:
    """A repository of one model; without a runtime it is still being loaded."""
    metrics = Metrics(0.0)

    def open_plane(source: Source) -> DataPlane:
        return DataPlane(source.name, 1, 10, metrics.model(source.name, 1), version=source.version)

    async def load(source: Source) -> Loaded:
        if runtime is None:
            await asyncio.Event().wait()
        return Loaded(runtime, {})

    spec = ModelSpec(Source("m", "/nowhere"))
    made = Repository(lambda: {"m": spec}, metrics, open_plane, load)
    starting = asyncio.create_task(made.start(start_plan([spec])))
    if runtime is None:
        await asyncio.sleep(0)
    else:
        await starting
    return made


@pytest.fixture(name="serving")
def serving_() -> Callable[..., Any]:
    return serving


@pytest.fixture
async def repository() -> AsyncIterator[Repository]:
    made = await serving(Doubler())
    yield made
    made.close()


@pytest.fixture
def make_router() -> Callable[..., Router]:
    def make(
        repository: Repository,
        token: str | None = None,
        max_body_bytes: int = 1000,
        metrics_here: bool = True,
        management_token: str | None = None,
    ) -> Router:
        inference = Inference(max_body_bytes)
        return Router(repository, inference, token, metrics_here=metrics_here, management_token=management_token)

    return make
