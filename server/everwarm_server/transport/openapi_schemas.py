"""The shapes of all bodies, as JSON Schema."""

from typing import Any, Final

from everwarm_server.protocol.tensors import DTYPES

Json = dict[str, Any]

_TEXT: Final[Json] = {"type": "string"}
_COUNT: Final[Json] = {"type": "integer", "minimum": 0}
_DATATYPE: Final[Json] = {"type": "string", "enum": list(DTYPES)}
_PARAMETERS: Final[Json] = {
    "type": ["object", "null"],
    "maxProperties": 256,
    "additionalProperties": {"type": ["string", "number", "boolean"]},
}
_ID: Final[Json] = {"type": ["string", "null"], "maxLength": 1024}


def _object(*required: str, **properties: Json) -> Json:
    return {"type": "object", "required": list(required), "properties": properties}


def _list(items: Json, **more: Any) -> Json:
    return {"type": "array", "items": items, **more}


def _all(**properties: Json) -> Json:
    """An object that has them all."""
    return _object(*properties, **properties)


_SHAPE: Final = _list({"type": "integer", "minimum": 0})
_DATA: Final[Json] = {
    "type": "array",
    "description": "flat or nested, row-major; absent where the parameter binary_data_size says that it follows",
}
_SPEC: Final = _all(name=_TEXT, datatype=_DATATYPE, shape=_list({"type": "integer", "minimum": -1}))
_INPUT: Final = _object(
    "name",
    "shape",
    "datatype",
    name={"type": "string", "minLength": 1},
    shape=_SHAPE,
    datatype=_DATATYPE,
    parameters=_PARAMETERS,
    data=_DATA,
)
_OUTPUT: Final = _object(
    "name", "shape", "datatype", name=_TEXT, shape=_SHAPE, datatype=_DATATYPE, parameters=_PARAMETERS, data=_DATA
)
_REQUESTED: Final = _object("name", name={"type": "string", "minLength": 1}, parameters=_PARAMETERS)
_DURATION: Final = _all(count=_COUNT, ns=_COUNT)
_DURATIONS: Final = _all(
    success=_DURATION,
    fail=_DURATION,
    queue=_DURATION,
    compute_input=_DURATION,
    compute_infer=_DURATION,
    compute_output=_DURATION,
)
_BATCH: Final = _object(
    "batch_size",
    batch_size=_COUNT,
    compute_input=_DURATION,
    compute_infer=_DURATION,
    compute_output=_DURATION,
)
_MODEL_STATISTICS: Final = _all(
    name=_TEXT,
    version=_TEXT,
    last_inference=_COUNT,
    inference_count=_COUNT,
    execution_count=_COUNT,
    inference_stats=_DURATIONS,
    batch_stats=_list(_BATCH),
)
_ENTRY: Final = _object(
    "name",
    "state",
    name=_TEXT,
    version=_TEXT,
    state={"type": "string", "enum": ["UNKNOWN", "READY", "UNAVAILABLE", "LOADING", "UNLOADING"]},
    reason=_TEXT,
)
_TENSOR_CONFIG: Final = _all(name=_TEXT, data_type=_TEXT, dims=_list({"type": "integer"}))
_CONFIG_PARAMETER: Final[Json] = {
    "type": "string",
    "contentMediaType": "application/json",
    "description": "Triton's ModelConfig, of which version_policy is taken and the rest refused",
    "examples": ['{"version_policy": {"latest": {"num_versions": 1}}}'],
}

SCHEMAS: Final[dict[str, Json]] = {
    "Error": _all(error=_TEXT),
    "Names": _all(models=_list(_TEXT)),
    "ServerMetadata": _all(name=_TEXT, version=_TEXT, extensions=_list(_TEXT)),
    "ModelReady": _all(name=_TEXT, ready={"const": True}),
    "ModelMetadata": _all(name=_TEXT, versions=_list(_TEXT), platform=_TEXT, inputs=_list(_SPEC), outputs=_list(_SPEC)),
    "ModelConfig": _object(
        "name",
        "platform",
        "max_batch_size",
        "input",
        "output",
        name=_TEXT,
        platform=_TEXT,
        max_batch_size=_COUNT,
        input=_list(_TENSOR_CONFIG),
        output=_list(_TENSOR_CONFIG),
    ),
    "Statistics": _all(model_stats=_list(_MODEL_STATISTICS)),
    "InferRequest": _object(
        "inputs",
        id=_ID,
        parameters=_PARAMETERS,
        inputs=_list(_INPUT),
        outputs={"type": ["array", "null"], "items": _REQUESTED},
    ),
    "InferResponse": _object(
        "model_name",
        "outputs",
        model_name=_TEXT,
        model_version=_TEXT,
        id=_TEXT,
        parameters=_PARAMETERS,
        outputs=_list(_OUTPUT),
    ),
    "Predict": {"type": "object", "properties": {"instances": {"type": "array"}, "inputs": {}}},
    "Prediction": {"type": "object", "properties": {"predictions": {"type": "array"}, "outputs": {}}},
    "Generate": {
        "type": "object",
        "description": "members named after inputs are those; others, and those of `parameters`, are parameters",
    },
    "Generated": _object("model_name", model_name=_TEXT, model_version=_TEXT, id=_TEXT),
    "IndexRequest": _object(ready={"type": "boolean"}),
    "Index": _list(_ENTRY),
    "LoadRequest": _object(
        parameters={
            "type": "object",
            "properties": {"config": _CONFIG_PARAMETER},
            "additionalProperties": False,
        }
    ),
    "UnloadRequest": _object(
        parameters={
            "type": "object",
            "properties": {"unload_dependents": {"type": "boolean"}},
            "additionalProperties": False,
        }
    ),
}
