"""The gRPC services as one: inference and management, health, reflection; and who may call them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from everwarm_server.errors import Unauthorized
from everwarm_server.protocol.grpc_messages import POOL, SERVICE
from everwarm_server.repository import Repository
from everwarm_server.telemetry.watch import Watch
from everwarm_server.transport.grpc.health import HEALTH_SERVICE, Health
from everwarm_server.transport.grpc.inference import Inference
from everwarm_server.transport.grpc.management import Management
from everwarm_server.transport.grpc.status import abort, status
from everwarm_server.transport.http import authorized

_OPEN: Final = frozenset({f"/{SERVICE}/ServerLive", f"/{SERVICE}/ServerReady"})  # as /v2/health/ over HTTP

_CONTROL: Final = frozenset({f"/{SERVICE}/RepositoryModelLoad", f"/{SERVICE}/RepositoryModelUnload"})


def inference_handler(inference: Inference, management: Management) -> Any:
    """GRPCInferenceService. Messages of inference are left serialized: v2_grpc reads and writes them."""
    return grpc.method_handlers_generic_handler(
        SERVICE,
        management.handlers()
        | {
            "ModelInfer": grpc.unary_unary_rpc_method_handler(inference.infer),
            "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(inference.stream),
        },
    )


def add_services(
    server: Any, repository: Repository, server_name: str, closing: asyncio.Event, watch: Watch | None = None
) -> Inference:
    """Let a grpc.aio server offer all services; `closing` ends the endless ones, and `watch` looks at requests."""
    inference = Inference(repository, watch or Watch())
    health = Health(repository, closing)
    server.add_generic_rpc_handlers(
        (inference_handler(inference, Management(repository, server_name)), health.handler())
    )
    for file in (health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        POOL.AddSerializedFile(file.serialized_pb)
    reflection.enable_server_reflection((SERVICE, HEALTH_SERVICE, reflection.SERVICE_NAME), server, POOL)
    return inference


class TokenRequired(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Lets calls pass that carry the token in their metadata, as `authorization: Bearer TOKEN`, and health's all.

    Args:
        token: of all other calls; None: they need none.
        management_token: of those that load or unload a model, in place of it; None: the same.
    """

    def __init__(self, token: bytes | None, management_token: bytes | None = None) -> None:
        self._token = token
        self._management_token = token if management_token is None else management_token

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """The handler of a call."""
        method: str = details.method
        if method in _OPEN or method.startswith(f"/{HEALTH_SERVICE}/"):
            return await continuation(details)
        given = [value.encode() for name, value in details.invocation_metadata if name == "authorization"]
        token = self._management_token if method in _CONTROL else self._token
        if token is None or authorized({b"authorization": b",".join(given)}, token):
            return await continuation(details)
        return _REFUSED


async def _refuse(requests: Any, context: Any) -> None:
    del requests
    error = Unauthorized("This call needs the token of this server, in its metadata: authorization: Bearer TOKEN.")
    await abort(context, status(error))


# It reads no request, so it refuses calls of every kind.
_REFUSED: Final = grpc.stream_stream_rpc_method_handler(_refuse)
