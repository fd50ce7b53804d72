"""grpc.health.v1 for Kubernetes' gRPC probes, load balancers and grpc_health_probe. Names are looked up each time.

| service | SERVING means |
|---|---|
| empty, `inference.GRPCInferenceService` | all models are ready, and the server does not drain |
| `liveness` | the process answers |
| a model's name, or `name/version` | requests to it are answered |
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2

from everwarm_server.errors import ModelNotFound, ModelNotReady
from everwarm_server.protocol.grpc_messages import SERVICE
from everwarm_server.repository import Repository

LIVENESS: Final = "liveness"
LOOK_SECONDS: Final = 0.25  # between looks for those who watch
HEALTH_SERVICE: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_Status: Final = health_pb2.HealthCheckResponse


class Health:
    """Answers health calls.

    Attributes:
        closing: ends those who watch, when it is set.
    """

    def __init__(self, repository: Repository, closing: asyncio.Event) -> None:
        self._repository = repository
        self._closing = closing

    def status(self, service: str) -> int:
        """The status of a service, SERVICE_UNKNOWN for a name that nobody has."""
        if service == LIVENESS:
            return int(_Status.SERVING)
        if service in {"", SERVICE}:
            return int(_Status.SERVING if self._repository.is_ready else _Status.NOT_SERVING)
        name, _, version = service.partition("/")
        try:
            self._repository.check_model(name, version or None)
        except ModelNotFound:
            return int(_Status.SERVICE_UNKNOWN)
        except ModelNotReady:
            return int(_Status.NOT_SERVING)
        return int(_Status.SERVING)

    async def check(self, request: Any, context: Any) -> Any:
        """Check."""
        status = self.status(request.service)
        if status == _Status.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no model of that name here.")
        return _Status(status=status)

    async def watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Watch: the status now, and each time that it changes."""
        del context
        told = None
        while not self._closing.is_set():
            status = self.status(request.service)
            if status != told:
                told = status
                yield _Status(status=status)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), LOOK_SECONDS)

    def handler(self) -> Any:
        """For a server."""
        encode, decode = _Status.SerializeToString, health_pb2.HealthCheckRequest.FromString
        return grpc.method_handlers_generic_handler(
            HEALTH_SERVICE,
            {
                "Check": grpc.unary_unary_rpc_method_handler(self.check, decode, encode),
                "Watch": grpc.unary_stream_rpc_method_handler(self.watch, decode, encode),
            },
        )
