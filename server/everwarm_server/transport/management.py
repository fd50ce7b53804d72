"""The FastAPI application for all that is not hot: metadata, statistics, the repository of models, OpenAPI.

Errors are as V2 says. What may be asked and what is answered, openapi.py describes.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from everwarm_server.dataplane import DataPlane
from everwarm_server.errors import ServingError, TooLarge
from everwarm_server.protocol import description, model_control, not_offered
from everwarm_server.protocol.sentences import shown
from everwarm_server.protocol.v2_json import parse_object
from everwarm_server.repository import Repository
from everwarm_server.transport import openapi
from everwarm_server.transport.http import Refused, error_answer

MAX_BODY_BYTES: Final = 65536
_MODEL: Final = "/v2/models/{name}"
_VERSION: Final = "/v2/models/{name}/versions/{version}"


class _Application(FastAPI):
    """FastAPI with a document of ours."""

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        super().__init__(title=description.NAME, redirect_slashes=False)
        self._describe = describe

    def openapi(self) -> dict[str, Any]:
        """What may be asked, with the models of this moment."""
        return self._describe()


def application(repository: Repository, server_name: str, *, needs_token: bool) -> FastAPI:
    """The application for the models of a server."""
    app = _Application(lambda: openapi.document(repository.names, needs_token=needs_token))
    for kind in (HTTPException, ServingError, Exception):
        app.add_exception_handler(kind, _error)
    _server_routes(app, repository, server_name)
    _model_routes(app, _Models(repository))
    _repository_routes(app, repository)
    for path, sentence in not_offered.BY_PATH.items():
        app.add_api_route(path, _refusal(sentence), methods=["GET", "POST"])
    return app


def _refusal(sentence: str) -> Callable[[], Awaitable[Response]]:
    async def refuse() -> Response:
        return _failed(Refused(501, sentence))

    return refuse


def _json(document: Any) -> Response:
    return Response(orjson.dumps(document), media_type="application/json")


def _server_routes(app: FastAPI, repository: Repository, server_name: str) -> None:
    @app.get("/")
    async def alive() -> Response:
        return _json({"status": "alive"})

    @app.get("/v2/")
    @app.get("/v2")
    async def server_metadata() -> Response:
        return _json(description.server_metadata(server_name))

    @app.get("/v1/models")
    @app.get("/v2/models")
    async def models() -> Response:
        return _json({"models": repository.names})


class _Models:
    """Answers questions about models."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    async def _loaded(self, name: str, version: str | None) -> DataPlane:
        plane = self._repository.find(name, version)
        await plane.until_loaded()
        return plane

    async def metadata(self, name: str, version: str | None) -> Response:
        metadata = (await self._loaded(name, version)).metadata()
        versions = self._repository.versions(name) if version is None else [version]
        return _json(description.model_metadata(metadata, versions))

    async def config(self, name: str, version: str | None) -> Response:
        plane = await self._loaded(name, version)
        return _json(description.model_config(plane.metadata(), plane.serving()))

    def ready(self, name: str, version: str | None) -> Response:
        self._repository.check_model(name, version)
        return _json({"name": name, "ready": True})

    def statistics(self, name: str | None, version: str | None) -> Response:
        planes: Iterable[DataPlane] = self._repository.planes()
        if name is not None:
            versions = self._repository.versions(name) if version is None else [version]
            loaded = {plane.version: plane for plane in planes if plane.name == name}
            planes = [loaded[each] for each in versions if each in loaded]
            if not planes:
                self._repository.check_model(name, version)  # says why
        return _json(description.statistics((plane.name, plane.version, plane.metrics) for plane in planes))


def _model_routes(app: FastAPI, models: _Models) -> None:
    @app.get("/v2/models/stats")
    async def all_statistics() -> Response:
        return models.statistics(None, None)

    @app.get(f"{_VERSION}/stats")
    @app.get(f"{_MODEL}/stats")
    async def statistics(request: Request) -> Response:
        return models.statistics(*_asked(request))

    @app.get(_VERSION)
    @app.get(_MODEL)
    async def metadata(request: Request) -> Response:
        return await models.metadata(*_asked(request))

    @app.get(f"{_VERSION}/config")
    @app.get(f"{_MODEL}/config")
    async def config(request: Request) -> Response:
        return await models.config(*_asked(request))

    @app.get(f"{_VERSION}/ready")
    @app.get(f"{_MODEL}/ready")
    @app.get("/v1/models/{name}")
    async def ready(request: Request) -> Response:
        return models.ready(*_asked(request))


def _asked(request: Request) -> tuple[str, str | None]:
    """The model and the version that a path names. As arguments of a handler, a query could name the version, too."""
    return request.path_params["name"], request.path_params.get("version")


def _repository_routes(app: FastAPI, repository: Repository) -> None:
    @app.post("/v2/repository/index")
    async def index(request: Request) -> Response:
        ready_only = model_control.only_ready(await _document(request))
        entries = [(entry.name, entry.version, entry.state, entry.reason) for entry in repository.index()]
        return _json(description.repository_index(entries, ready_only=ready_only))

    @app.post("/v2/repository/models/{name}/load")
    async def load(name: str, request: Request) -> Response:
        policy = model_control.load_policy(model_control.parameters(await _document(request)))
        await repository.load(name, policy)
        return _json({})

    @app.post("/v2/repository/models/{name}/unload")
    async def unload(name: str, request: Request) -> Response:
        model_control.check_unload(model_control.parameters(await _document(request)))
        await repository.unload(name)
        return _json({})


async def _document(request: Request) -> dict[str, Any]:
    """The object that a body is; an empty one for none."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(f"The body is larger than the {MAX_BODY_BYTES} bytes that are accepted here.")
    return parse_object(memoryview(body)) if body else {}


async def _error(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        allow = [(name.encode(), value.encode()) for name, value in (error.headers or {}).items()]
        error = Refused(error.status_code, f"{error.detail}: {request.method} {shown(request.url.path)}.", allow)
    return _failed(error)


def _failed(error: Exception) -> Response:
    answer = error_answer(error)
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(b"".join(answer.chunks), answer.code, headers)
