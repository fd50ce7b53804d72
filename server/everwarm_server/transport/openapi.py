"""The OpenAPI description of what FastAPI does not route: inference, probes. A model's name in, `paths` out."""

from typing import Any, Final

DESCRIPTION: Final = (
    'One model by the V1 and V2 (Open Inference) protocols. Errors are `{"error": "a sentence"}`. Tensors may come '
    "and go as binary after the JSON, with its length in the header Inference-Header-Content-Length."
)
_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}
_TENSOR: Final = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": {"type": "string", "examples": ["FP32"]},
        "parameters": {"type": "object"},
        "data": {"type": "array", "items": {}, "description": "flat or nested, row-major; absent if it is binary"},
    },
}
_V2_REQUEST: Final = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "inputs": {"type": "array", "items": _TENSOR},
        "outputs": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
    },
}
_V2_RESPONSE: Final = {
    "type": "object",
    "required": ["model_name", "outputs"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": {"type": "array", "items": _TENSOR},
    },
}
_V1_REQUEST: Final = {"type": "object", "properties": {"instances": {"type": "array", "items": {}}, "inputs": {}}}
_V1_RESPONSE: Final = {"type": "object", "properties": {"predictions": {"type": "array", "items": {}}, "outputs": {}}}
_CODES: Final = {
    "400": "the request is wrong",
    "401": "no valid token",
    "404": "no such model",
    "413": "the body is too large",
    "415": "the body is compressed by something else than gzip or deflate",
    "500": "the model failed",
    "503": "not ready, or too many requests wait: try again after Retry-After seconds",
}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _post(tag: str, summary: str, request: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    errors = {code: {"description": text, "content": _json(_ERROR)} for code, text in _CODES.items()}
    answers = {"200": {"description": "the model's answer", "content": _json(response)}}
    body = {"required": True, "content": _json(request)}
    return {"post": {"tags": [tag], "summary": summary, "requestBody": body, "responses": answers | errors}}


def _probe(summary: str) -> dict[str, Any]:
    answers = {"200": {"description": "yes"}, "503": {"description": "no", "content": _json(_ERROR)}}
    return {"get": {"tags": ["V2"], "summary": summary, "responses": answers}}


def paths(model_name: str, model_version: str) -> dict[str, Any]:
    """The operations of the hot path and the probes."""
    return {
        "/v2/health/live": _probe("Whether the server runs"),
        "/v2/health/ready": _probe("Whether the model is ready"),
        f"/v2/models/{model_name}/infer": _post("V2", "Infer", _V2_REQUEST, _V2_RESPONSE),
        f"/v2/models/{model_name}/versions/{model_version}/infer": _post(
            "V2", "Infer by a version", _V2_REQUEST, _V2_RESPONSE
        ),
        f"/v1/models/{model_name}:predict": _post("V1", "Predict", _V1_REQUEST, _V1_RESPONSE),
    }
