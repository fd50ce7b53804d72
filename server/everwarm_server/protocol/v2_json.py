"""The V2 protocol (Open Inference Protocol) over HTTP: request bodies to InferRequest, InferResponse to bodies.

Source: kserve/open-inference-protocol, specification/protocol/inference_rest.md. The bytes behind the JSON are
v2_binary's. Unknown keys are ignored, as the protocol asks; duplicate keys of a JSON object count as the last of them.
"""

from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol import description, fields, json_data, json_numbers, shapes, v2_binary
from everwarm_server.protocol.json_numbers import Unusual
from everwarm_server.protocol.sentences import shown
from everwarm_server.protocol.tensors import (
    BINARY_ONLY,
    InferRequest,
    InferResponse,
    ModelMetadata,
    RequestedOutput,
    Tensor,
)

Body: TypeAlias = bytes | bytearray | memoryview
Chunks: TypeAlias = list[bytes | memoryview]
Headers: TypeAlias = list[tuple[bytes, bytes]]

_LISTS: Final = frozenset({"inputs"})
_DATA: Final = frozenset({"data"})
_SEND_BYTES: Final = "send binary_data_size and the bytes"
_HEADER_LENGTH: Final = v2_binary.HEADER_LENGTH.lower().encode()


def decode_request(body: Body, header_length: int | None = None, metadata: ModelMetadata | None = None) -> InferRequest:
    """One inference request.

    Args:
        body: the whole HTTP body; binary tensors of the result are views of it.
        header_length: value of the header Inference-Header-Content-Length in bytes, if it came. 0 with a body means
            that the body is the raw bytes of the model's one input, which needs `metadata`.
        metadata: the model's.

    Raises:
        InvalidInput: anything is wrong with it; the sentence says what.
    """
    view = memoryview(body)
    if header_length == 0 and view.nbytes > 0:
        return v2_binary.decode_raw(view, metadata)
    if header_length is None:
        try:
            return _decode_numbers(body)
        except Unusual:
            pass
    header, tail = v2_binary.split(view, header_length)
    document = parse_object(header)
    request = _request(document, _inputs(document.get("inputs"), tail))
    tail.check_empty()
    return request


def _decode_numbers(body: Body) -> InferRequest:
    """A request whose inputs all are JSON numbers, as those nearly always are that have no binary part."""
    if not isinstance(body, memoryview) and (b'"BYTES"' in body or b'"BOOL"' in body):
        raise Unusual  # before it is parsed in vain
    with json_numbers.Document(body) as document:
        members = document.members(_LISTS)
        items = _named(document.items(members.pop("inputs", None), _DATA), "input")
        inputs = []
        for name, item in items:
            head = _head(name, item)
            if head.size_bytes is not None or "data" not in item or head.datatype in BINARY_ONLY:
                raise Unusual
            array = document.numbers(item["data"], head.datatype, head.shape)
            inputs.append(Tensor(name, head.datatype, array))
        document.check(len(items) + ("outputs" in members))  # a shape each
        return _request(members, tuple(inputs))


def _request(document: dict[str, Any], inputs: tuple[Tensor, ...]) -> InferRequest:
    parameters = _parameters(document.get("parameters"), "request")
    binary_outputs = fields.flag(parameters.pop("binary_data_output", False), "binary_data_output", "request")
    return InferRequest(
        inputs=inputs,
        id=fields.identity(document.get("id")),
        outputs=_outputs(document.get("outputs"), binary_outputs=binary_outputs),
        binary_outputs=binary_outputs,
        parameters=parameters,
    )


def parse_object(body: memoryview) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InvalidInput: it is not JSON (NaN and numbers beyond FP64 are not), or not an object.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The body is not valid JSON: {error}.") from None
    if type(document) is not dict:
        raise InvalidInput(f"The body is {shown(document)}; it must be a JSON object.")
    return document


def _parameters(value: Any, owner: str) -> dict[str, str | int | float | bool]:
    if value is None:
        return {}
    if type(value) is not dict:
        raise InvalidInput(f"The parameters of the {owner} are {shown(value)}; they must be an object.")
    fields.check_count(value, owner)
    for name, parameter in value.items():
        if not isinstance(parameter, str | int | float | bool):
            raise InvalidInput(
                f"The parameter {shown(name)} of the {owner} is {shown(parameter)}; "
                "it must be a string, a number, true or false."
            )
    return dict(value)


def _named(items: Any, kind: str) -> list[tuple[str, dict[str, Any]]]:
    if type(items) is not list:
        given = f"no {kind}s" if items is None else f"{shown(items)} as {kind}s"
        raise InvalidInput(f"The request has {given}; it needs a list of objects with a name each.")
    found: dict[str, dict[str, Any]] = {}
    for index, item in enumerate(items):
        name = item.get("name") if type(item) is dict else None
        if type(name) is not str or not name:
            raise InvalidInput(f"The {kind} at position {index} has no name; it must be an object with a name.")
        if name in found:
            raise fields.refuse_twice(name, kind)
        found[name] = item
    return list(found.items())


def _inputs(items: Any, tail: v2_binary.Tail) -> tuple[Tensor, ...]:
    return tuple(_tensor(name, item, tail) for name, item in _named(items, "input"))


class _Head(NamedTuple):
    """All of an input but its data."""

    owner: str
    datatype: str
    shape: tuple[int, ...]
    size_bytes: Any


def _head(name: str, item: dict[str, Any]) -> _Head:
    owner = f"input {shown(name)}"
    datatype = fields.datatype(item.get("datatype"), owner)
    shape = shapes.parse(item.get("shape"), owner)
    parameters = _parameters(item.get("parameters"), owner)
    fields.check_offered(parameters, owner)
    return _Head(owner, datatype, shape, parameters.get("binary_data_size"))


def _tensor(name: str, item: dict[str, Any], tail: v2_binary.Tail) -> Tensor:
    owner, datatype, shape, size_bytes = _head(name, item)
    data = item.get("data")
    if size_bytes is not None:
        if type(size_bytes) is not int or size_bytes < 0:
            raise InvalidInput(f"The {owner} says binary_data_size {shown(size_bytes)}; it must be a count of bytes.")
        if data is not None:
            raise InvalidInput(f"The {owner} has both data and binary_data_size; send one of them.")
        return Tensor(name, datatype, v2_binary.to_array(tail.take(size_bytes, owner), datatype, shape, owner))
    if type(data) is not list:
        given = "neither data nor the parameter binary_data_size" if data is None else f"{shown(data)} as data"
        raise InvalidInput(f"The {owner} has {given}; it needs data as a list, or binary_data_size and the bytes.")
    fields.check_has_text_form(datatype, owner, _SEND_BYTES)
    return Tensor(name, datatype, json_data.to_array(json_data.flatten(data, shape, owner), datatype, shape, owner))


def _outputs(items: Any, *, binary_outputs: bool) -> tuple[RequestedOutput, ...]:
    if items is None:
        return ()
    requested = []
    for name, item in _named(items, "output"):
        owner = f"output {shown(name)}"
        parameters = _parameters(item.get("parameters"), owner)
        fields.check_offered(parameters, owner)
        binary = fields.flag(parameters.get("binary_data", binary_outputs), "binary_data", owner)
        requested.append(RequestedOutput(name, binary))
    return tuple(requested)


def encode_response(response: InferResponse, request: InferRequest) -> tuple[Chunks, Headers]:
    """The body, in chunks that may be views of the model's arrays, and its headers (Content-Length among them).

    Raises:
        InvalidInput: an FP16 or BF16 output is wanted as JSON.
        InferenceFailed: an output holds what JSON can't carry.
    """
    binary = {output.name: output.binary for output in request.outputs} if request.outputs else {}
    heads: list[dict[str, Any]] = []
    tails: Chunks = []
    for tensor in response.outputs:
        head: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.data.shape)}
        if binary.get(tensor.name, request.binary_outputs):
            raw = v2_binary.from_tensor(tensor)
            head["parameters"] = {"binary_data_size": len(raw)}
            tails.append(raw)
        else:
            head["data"] = _json_output(tensor)
        heads.append(head)
    document: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    identity = request.id if response.id is None else response.id
    if identity is not None:
        document["id"] = identity
    document["outputs"] = heads
    header = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    if not tails:
        return [header], json_headers(header)
    # Spaces up to a multiple of 8 are valid JSON and leave the first tensor aligned for the client.
    header += b" " * (-len(header) % 8)
    length = len(header) + sum(map(len, tails))
    return [header, *tails], [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", b"%d" % length),
        (_HEADER_LENGTH, b"%d" % len(header)),
    ]


def _json_output(tensor: Tensor) -> Any:
    fields.check_has_text_form(tensor.datatype, f"output {shown(tensor.name)}", "set its parameter binary_data to true")
    return json_data.from_tensor(tensor, flat=True)


def json_headers(body: bytes) -> Headers:
    """The headers of a body that is JSON alone."""
    return [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]


def encode_metadata(metadata: ModelMetadata, versions: tuple[str, ...] = ()) -> bytes:
    """The body of GET /v2/models/{model}; `versions` default to the one that `metadata` has."""
    return orjson.dumps(description.model_metadata(metadata, versions))


def encode_error(sentence: str) -> bytes:
    """The body of every error, of V1 and V2 alike."""
    return orjson.dumps({"error": sentence})
