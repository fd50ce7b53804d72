"""The FastAPI application for all that is not hot: metadata, the list of models, OpenAPI. Errors are as V2 says."""

from importlib.metadata import version
from typing import Annotated, Any

from fastapi import FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from everwarm_server.dataplane import DataPlane
from everwarm_server.errors import ServingError
from everwarm_server.protocol.sentences import shown
from everwarm_server.protocol.v2_json import encode_metadata
from everwarm_server.transport import openapi
from everwarm_server.transport.http import Refused, error_answer

Name = Annotated[str, Path(description="The model's name.")]
Version = Annotated[str, Path(description="The model's version.")]


def application(plane: DataPlane) -> FastAPI:
    """The application for one model."""
    app = FastAPI(
        title="everwarm", version=version("everwarm"), description=openapi.DESCRIPTION, redirect_slashes=False
    )
    for kind in (HTTPException, RequestValidationError, ServingError, Exception):
        app.add_exception_handler(kind, _error)
    _server_routes(app, plane)
    _model_routes(app, plane)
    described = app.openapi()
    described["paths"] |= openapi.paths(plane.name, plane.version)
    app.openapi_schema = described
    return app


def _server_routes(app: FastAPI, plane: DataPlane) -> None:
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
        return {"models": [plane.name]}


def _model_routes(app: FastAPI, plane: DataPlane) -> None:
    def check(name: str, model_version: str) -> None:
        if (name, model_version) != (plane.name, plane.version):
            raise plane.not_served(name, model_version)

    @app.get("/v2/models/{name}/versions/{model_version}", tags=["V2"])
    async def version_metadata(name: Name, model_version: Version) -> Response:
        """Inputs and outputs of the model."""
        check(name, model_version)
        return Response(encode_metadata(plane.metadata()), media_type="application/json")

    @app.get("/v2/models/{name}", tags=["V2"])
    async def model_metadata(name: Name) -> Response:
        """Inputs and outputs of the model."""
        return await version_metadata(name, plane.version)

    @app.get("/v2/models/{name}/versions/{model_version}/ready", tags=["V2"])
    async def version_ready(name: Name, model_version: Version) -> dict[str, Any]:
        """Whether the model is ready: 200 or 503."""
        check(name, model_version)
        plane.check_ready()
        return {"name": name, "ready": True}

    @app.get("/v2/models/{name}/ready", tags=["V2"])
    async def model_ready(name: Name) -> dict[str, Any]:
        """Whether the model is ready: 200 or 503."""
        return await version_ready(name, plane.version)

    @app.get("/v1/models/{name}", tags=["V1"])
    async def v1_model(name: Name) -> dict[str, Any]:
        """Whether the model is ready: 200 or 503."""
        return await version_ready(name, plane.version)


async def _error(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        allow = [(name.encode(), value.encode()) for name, value in (error.headers or {}).items()]
        error = Refused(error.status_code, f"{error.detail}: {request.method} {shown(request.url.path)}.", allow)
    elif isinstance(error, RequestValidationError):
        error = Refused(422, "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()))
    answer = error_answer(error)
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(b"".join(answer.chunks), answer.code, headers)
