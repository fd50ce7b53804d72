"""Calls that no client of ours would make: each gets a status that is the client's fault, and the server serves on."""

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

METHOD = "/inference.GRPCInferenceService/ModelInfer"
CASES = 3000
CLIENTS_FAULT = {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}


@pytest.fixture(scope="module")
def server(start_shared: Any, bendable: Any) -> Any:
    return start_shared(bendable, grpc=True, max_body_bytes=2**20)


@pytest.fixture(scope="module")
def channel(server: Any) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc_address) as made:
        yield made


def good() -> Any:
    request = service_pb2.ModelInferRequest(model_name="bendable", id="1")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    request.raw_input_contents.append(np.ones((1, 2), np.float32).tobytes())
    request.parameters["p"].double_param = 0.5
    request.outputs.add(name="y")
    return request


def outcome(channel: grpc.Channel, message: bytes, method: str = METHOD, **more: Any) -> str:
    try:
        channel.unary_unary(method)(message, **({"timeout": 10} | more))
    except grpc.RpcError as error:
        return str(error.code().name)  # type: ignore[attr-defined]
    return "OK"


def changed(valid: bytes, rng: random.Random) -> bytes:
    body = bytearray(valid)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(body)) if body else 0
        match rng.randrange(4):
            case 0:
                body[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del body[at : at + rng.randint(1, 8)]
            case 2:
                body[at:at] = body[at : at + rng.randint(1, 40)]
            case _:
                body[at:at] = rng.randbytes(rng.randint(1, 12))
    return bytes(body)


def resident_bytes(server: Any) -> float:
    return float(server.metric("process_resident_memory_bytes"))


def test_damaged_messages_are_refused_and_nothing_grows(server: Any, channel: grpc.Channel) -> None:
    rng, valid = random.Random(0), good().SerializeToString()
    seen = Counter(outcome(channel, changed(valid, rng)) for _ in range(300))
    before = resident_bytes(server)
    seen += Counter(outcome(channel, changed(valid, rng)) for _ in range(CASES - 300))
    assert set(seen) <= CLIENTS_FAULT, seen
    assert seen["INVALID_ARGUMENT"] > CASES / 4
    assert resident_bytes(server) - before < 8 * 2**20
    assert outcome(channel, valid) == "OK"


def test_odd_messages(channel: grpc.Channel) -> None:
    valid = good().SerializeToString()
    both = good()
    both.inputs[0].contents.fp32_contents.extend([1, 2])
    overflow = good()
    del overflow.inputs[0].shape[:]
    overflow.inputs[0].shape.extend([2**62, 4])
    for message, status in (
        (b"", "NOT_FOUND"),  # no model's name
        (valid + b"\xfa\x7f\x80\x80\x20" + bytes(2**19), "OK"),  # an unknown field of half a megabyte
        (b"\x0b" * 10_000, "INVALID_ARGUMENT"),  # groups within groups
        (both.SerializeToString(), "INVALID_ARGUMENT"),
        (overflow.SerializeToString(), "INVALID_ARGUMENT"),
        (bytes(2**20 + 1), "RESOURCE_EXHAUSTED"),
    ):
        assert outcome(channel, message) == status, message[:80]
    assert outcome(channel, valid) == "OK"


@pytest.mark.parametrize(
    ("timeout", "statuses"),
    [
        (-1, {"DEADLINE_EXCEEDED"}),
        (0, {"DEADLINE_EXCEEDED", "OK"}),  # the client rounds these up to a millisecond
        (1e-9, {"DEADLINE_EXCEEDED", "OK"}),
        (10**9, {"OK"}),
    ],
)
def test_deadlines_at_their_limits(channel: grpc.Channel, timeout: float, statuses: set[str]) -> None:
    assert outcome(channel, good().SerializeToString(), timeout=timeout) in statuses


def test_metadata_beyond_the_limit_and_methods_that_are_not_there(server: Any, channel: grpc.Channel) -> None:
    valid = good().SerializeToString()
    with grpc.insecure_channel(server.grpc_address, [("grpc.use_local_subchannel_pool", 1)]) as own:
        assert outcome(own, valid, metadata=[("x", "y" * 2**20)]) in {"RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE"}
    for method in ("/inference.GRPCInferenceService/Nothing", "/other.Service/ModelInfer", "/x"):
        assert outcome(channel, valid, method) == "UNIMPLEMENTED"
    assert outcome(channel, valid) == "OK"
