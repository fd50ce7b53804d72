"""A gRPC server on a Unix socket, with models that do as a test says."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from everwarm_server.catalogue import Policy
from everwarm_server.dataplane import Arrival
from everwarm_server.errors import ModelNotFound, ModelNotReady
from everwarm_server.protocol.description import Serving
from everwarm_server.protocol.tensors import InferRequest, InferResponse, ModelMetadata, Tensor, TensorSpec
from everwarm_server.repository import Entry
from everwarm_server.telemetry.metrics import Metrics
from everwarm_server.transport.grpc.service import TokenRequired, add_services


def doubled(request: InferRequest) -> InferResponse:
    x = request.inputs[0].data
    return InferResponse("m", "1", (Tensor("y", "FP32", x * np.float32(2)),), request.id)


class Plane:
    """A model; `compute` answers a request, `parts` makes it one that streams."""

    name, version = "m", "1"

    def __init__(self) -> None:
        self.metrics = Metrics(0.0).model("m", 1)
        self.ready = True
        self.waited: list[float] = []
        self.streams = False
        self.arrivals: list[Arrival] = []
        self.compute: Callable[[InferRequest], Awaitable[InferResponse]] = self._compute

    async def _compute(self, request: InferRequest) -> InferResponse:
        return doubled(request)

    async def infer(self, request: InferRequest, arrival: Arrival, client: Any) -> InferResponse:
        self.arrivals.append(arrival)
        self.client = client
        return await self.compute(request)

    async def stream(self, request: InferRequest, arrival: Arrival, client: Any) -> AsyncIterator[InferResponse]:
        for _ in range(int(request.parameters["parts"])):
            await asyncio.sleep(0)
            yield await self.compute(request)

    def metadata(self) -> ModelMetadata:
        return ModelMetadata("m", "1", "fake", (TensorSpec("x", "FP32", (-1,)),), (TensorSpec("y", "FP32", (-1,)),))

    async def until_loaded(self, deadline_seconds: float = math.inf) -> None:
        self.waited.append(deadline_seconds)

    def serving(self) -> Serving:
        return Serving(streams=self.streams)

    def check_ready(self) -> None:
        if not self.ready:
            raise ModelNotReady("The model 'm' is still being loaded; try again later.")


class Repository:
    """One model, which can be taken away."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.is_ready = True
        self.loaded: list[str] = []

    def find(self, name: str, version: str | None = None) -> Plane:
        if name != "m" or version not in {None, "1"}:
            raise ModelNotFound(f"There is no model {name!r} here; this server has 'm'.")
        return self.plane

    def versions(self, name: str) -> list[str]:
        return ["1"]

    def planes(self) -> list[Plane]:
        return [self.plane]

    def index(self) -> list[Entry]:
        return [Entry("m", "1", "READY"), Entry("n", "1", "UNAVAILABLE", "it was unloaded.")]

    def check_model(self, name: str, version: str | None = None) -> None:
        self.find(name, version).check_ready()

    async def load(self, name: str, policy: Policy | None) -> None:
        self.find(name)
        self.loaded.append(f"+{name}" if policy is None else f"+{name} {policy.latest}")

    async def unload(self, name: str) -> None:
        self.find(name)
        self.loaded.append(f"-{name}")


class Calls:
    """Calls by the messages of tritonclient."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def unary(self, method: str, request: Any, response: Any, **more: Any) -> Any:
        path = method if method.startswith("/") else f"/inference.GRPCInferenceService/{method}"
        made = self.channel.unary_unary(path, type(request).SerializeToString, response.FromString)
        return made(request, **more)

    def infer(self, request: Any, **more: Any) -> Any:
        return self.unary("ModelInfer", request, service_pb2.ModelInferResponse, **more)

    def stream(self, requests: Any, **more: Any) -> Any:
        made = self.channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            service_pb2.ModelInferRequest.SerializeToString,
            service_pb2.ModelStreamInferResponse.FromString,
        )
        return made(requests, **more)


def asked(identity: str = "", model: str = "m", values: tuple[float, ...] = (1.0,), **parameters: Any) -> Any:
    """A request to double some values."""
    request = service_pb2.ModelInferRequest(model_name=model, id=identity)
    request.inputs.add(name="x", datatype="FP32", shape=[len(values)])
    request.raw_input_contents.append(np.array(values, np.float32).tobytes())
    for name, value in parameters.items():
        if isinstance(value, bool):
            request.parameters[name].bool_param = value
        else:
            request.parameters[name].int64_param = value
    return request


@pytest.fixture
def request_of() -> Callable[..., Any]:
    return asked


@pytest.fixture
def plane() -> Plane:
    return Plane()


@pytest.fixture
def repository(plane: Plane) -> Repository:
    return Repository(plane)


@pytest.fixture
def serve(repository: Repository, tmp_path: Path) -> Callable[..., Any]:
    """`async with serve() as calls`; with tokens, or with an Event that closes."""

    @contextlib.asynccontextmanager
    async def run(*tokens: bytes | None, closing: asyncio.Event | None = None) -> AsyncIterator[Calls]:
        interceptors = (TokenRequired(*tokens),) if tokens else ()
        server = grpc.aio.server(interceptors=interceptors)
        add_services(server, repository, "everwarm", closing or asyncio.Event())
        address = f"unix:{tmp_path}/grpc"
        server.add_insecure_port(address)
        await server.start()
        async with grpc.aio.insecure_channel(address) as channel:
            yield Calls(channel)
        await server.stop(0)

    return run
