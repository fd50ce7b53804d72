"""The classes of bad input of gRPC, 66 to 76: a message and metadata in, the status out, and a server that goes on."""

import contextlib
import gzip
import socket
import struct
from typing import Any, NamedTuple

import grpc
import pytest

from everwarm_server.protocol.grpc_messages import message_class

INFER = "/inference.GRPCInferenceService/ModelInfer"
MOST_BYTES = 2_000_000
REQUEST = message_class("inference.ModelInferRequest")
Code = grpc.StatusCode


def good(**changes: Any) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2]} | changes.pop("tensor", {})
    made = REQUEST(model_name="bendable", inputs=[tensor], raw_input_contents=[struct.pack("<2f", 1, 2)])
    for name, value in changes.items():
        made.ClearField(name)
        getattr(made, name).extend(value) if isinstance(value, list) else setattr(made, name, value)
    return bytes(made.SerializeToString())


def field(number: int, kind: int, content: bytes) -> bytes:
    """An unknown field of a message: a varint's tag, then what it says."""
    tag, made = number << 3 | kind, b""
    while tag > 0x7F:
        made += bytes([tag & 0x7F | 0x80])
        tag >>= 7
    return made + bytes([tag]) + content


def sized(content: bytes) -> bytes:
    length, made = len(content), b""
    while length > 0x7F:
        made += bytes([length & 0x7F | 0x80])
        length >>= 7
    return made + bytes([length]) + content


class Row(NamedTuple):
    number: int
    sent: bytes
    codes: set[grpc.StatusCode]
    metadata: tuple[tuple[str, str | bytes], ...] = ()
    timeout_seconds: float | None = 20.0
    compression: Any = None


BOTH = good(tensor={"contents": {"fp32_contents": [1, 2]}})
GROUPS = field(200, 3, b"") * 5000 + field(200, 4, b"") * 5000
ROWS = {
    "larger than the most": Row(66, good(id="a" * (MOST_BYTES + 1)), {Code.RESOURCE_EXHAUSTED}),
    "unknown field of 1 MB": Row(67, good() + field(900, 2, sized(bytes(1_000_000))), {Code.OK}),
    "more raw contents than inputs": Row(68, good(raw_input_contents=[b"12345678", b"1"]), {Code.INVALID_ARGUMENT}),
    "raw contents of another size": Row(68, good(raw_input_contents=[b"1234"]), {Code.INVALID_ARGUMENT}),
    "raw and typed contents": Row(69, BOTH, {Code.INVALID_ARGUMENT}),
    "neither": Row(69, good(raw_input_contents=[]), {Code.INVALID_ARGUMENT}),
    "shape overflows": Row(70, good(tensor={"shape": [2**32, 2**32]}), {Code.INVALID_ARGUMENT}),
    "shape is negative": Row(70, good(tensor={"shape": [-1, 2]}), {Code.INVALID_ARGUMENT}),
    "groups in groups": Row(71, good() + GROUPS, {Code.INVALID_ARGUMENT, Code.INTERNAL}),
    "not a message": Row(71, b"\xff" * 100, {Code.INVALID_ARGUMENT, Code.INTERNAL}),
    "empty message": Row(71, b"", {Code.INVALID_ARGUMENT, Code.NOT_FOUND}),
    "gzip bomb": Row(72, good(id="a" * 100_000_000), {Code.RESOURCE_EXHAUSTED}, compression=grpc.Compression.Gzip),
    "metadata of 1 MB": Row(73, good(), {Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE}, (("x-a", "a" * 1_000_000),)),
    "binary metadata": Row(73, good(), {Code.OK}, (("x-a-bin", b"\xff\0\xfe"),)),
    "deadline of nothing": Row(75, good(), {Code.DEADLINE_EXCEEDED, Code.OK}, timeout_seconds=0),  # a race it may win
    "deadline that was": Row(75, good(), {Code.DEADLINE_EXCEEDED}, timeout_seconds=-1),
    "deadline of a nanosecond": Row(75, good(), {Code.DEADLINE_EXCEEDED}, timeout_seconds=1e-9),
    "deadline in centuries": Row(75, good(), {Code.OK}, timeout_seconds=1e9),
    "no deadline": Row(75, good(), {Code.OK}, timeout_seconds=None),
}


@pytest.fixture(scope="module")
def server(start_shared: Any, bendable: Any) -> Any:
    return start_shared(bendable, grpc=True, max_body_bytes=MOST_BYTES)


def call(server: Any, path: str, row: Row) -> grpc.StatusCode:
    options = [("grpc.max_metadata_size", 2_000_000), ("grpc.absolute_max_metadata_size", 2_000_000)]
    with grpc.insecure_channel(server.grpc_address, options=options) as channel:
        invoke = channel.unary_unary(path, request_serializer=None, response_deserializer=None)
        try:
            invoke(row.sent, timeout=row.timeout_seconds, metadata=row.metadata, compression=row.compression)
        except grpc.RpcError as error:
            return error.code()
    return Code.OK


@pytest.mark.parametrize("name", ROWS)
def test_a_call_ends_with_its_status(server: Any, name: str) -> None:
    row = ROWS[name]
    assert call(server, INFER, row) in row.codes
    assert call(server, INFER, Row(0, good(), set())) is Code.OK
    assert server.infer().code == 200


@pytest.mark.parametrize(
    "path", ["inference.GRPCInferenceService/ModelInfer", "/inference.GRPCInferenceService/", "/", "//"]
)
def test_a_path_that_is_none_is_unimplemented(server: Any, path: str) -> None:
    assert call(server, path, Row(76, good(), set())) in {Code.UNIMPLEMENTED, Code.INTERNAL, Code.UNKNOWN}
    assert call(server, INFER, Row(0, good(), set())) is Code.OK


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\4\4\0\0\0\0\0" + b"\0\0\4\3\0\0\0\0\1\0\0\0\x08" * 10_000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + b"\0\0\0\4\0\0\0\0\0"
        + b"\0\0\1\1\0\0\0\0\1\x82"
        + b"\0\0\1\x09\0\0\0\0\1\x84" * 10_000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + gzip.compress(bytes(1000)),
    ],
    ids=["HTTP/1.1", "10000 resets", "10000 continuations", "garbage"],
)
def test_frames_that_are_none_end_their_connection_alone(server: Any, sent: bytes) -> None:
    host, port = server.grpc_address.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as connection,
        contextlib.suppress(OSError),
    ):  # class 74
        connection.sendall(sent)
        connection.settimeout(1)
        while connection.recv(65536):
            pass
    assert call(server, INFER, Row(0, good(), set())) is Code.OK
