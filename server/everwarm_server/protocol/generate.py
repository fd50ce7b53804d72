"""Triton's generate extension: a flat JSON object to InferRequest, InferResponse to a flat JSON object.

Source: triton-inference-server/server, docs/protocol/extension_generate.md. A member named after an input of the model
is that input, a value alone or a flat list; the object `parameters` and all other members are parameters. `id` is the
request's, as in V2. A model that declares no inputs gets every member as an input: INT64, FP64, BOOL or BYTES.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol import fields, json_data
from everwarm_server.protocol.sentences import listed, shown
from everwarm_server.protocol.tensors import BINARY_ONLY, InferRequest, InferResponse, ModelMetadata, Tensor, TensorSpec
from everwarm_server.protocol.v2_json import Body, parse_object


def decode(body: Body, metadata: ModelMetadata) -> InferRequest:
    """One generate request.

    Raises:
        InvalidInput: anything is wrong with it; the sentence says what.
    """
    document = parse_object(memoryview(body))
    specs = {spec.name: spec for spec in metadata.inputs}
    identity = None if "id" in specs else fields.identity(document.pop("id", None))
    inputs: dict[str, Tensor] = {}
    parameters: dict[str, str | int | float | bool] = {}
    for name, value, declarable in _members(document, specs):
        if name in specs and name not in inputs:
            inputs[name] = _tensor(specs[name], value)
        elif not specs and declarable:
            inputs[name] = _tensor(_guessed(name, value), value)
        elif isinstance(value, str | int | float | bool):
            parameters[name] = value
        else:
            what = f"no input of the model, which has {listed(list(specs))}, so it" if specs else "a parameter, so it"
            raise InvalidInput(
                f"{shown(name)} is {what} must be a string, a number, true or false; it is {shown(value)}."
            )
    fields.check_count(parameters, "request")
    return InferRequest(tuple(inputs.values()), identity, parameters=parameters)


def _members(document: dict[str, Any], specs: dict[str, TensorSpec]) -> Iterator[tuple[str, Any, bool]]:
    """Names and values, and whether they may be inputs that nobody declared; those in `parameters` come last."""
    nested = {} if "parameters" in specs else document.pop("parameters", {})
    if type(nested) is not dict:
        raise InvalidInput(f"The parameters of the request are {shown(nested)}; they must be an object.")
    for name, value in document.items():
        yield name, value, True
    for name, value in nested.items():
        yield name, value, False


def _guessed(name: str, value: Any) -> TensorSpec:
    elements = value if type(value) is list else [value]
    datatype = json_data.UNDECLARED_DATATYPES.get(frozenset(map(type, elements)))
    if datatype is None:
        raise InvalidInput(
            f"The input {shown(name)} is {shown(value)}; it must be a string, a number, true or false, or a flat list "
            "of one of these kinds."
        )
    return TensorSpec(name, datatype, (-1,))


def _tensor(spec: TensorSpec, value: Any) -> Tensor:
    owner = f"input {shown(spec.name)}"
    fields.check_has_text_form(spec.datatype, owner, "send it by /infer")
    elements = value if type(value) is list else [value]
    shape = json_data.shape_of(elements, owner)
    if len(shape) != len(spec.shape) and len(shape) == 1:
        shape = _filled(spec.shape, len(elements))
    return Tensor(
        spec.name,
        spec.datatype,
        json_data.to_array(json_data.flatten(elements, shape, owner), spec.datatype, shape, owner),
    )


def _filled(declared: tuple[int, ...], count: int) -> tuple[int, ...]:
    """A declared shape for so many elements: the last dimension of any size takes them, the others become 1."""
    shape = [1 if dimension == -1 else dimension for dimension in declared]
    if -1 in declared:
        last = len(declared) - 1 - declared[::-1].index(-1)
        shape[last] = count // max(1, math.prod(shape))
    return tuple(shape)


def encode(response: InferResponse) -> bytes:
    """The answer: each output by its name, flat, and one element alone without a list.

    Raises:
        InferenceFailed: an output holds what JSON can't carry.
    """
    document: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id is not None:
        document["id"] = response.id
    for tensor in response.outputs:
        values = json_data.from_tensor(_with_text_form(tensor), flat=True)
        document[tensor.name] = values[0] if len(values) == 1 else values
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _with_text_form(tensor: Tensor) -> Tensor:
    return Tensor(tensor.name, "FP32", tensor.data.astype(np.float32)) if tensor.datatype in BINARY_ONLY else tensor
