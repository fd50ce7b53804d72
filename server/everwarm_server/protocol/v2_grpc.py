"""The V2 protocol over gRPC: a serialized ModelInferRequest to InferRequest, InferResponse to a serialized answer.

Source: kserve/open-inference-protocol, specification/protocol/inference_grpc.md, and Triton's grpc_service.proto, of
which the former is a part. Messages come and go as bytes, so that raw tensors are views of the request and are copied
once into the answer. Unknown fields are ignored, as protocol buffers want it.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

from google.protobuf.message import DecodeError

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol import fields, grpc_contents, shapes, v2_binary, wire
from everwarm_server.protocol.grpc_messages import InferRequestMessage, InferResponseMessage
from everwarm_server.protocol.sentences import shown
from everwarm_server.protocol.tensors import (
    InferRequest,
    InferResponse,
    Parameters,
    RequestedOutput,
    Tensor,
)

_RAW_INPUT: Final = InferRequestMessage.DESCRIPTOR.fields_by_name["raw_input_contents"].number
_RAW_OUTPUT: Final = InferResponseMessage.DESCRIPTOR.fields_by_name["raw_output_contents"].number
_ERROR_MESSAGE: Final = 1  # fields of ModelStreamInferResponse
_INFER_RESPONSE: Final = 2


class Envelope(NamedTuple):
    """A serialized request without its raw tensors, and these as views of it."""

    rest: bytes
    raw: list[memoryview]


class Message(NamedTuple):
    """A request whose tensors have not been looked at. An empty version means the one that the server prefers."""

    parsed: Any
    raw: list[memoryview]
    typed_bytes: int  # of all that is not raw

    @property
    def model_name(self) -> str:
        """The model that it is for."""
        return cast("str", self.parsed.model_name)

    @property
    def model_version(self) -> str | None:
        """The version that is asked for; None: whichever the server prefers."""
        return self.parsed.model_version or None


def open_envelope(serialized: bytes) -> Envelope:
    """Take out the raw tensors; quick, however large they are."""
    return Envelope(*wire.take_out(serialized, _RAW_INPUT))


def parse(envelope: Envelope) -> Message:
    """The message.

    Raises:
        InvalidInput: it is none.
    """
    try:
        return Message(InferRequestMessage.FromString(envelope.rest), envelope.raw, len(envelope.rest))
    except DecodeError:
        raise InvalidInput("The message is not a ModelInferRequest in protocol buffers' wire format.") from None


def decode(message: Message) -> InferRequest:
    """One request; its raw tensors are views of what was serialized.

    As in Triton, answers are raw (`InferRequest.binary_outputs`) whatever form the inputs had, since its clients read
    no other. The request's parameter `binary_data_output`, which V2 has over HTTP, set to false asks for typed ones.

    Raises:
        InvalidInput: anything is wrong with it; the sentence says what.
    """
    parsed = message.parsed
    parameters = _parameters(parsed.parameters, "request")
    binary = fields.flag(parameters.pop("binary_data_output", True), "binary_data_output", "request")
    return InferRequest(
        inputs=_inputs(parsed.inputs, message.raw),
        id=fields.identity(parsed.id or None),
        outputs=_outputs(parsed.outputs, binary=binary),
        binary_outputs=binary,
        parameters=parameters,
    )


def _inputs(tensors: Any, raw: list[memoryview]) -> tuple[Tensor, ...]:
    if raw and len(raw) != len(tensors):
        raise InvalidInput(
            f"The request has {len(tensors)} inputs and {len(raw)} raw_input_contents; "
            "send raw contents for all inputs, or for none."
        )
    decoded: dict[str, Tensor] = {}
    for index, tensor in enumerate(tensors):
        name = tensor.name
        if not name:
            raise InvalidInput(f"The input at position {index} has no name.")
        if name in decoded:
            raise fields.refuse_twice(name, "input")
        owner = f"input {shown(name)}"
        datatype = fields.datatype(tensor.datatype, owner)
        shape = shapes.parse(list(tensor.shape), owner)
        fields.check_offered(_parameters(tensor.parameters, owner), owner)
        if not raw:
            array = grpc_contents.to_array(tensor.contents, datatype, shape, owner)
        elif tensor.contents.ByteSize():
            raise InvalidInput(f"The {owner} has both contents and raw_input_contents; send one of them.")
        else:
            array = v2_binary.to_array(raw[index], datatype, shape, owner)
        decoded[name] = Tensor(name, datatype, array)
    return tuple(decoded.values())


def _outputs(outputs: Any, *, binary: bool) -> tuple[RequestedOutput, ...]:
    requested: dict[str, RequestedOutput] = {}
    for index, output in enumerate(outputs):
        if not output.name:
            raise InvalidInput(f"The output at position {index} has no name.")
        if output.name in requested:
            raise fields.refuse_twice(output.name, "output")
        owner = f"output {shown(output.name)}"
        fields.check_offered(_parameters(output.parameters, owner), owner)
        requested[output.name] = RequestedOutput(output.name, binary)
    return tuple(requested.values())


def _parameters(given: Any, owner: str) -> dict[str, str | int | float | bool]:
    if not given:
        return {}
    fields.check_count(given, owner)
    parameters = {}
    for name, parameter in given.items():
        kind = parameter.WhichOneof("parameter_choice")
        if kind is None:
            raise InvalidInput(f"The parameter {shown(name)} of the {owner} has no value.")
        parameters[name] = getattr(parameter, kind)
    return parameters


def encode_response(response: InferResponse, request: InferRequest, parameters: Parameters | None = None) -> bytes:
    """A serialized ModelInferResponse; `parameters` are the response's.

    Raises:
        InvalidInput: FP16 or BF16 is wanted as typed contents, which have none.
    """
    identity = request.id if response.id is None else response.id
    if request.binary_outputs:
        return b"".join([head(response, identity, parameters or {}), *raw_parts(response)])
    message = _message(response, identity, parameters or {})
    for tensor, output in zip(response.outputs, message.outputs, strict=True):
        output.contents.CopyFrom(grpc_contents.from_tensor(tensor, f"output {shown(tensor.name)}"))
    return cast("bytes", message.SerializeToString())


def head(response: InferResponse, identity: str | None, parameters: Parameters) -> bytes:
    """A serialized response up to its raw tensors."""
    return cast("bytes", _message(response, identity, parameters).SerializeToString())


def raw_parts(response: InferResponse) -> list[bytes | memoryview]:
    """The raw tensors of a response as serialized fields, in parts that may be views of them."""
    parts: list[bytes | memoryview] = []
    for tensor in response.outputs:
        raw = v2_binary.from_tensor(tensor)
        parts += [wire.prefix(_RAW_OUTPUT, len(raw)), raw]
    return parts


def _message(response: InferResponse, identity: str | None, parameters: Parameters) -> Any:
    message = InferResponseMessage(
        model_name=response.model_name, model_version=response.model_version, id=identity or ""
    )
    _set(message.parameters, parameters)
    for tensor in response.outputs:
        message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.data.shape)
    return message


def _set(target: Any, parameters: Mapping[str, Any]) -> None:
    for name, value in parameters.items():
        if isinstance(value, bool):
            target[name].bool_param = value
        elif isinstance(value, int):
            target[name].int64_param = value
        elif isinstance(value, float):
            target[name].double_param = value
        else:
            target[name].string_param = value


def stream_response(serialized: bytes) -> bytes:
    """A serialized ModelStreamInferResponse with a response."""
    return wire.prefix(_INFER_RESPONSE, len(serialized)) + serialized


def stream_error(sentence: str, identity: str | None) -> bytes:
    """A serialized ModelStreamInferResponse that says what was wrong with the request of an id."""
    text = sentence.encode()
    answer: bytes = InferResponseMessage(id=identity or "").SerializeToString()
    return wire.prefix(_ERROR_MESSAGE, len(text)) + text + stream_response(answer)
