"""Open Inference Protocol V2 with binary tensors, the client's side: arrays -> request, response -> arrays. No sockets.

Source: open-inference-protocol, inference_rest.md, and Triton's extension_binary_data.md. Needs numpy, which comes with
the server; nothing else of the CLI does.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
_DTYPES: Final = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input as the model's metadata describes it; -1 is a dimension of any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A request, ready to be sent."""

    headers: Mapping[str, str]
    body: bytes


def inputs(metadata: Mapping[str, Any]) -> tuple[InputSpec, ...]:
    """The inputs of a model's metadata.

    Raises:
        ValueError: it has none, or one of a datatype that has no fixed size.
    """
    specs = tuple(InputSpec(i["name"], i["datatype"], tuple(i["shape"])) for i in metadata.get("inputs", ()))
    if not specs:
        raise ValueError("the model does not say what inputs it takes")
    for spec in specs:
        if spec.datatype not in _DTYPES:
            raise ValueError(f"the input {spec.name} is of datatype {spec.datatype}")
    return specs


def zeros(spec: InputSpec, rows: int) -> Array:
    """An input of zeros: `rows` in the first dimension if it may have any size, 1 in the others."""
    shape = [1 if size < 0 else size for size in spec.shape]
    if spec.shape and spec.shape[0] < 0:
        shape[0] = rows
    return np.zeros(shape, _DTYPES[spec.datatype])


def fitting(spec: InputSpec, values: Array) -> Array:
    """Rows of samples in the input's datatype and shape.

    Raises:
        ValueError: they do not fit.
    """
    return np.ascontiguousarray(values.reshape(len(values), *spec.shape[1:]), _DTYPES[spec.datatype])


def encode(arrays: Mapping[InputSpec, Array], output: str | None) -> Encoded:
    """A request with binary inputs that asks for one output as binary, or for all as JSON."""
    head: dict[str, Any] = {
        "inputs": [
            {
                "name": spec.name,
                "datatype": spec.datatype,
                "shape": array.shape,
                "parameters": {"binary_data_size": array.nbytes},
            }
            for spec, array in arrays.items()
        ]
    }
    if output is not None:
        head["outputs"] = [{"name": output, "parameters": {"binary_data": True}}]
    text = json.dumps(head).encode()
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(text))}
    return Encoded(headers, text + b"".join(array.tobytes() for array in arrays.values()))


def first_output(headers: Mapping[str, str], body: bytes) -> Array:
    """The first output of a response, binary or not.

    Raises:
        ValueError: the response has none, or can't be read.
    """
    length = headers.get(HEADER_LENGTH)
    try:
        head = json.loads(body if length is None else body[: int(length)])
        output = head["outputs"][0]
        dtype = _DTYPES[output["datatype"]]
        if "data" in output:
            return np.asarray(output["data"], dtype).reshape(output["shape"])
        size = output["parameters"]["binary_data_size"]
        start = int(length or 0)
        return np.frombuffer(body[start : start + size], dtype).reshape(output["shape"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"the answer is no V2 response: {error!r}") from error
