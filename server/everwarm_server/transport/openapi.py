"""The OpenAPI document of the whole main port: names of models in, the document out.

Written by hand, since what is hot is not FastAPI's, and since FastAPI would promise errors that are never given. The
paths and shapes are those of kserve/open-inference-protocol (open_inference_rest.yaml, whose paths are no templates and
whose tensors can't be binary), of V1 as KServe and TensorFlow Serving have it, and of Triton's extensions.
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

from everwarm_server.catalogue import NAME_PATTERN
from everwarm_server.transport import openapi_schemas as schemas

Json = dict[str, Any]

DESCRIPTION: Final = (
    'Models by the V1 and V2 (Open Inference) protocols. Errors are `{"error": "a sentence"}`. Tensors may come and go '
    "as binary after the JSON, with its length in the header Inference-Header-Content-Length. 503 says in Retry-After "
    "when to try again."
)
_WHY: Final = {
    400: "the request is wrong",
    401: "no valid token",
    403: "this server does not do that by request",
    404: "there is no such model or version",
    408: "the body came too slowly",
    413: "the body is too large",
    415: "the body is packed by something that is not offered",
    429: "too many requests of this tenant wait",
    500: "the model failed, or can't be loaded",
    503: "not ready, or too many requests wait",
    504: "the answer would come too late",
}
_ANY: Final = (401,)
_OF_MODEL: Final = (*_ANY, 404, 503)
_INFER: Final = (400, *_OF_MODEL, 408, 413, 415, 429, 500, 504)
_CONTROL: Final = (400, 401, 403, 404, 408, 413, 500, 503)


def _body(schema: Json, *, media_type: str = "application/json") -> Json:
    return {media_type: {"schema": schema}}


def _operation(identity: str, tag: str, summary: str, answer: Json, errors: Sequence[int]) -> Json:
    """One method of one path; `answer` is the content of a 200."""
    responses: Json = {"200": {"description": "OK", "content": answer}}
    for code in errors:
        responses[str(code)] = {"description": _WHY[code], "content": _body(_ref("Error"))}
    return {"operationId": identity, "tags": [tag], "summary": summary, "responses": responses}


def _get(identity: str, tag: str, summary: str, schema: Json, errors: Sequence[int]) -> Json:
    return {"get": _operation(identity, tag, summary, _body(schema), errors)}


def _post(identity: str, tag: str, summary: str, request: Json, answer: Json, errors: Sequence[int]) -> Json:
    operation = _operation(identity, tag, summary, answer, errors)
    return {"post": operation | {"requestBody": {"required": True, "content": request}}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _versioned(paths: Json, path: str, item: Json) -> None:
    """A path of a model, and the same of one of its versions."""
    paths[path.replace("{version}", "")] = item | {"parameters": [_NAME_PARAMETER]}
    base, _, verb = path.partition("{version}")
    same = {method: {**each, "operationId": f"{each['operationId']}Version"} for method, each in item.items()}
    paths[f"{base}/versions/{{version}}{verb}"] = same | {"parameters": [_NAME_PARAMETER, _VERSION_PARAMETER]}


_NAME_PARAMETER: Final = {"$ref": "#/components/parameters/Name"}
_VERSION_PARAMETER: Final = {"$ref": "#/components/parameters/Version"}


def _probe(item: Json) -> Json:
    """What needs no token."""
    return {"get": item["get"] | {"security": []}}


def _server_paths() -> Json:
    alive = {"type": "object", "required": ["status"], "properties": {"status": {"const": "alive"}}}
    live = {"type": "object", "required": ["live"], "properties": {"live": {"const": True}}}
    ready = {"type": "object", "required": ["ready"], "properties": {"ready": {"const": True}}}
    text = {kind: {"schema": {"type": "string"}} for kind in ("text/plain", "application/openmetrics-text")}
    metrics = {"get": _operation("metrics", "Operation", "Metrics in Prometheus' format", text, (401, 404))}
    return {
        "/": _get("alive", "V1", "Whether the server runs", alive, _ANY),
        "/v1/models": _get("v1Models", "V1", "The models' names", _ref("Names"), _ANY),
        "/v2": _get("serverMetadata", "V2", "Name, version and extensions", _ref("ServerMetadata"), _ANY),
        "/v2/health/live": _probe(_get("serverLive", "V2", "Whether the server runs", live, ())),
        "/v2/health/ready": _probe(_get("serverReady", "V2", "Whether all models are ready", ready, (503,))),
        "/v2/models": _get("models", "V2", "The models' names", _ref("Names"), _ANY),
        "/v2/models/stats": _get("allStatistics", "Triton", "What was counted", _ref("Statistics"), _ANY),
        "/metrics": metrics,
    }


def _model_paths() -> Json:
    paths: Json = {"/v1/models/{name}": _get("v1Ready", "V1", "Whether it is ready", _ref("ModelReady"), _OF_MODEL)}
    paths["/v1/models/{name}"]["parameters"] = [_NAME_PARAMETER]
    for verb, identity, tag, summary, schema in (
        ("", "modelMetadata", "V2", "Its inputs and outputs", "ModelMetadata"),
        ("/ready", "modelReady", "V2", "Whether it is ready", "ModelReady"),
        ("/config", "modelConfig", "Triton", "How it is served", "ModelConfig"),
        ("/stats", "modelStatistics", "Triton", "What was counted since it was loaded", "Statistics"),
    ):
        item = _get(identity, tag, summary, _ref(schema), _OF_MODEL)
        _versioned(paths, f"/v2/models/{{name}}{{version}}{verb}", item)
    return paths


def _inference_paths() -> Json:
    paths: Json = {}
    events = _body({"type": "string"}, media_type="text/event-stream")
    for path, identity, tag, summary, request, answer in (
        ("/v2/models/{name}{version}/infer", "infer", "V2", "Infer", "InferRequest", _body(_ref("InferResponse"))),
        ("/v1/models/{name}{version}:predict", "predict", "V1", "Predict", "Predict", _body(_ref("Prediction"))),
        ("/v2/models/{name}{version}/generate", "generate", "Triton", "Generate", "Generate", _body(_ref("Generated"))),
        ("/v2/models/{name}{version}/generate_stream", "generateStream", "Triton", "Stream", "Generate", events),
        ("/v2/models/{name}{version}/infer_stream", "inferStream", "V2", "Infer in a stream", "InferRequest", events),
    ):
        item = _post(identity, tag, summary, _body(_ref(request)), answer, _INFER)
        if identity == "infer":
            binary = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
            item["post"]["responses"]["200"]["content"]["application/octet-stream"] = binary
        _versioned(paths, path, item)
    return paths


def _repository_paths() -> Json:
    paths: Json = {
        "/v2/repository/index": _post(
            "repositoryIndex",
            "Triton",
            "All versions and their states",
            _body(_ref("IndexRequest")),
            _body(_ref("Index")),
            (400, 401, 408, 413),
        )
    }
    for verb, summary in (("load", "Load it, or load it again"), ("unload", "Take it away")):
        item = _post(
            verb, "Triton", summary, _body(_ref(f"{verb.title()}Request")), _body({"type": "object"}), _CONTROL
        )
        paths[f"/v2/repository/models/{{name}}/{verb}"] = item | {"parameters": [_NAME_PARAMETER]}
    for item in paths.values():
        item["post"]["requestBody"]["required"] = False
    return paths


def document(names: Sequence[str], *, needs_token: bool) -> Json:
    """The whole document; the names are examples, since models come and go."""
    examples = {"examples": list(names)} if names else {}
    return {
        "openapi": "3.1.0",
        "info": {"title": "everwarm", "version": version("everwarm"), "description": DESCRIPTION},
        "paths": {**_server_paths(), **_model_paths(), **_inference_paths(), **_repository_paths()},
        "components": {
            "schemas": schemas.SCHEMAS,
            "parameters": {
                "Name": {
                    "name": "name",
                    "in": "path",
                    "required": True,
                    "description": "the model's name",
                    "schema": {"type": "string", "pattern": NAME_PATTERN, **examples},
                },
                "Version": {
                    "name": "version",
                    "in": "path",
                    "required": True,
                    "description": "a version of it",
                    "schema": {"type": "string", "pattern": "^[1-9][0-9]{0,17}$", "examples": ["1"]},
                },
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}] if needs_token else [],
    }
