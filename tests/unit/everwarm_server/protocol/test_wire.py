import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc.service_pb2 import ModelInferRequest

from everwarm_server.protocol import wire

FIELD = 7  # raw_input_contents


@given(st.lists(st.binary(max_size=300), max_size=4), st.text(max_size=200), st.lists(st.integers(0, 2**63 - 1)))
def test_a_field_is_taken_out_and_the_rest_stays(values, name, shape):
    tensor = ModelInferRequest.InferInputTensor(name=name, shape=shape)
    whole = ModelInferRequest(model_name=name, inputs=[tensor], raw_input_contents=values)
    rest, taken = wire.take_out(whole.SerializeToString(), FIELD)
    assert [bytes(value) for value in taken] == values
    whole.ClearField("raw_input_contents")
    assert ModelInferRequest.FromString(rest) == whole


@given(st.binary(max_size=60))
def test_arbitrary_bytes_mean_to_protobuf_what_they_mean_here(serialized):
    rest, taken = wire.take_out(serialized, FIELD)
    try:
        whole = ModelInferRequest.FromString(serialized)
    except DecodeError:
        with pytest.raises(DecodeError):
            ModelInferRequest.FromString(rest)
        return
    read = ModelInferRequest.FromString(rest)
    assert [bytes(value) for value in taken] + list(read.raw_input_contents) == list(whole.raw_input_contents)


def test_values_that_come_between_other_fields_keep_their_order():
    first = ModelInferRequest(model_name="m", raw_input_contents=[b"a"]).SerializeToString()
    second = ModelInferRequest(id="7", raw_input_contents=[b"b"]).SerializeToString()
    rest, taken = wire.take_out(first + second, FIELD)
    assert [bytes(value) for value in taken] == [b"a", b"b"]
    assert ModelInferRequest.FromString(rest) == ModelInferRequest(model_name="m", id="7")


@pytest.mark.parametrize(
    "malformed",
    [b"\x3a\x05abc", b"\x3a", b"\xff" * 11, b"\x3b\x3c", b"\x38\x01", b"\x3f", b"\x39abc", b"\x3d"],
    ids=["short", "no length", "endless", "group", "another wire type", "no wire type", "short 64", "short 32"],
)
def test_what_is_malformed_comes_back_whole(malformed):
    assert wire.take_out(malformed, FIELD) == (malformed, [])


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**32, 2**63])
def test_varints(value):
    shape = [value] if value < 2**63 else []
    expected = ModelInferRequest.InferInputTensor(shape=shape).SerializeToString()[2:] if shape else b"\x80" * 9 + b"\1"
    assert wire.varint(value) == expected
