"""The FastAPI application for all that is not hot: metadata, the list of models, OpenAPI. Errors are as V2 says."""

from importlib.metadata import version
from typing import Annotated, Any

from fastapi import FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from everwarm_server.errors import ServingError
from everwarm_server.protocol.sentences import shown
from everwarm_server.protocol.v2_json import encode_metadata
from everwarm_server.repository import Repository
from everwarm_server.transport import openapi
from everwarm_server.transport.http import Refused, error_answer

Name = Annotated[str, Path(description="The model's name.")]
Version = Annotated[str, Path(description="The model's version.")]


def application(repository: Repository) -> FastAPI:
    """The application for the models of a server."""
    app = FastAPI(
        title="everwarm", version=version("everwarm"), description=openapi.DESCRIPTION, redirect_slashes=False
    )
    for kind in (HTTPException, RequestValidationError, ServingError, Exception):
        app.add_exception_handler(kind, _error)
    _server_routes(app, repository)
    _model_routes(app, repository)
    described = app.openapi()
    for plane in repository.planes():
        described["paths"] |= openapi.paths(plane.name, plane.version)
    app.openapi_schema = described
    return app


def _server_routes(app: FastAPI, repository: Repository) -> None:
    @app.get("/", tags=["V1"])
    async def alive() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/v2/", include_in_schema=False)
    @app.get("/v2", tags=["V2"])
    async def server_metadata() -> dict[str, Any]:
        """Name and version of the server, and the extensions of the protocol that it has."""
        return {"name": "everwarm", "version": version("everwarm"), "extensions": ["binary_tensor_data"]}

    @app.get("/v1/models", tags=["V1"])
    async def models() -> dict[str, list[str]]:
        """The models' names."""
        return {"models": repository.names}


def _model_routes(app: FastAPI, repository: Repository) -> None:
    def described(name: str, version: str | None) -> Response:
        metadata = repository.find(name, version).metadata()
        versions = tuple(repository.versions(name)) if version is None else (version,)
        return Response(encode_metadata(metadata, versions), media_type="application/json")

    def ready(name: str, version: str | None) -> dict[str, Any]:
        repository.find(name, version).check_ready()
        return {"name": name, "ready": True}

    @app.get("/v2/models/{name}/versions/{model_version}", tags=["V2"])
    async def version_metadata(name: Name, model_version: Version) -> Response:
        """Inputs and outputs of the model."""
        return described(name, model_version)

    @app.get("/v2/models/{name}", tags=["V2"])
    async def model_metadata(name: Name) -> Response:
        """Inputs and outputs of the model."""
        return described(name, None)

    @app.get("/v2/models/{name}/versions/{model_version}/ready", tags=["V2"])
    async def version_ready(name: Name, model_version: Version) -> dict[str, Any]:
        """Whether the model is ready: 200 or 503."""
        return ready(name, model_version)

    @app.get("/v2/models/{name}/ready", tags=["V2"])
    async def model_ready(name: Name) -> dict[str, Any]:
        """Whether the model is ready: 200 or 503."""
        return ready(name, None)

    @app.get("/v1/models/{name}", tags=["V1"])
    async def v1_model(name: Name) -> dict[str, Any]:
        """Whether the model is ready: 200 or 503."""
        return ready(name, None)


async def _error(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        allow = [(name.encode(), value.encode()) for name, value in (error.headers or {}).items()]
        error = Refused(error.status_code, f"{error.detail}: {request.method} {shown(request.url.path)}.", allow)
    elif isinstance(error, RequestValidationError):
        error = Refused(422, "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()))
    answer = error_answer(error)
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(b"".join(answer.chunks), answer.code, headers)
