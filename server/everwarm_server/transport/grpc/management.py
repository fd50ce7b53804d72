"""All of GRPCInferenceService but inference: health, metadata, configuration, statistics, the repository of models."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

from everwarm_server.dataplane import DataPlane
from everwarm_server.errors import ModelNotReady
from everwarm_server.protocol import description, model_control, not_offered
from everwarm_server.protocol.grpc_description import serialized
from everwarm_server.protocol.grpc_messages import message_class
from everwarm_server.repository import Repository
from everwarm_server.transport.grpc.status import Status, abort, status

Method: TypeAlias = Callable[[Any], Awaitable[bytes]]


class Management:
    """Answers such calls."""

    def __init__(self, repository: Repository, server_name: str) -> None:
        self._repository = repository
        self._server_name = server_name
        self._methods: dict[str, Method] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ServerMetadata": self._server_metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._repository_index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
        }

    def handlers(self) -> dict[str, Any]:
        """By the names of the methods."""
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                _answered(method), message_class(f"inference.{name}Request").FromString
            )
            for name, method in self._methods.items()
        }
        return handlers | {
            name: grpc.unary_unary_rpc_method_handler(_refused(sentence))
            for name, sentence in not_offered.BY_METHOD.items()
        }

    async def _server_live(self, request: Any) -> bytes:
        del request
        return serialized("ServerLiveResponse", {"live": True})

    async def _server_ready(self, request: Any) -> bytes:
        del request
        return serialized("ServerReadyResponse", {"ready": self._repository.is_ready})

    async def _server_metadata(self, request: Any) -> bytes:
        del request
        return serialized("ServerMetadataResponse", description.server_metadata(self._server_name))

    async def _model_ready(self, request: Any) -> bytes:
        try:
            self._repository.check_model(request.name, request.version or None)
        except ModelNotReady:
            return serialized("ModelReadyResponse", {"ready": False})
        return serialized("ModelReadyResponse", {"ready": True})

    async def _model_metadata(self, request: Any) -> bytes:
        plane = await self._loaded(request)
        versions = [request.version] if request.version else self._repository.versions(request.name)
        return serialized("ModelMetadataResponse", description.model_metadata(plane.metadata(), versions))

    async def _loaded(self, request: Any) -> DataPlane:
        plane = self._repository.find(request.name, request.version or None)
        await plane.until_loaded()
        return plane

    async def _model_config(self, request: Any) -> bytes:
        plane = await self._loaded(request)
        config = description.model_config(plane.metadata(), plane.serving())
        return serialized("ModelConfigResponse", {"config": config})

    async def _model_statistics(self, request: Any) -> bytes:
        planes = list(self._repository.planes())
        if request.name:
            versions = [request.version] if request.version else self._repository.versions(request.name)
            planes = [plane for plane in planes if plane.name == request.name and plane.version in versions]
            if not planes:
                self._repository.check_model(request.name, request.version or None)  # says why
        counted = [(plane.name, plane.version, plane.metrics) for plane in planes]
        return serialized("ModelStatisticsResponse", description.statistics(counted))

    async def _repository_index(self, request: Any) -> bytes:
        entries = [(entry.name, entry.version, str(entry.state), entry.reason) for entry in self._repository.index()]
        models = description.repository_index(entries, ready_only=request.ready)
        return serialized("RepositoryIndexResponse", {"models": models})

    async def _load(self, request: Any) -> bytes:
        name = _model_name(request)
        await self._repository.load(name, model_control.load_policy(_parameters(request)))
        return serialized("RepositoryModelLoadResponse", {"model_name": name, "isLoaded": True})

    async def _unload(self, request: Any) -> bytes:
        name = _model_name(request)
        model_control.check_unload(_parameters(request))
        await self._repository.unload(name)
        return serialized("RepositoryModelUnloadResponse", {"model_name": name, "isUnloaded": True})


def _model_name(request: Any) -> str:
    """KServe's clients put it where Triton's put the name of a repository; see inference.proto."""
    return str(request.model_name or request.repository_name)


def _parameters(request: Any) -> dict[str, Any]:
    return {
        name: getattr(value, kind) if (kind := value.WhichOneof("parameter_choice")) else None
        for name, value in request.parameters.items()
    }


def _answered(method: Method) -> Callable[[Any, Any], Awaitable[bytes]]:
    async def answer(request: Any, context: Any) -> bytes:
        try:
            return await method(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            await abort(context, status(error))

    return answer


def _refused(sentence: str) -> Callable[[Any, Any], Awaitable[bytes]]:
    async def refuse(request: Any, context: Any) -> bytes:
        del request
        await abort(context, Status(grpc.StatusCode.UNIMPLEMENTED, sentence, (), 501))

    return refuse
