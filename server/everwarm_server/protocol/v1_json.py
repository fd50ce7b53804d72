"""The V1 protocol (`:predict`) over HTTP: rows or columns of JSON to InferRequest, InferResponse to the same form.

Source: TensorFlow Serving, g3doc/api_rest.md; KServe's V1 is the row form of it. V1 names no datatypes and no shapes:
the model's metadata does, and a model that declares no inputs gets INT64, FP64, BOOL or BYTES, as the values are.
"""

import base64
import binascii
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from everwarm_server.errors import InferenceFailed, InvalidInput
from everwarm_server.protocol import json_data, json_numbers, shapes
from everwarm_server.protocol.json_numbers import Unusual
from everwarm_server.protocol.sentences import listed, shown
from everwarm_server.protocol.tensors import InferRequest, InferResponse, ModelMetadata, Tensor
from everwarm_server.protocol.v2_json import Body, Chunks, Headers, json_headers, parse_object

UNDECLARED_INPUT: Final = "instances"  # the input's name for a model that declares none, unless the rows name some
_VALUES: Final = frozenset({"instances", "inputs"})


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """A V1 request: what the model is asked, and whether its answer is wanted in columns (`outputs`) or rows."""

    request: InferRequest
    columnar: bool


def decode_predict(body: Body, metadata: ModelMetadata) -> PredictRequest:
    """One `:predict` request: `{"instances": [row, ...]}`, or `{"inputs": column}` or `{"inputs": {name: column}}`.

    A row is the value of the one input, or an object of all inputs by name. `{"b64": "..."}` is bytes.

    Raises:
        InvalidInput: anything is wrong with it; the sentence says what.
    """
    try:
        return _decode_numbers(body, metadata)
    except Unusual:
        pass
    document = parse_object(memoryview(body))
    if ("instances" in document) == ("inputs" in document):
        raise InvalidInput(
            'A V1 request needs either "instances" (a list of rows) or "inputs" (columns), and not both.'
        )
    columnar = "inputs" in document
    columns = _columns(document["inputs"], metadata) if columnar else _rows(document["instances"], metadata)
    datatypes = {spec.name: spec.datatype for spec in metadata.inputs}
    inputs = tuple(_tensor(name, values, datatypes.get(name)) for name, values in columns.items())
    return PredictRequest(InferRequest(inputs=inputs), columnar)


def _decode_numbers(body: Body, metadata: ModelMetadata) -> PredictRequest:
    """Rows, or a column, of numbers for a model with one input."""
    if len(metadata.inputs) != 1:
        raise Unusual
    spec = metadata.inputs[0]
    with json_numbers.Document(body) as document:
        members = document.members(_VALUES)
        if len(_VALUES.intersection(members)) != 1:
            raise Unusual
        columnar = "inputs" in members
        values = members["inputs" if columnar else "instances"]
        shape = shapes.parse(list(document.shape(values)), f"input {shown(spec.name)}")
        if not math.prod(shape):
            raise Unusual
        array = document.numbers(values, spec.datatype, shape)
        document.check(0)
        return PredictRequest(InferRequest((Tensor(spec.name, spec.datatype, array),)), columnar)


def _only_name(metadata: ModelMetadata) -> str:
    if len(metadata.inputs) > 1:
        names = listed([spec.name for spec in metadata.inputs])
        raise InvalidInput(
            f"The model {shown(metadata.name)} has several inputs, so each must be named; they are {names}."
        )
    return metadata.inputs[0].name if metadata.inputs else UNDECLARED_INPUT


def _is_named(value: Any, metadata: ModelMetadata) -> bool:
    declared = {spec.name for spec in metadata.inputs}
    return type(value) is dict and (set(value) != {"b64"} or "b64" in declared)


def _columns(value: Any, metadata: ModelMetadata) -> dict[str, Any]:
    return value if _is_named(value, metadata) else {_only_name(metadata): value}


def _rows(rows: Any, metadata: ModelMetadata) -> dict[str, list[Any]]:
    if type(rows) is not list or not rows:
        raise InvalidInput(f'"instances" is {shown(rows) if rows != [] else "empty"}; it must be a list of rows.')
    if not _is_named(rows[0], metadata):
        return {_only_name(metadata): rows}
    names = rows[0].keys()
    for index, row in enumerate(rows):
        if type(row) is not dict or row.keys() != names:
            raise InvalidInput(f"Row {index} does not have the names of row 0, which are {listed(list(names))}.")
    return {name: [row[name] for row in rows] for name in names}


def _tensor(name: str, values: Any, datatype: str | None) -> Tensor:
    owner = f"input {shown(name)}"
    shape = json_data.shape_of(values, owner)
    elements = json_data.flatten(values, shape, owner) if type(values) is list else [values]
    kinds = frozenset(map(type, elements))
    if dict in kinds:
        if datatype not in {None, "BYTES"}:
            raise InvalidInput(f"The {owner} is {datatype}, so its data must not hold an object such as b64.")
        encoded = [_from_b64(element, owner) for element in elements]
        return Tensor(name, "BYTES", json_data.to_bytes_array(encoded, shape))
    if datatype is None:
        datatype = json_data.UNDECLARED_DATATYPES.get(kinds)
        if datatype is None:
            raise InvalidInput(f"The {owner} mixes kinds of values, or has none; send numbers only, or strings only.")
    return Tensor(name, datatype, json_data.to_array(elements, datatype, shape, owner))


def _from_b64(value: Any, owner: str) -> bytes:
    if type(value) is str:
        return value.encode()
    encoded = value.get("b64") if type(value) is dict and len(value) == 1 else None
    if type(encoded) is not str:
        raise InvalidInput(f'The {owner} must hold strings or {{"b64": "..."}}, but there is {shown(value)}.')
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(f"The {owner} has a b64 value that is not base64.") from None


def encode_predict(response: InferResponse, *, columnar: bool) -> tuple[Chunks, Headers]:
    """`{"predictions": rows}`, or `{"outputs": columns}`: values alone for one output, objects by name for several.

    As in TensorFlow Serving, BYTES are strings, or `{"b64": "..."}` for an output whose name ends in `_bytes`.

    Raises:
        InferenceFailed: an output holds what JSON can't carry, or the outputs can't be cut into the same rows.
    """
    values = {tensor.name: _values(tensor) for tensor in response.outputs}
    if columnar:
        document = {"outputs": next(iter(values.values())) if len(values) == 1 else values}
    else:
        document = {"predictions": _predictions(response, values)}
    body = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return [body], json_headers(body)


def _predictions(response: InferResponse, values: dict[str, Any]) -> Any:
    counts = {tensor.name: tensor.data.shape[0] if tensor.data.ndim else None for tensor in response.outputs}
    if len(set(counts.values())) != 1 or None in counts.values():
        raise InferenceFailed(
            f"The outputs {listed(list(counts))} have no rows in common; ask by columns "
            '(V1 "inputs" in place of "instances") or by the V2 protocol.'
        )
    if len(values) == 1:
        return next(iter(values.values()))
    # Rows stay arrays: as lists of Python floats an FP32 of 0.1 would be written with 17 digits.
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _values(tensor: Tensor) -> Any:
    if tensor.datatype == "BYTES" and tensor.name.endswith("_bytes"):
        flat = [e.encode() if isinstance(e, str) else bytes(e) for e in tensor.data.reshape(-1).tolist()]
        objects = np.empty(len(flat), object)
        objects[:] = [{"b64": base64.b64encode(element).decode()} for element in flat]
        return objects.reshape(tensor.data.shape).tolist()
    return json_data.from_tensor(tensor)
