import json
import struct

import numpy as np
import orjson
import pytest
import tritonclient.http as triton
from hypothesis import given
from hypothesis import strategies as st

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol import v2_binary, v2_json
from everwarm_server.protocol.tensors import (
    BINARY_ONLY,
    InferRequest,
    InferResponse,
    ModelMetadata,
    RequestedOutput,
    Tensor,
    TensorSpec,
)


def tensor(datatype="FP32", shape=(2,), size=8, **more):
    return {"name": "x", "datatype": datatype, "shape": list(shape), "parameters": {"binary_data_size": size}} | more


def decode(header, tail, header_length=None, **fields):
    text = json.dumps({"inputs": header} | fields).encode()
    return v2_json.decode_request(text + tail, len(text) if header_length is None else header_length)


def model(*inputs):
    return ModelMetadata("m", "1", "p", inputs, ())


def test_a_tensor_is_a_view_of_the_body_and_not_a_copy():
    text = orjson.dumps({"inputs": [tensor()]})
    body = bytearray(text + np.array([1, 2], "<f4").tobytes())
    (decoded,) = v2_json.decode_request(body, len(text)).inputs
    assert decoded.data.tolist() == [1, 2]
    body[-4:] = struct.pack("<f", 7)
    assert decoded.data.tolist() == [1, 7]


def test_binary_and_json_inputs_mix_in_order():
    header = [
        tensor(name="a", datatype="INT16", shape=[2], size=4),
        {"name": "b", "datatype": "INT8", "shape": [1], "data": [5]},
        tensor(name="c", datatype="BYTES", shape=[2], size=11),
        tensor(name="d", datatype="BOOL", shape=[2, 1], size=2),
        tensor(name="e", datatype="FP16", shape=[], size=2),
        tensor(name="f", datatype="FP64", shape=[0], size=0),
    ]
    tail = struct.pack("<2h", 1, -2) + b"\x03\0\0\0abc\0\0\0\0" + b"\1\0" + np.float16(0.5).tobytes()
    request = decode(header, tail)
    assert {t.name: (t.datatype, t.data.tolist()) for t in request.inputs} == {
        "a": ("INT16", [1, -2]),
        "b": ("INT8", [5]),
        "c": ("BYTES", [b"abc", b""]),
        "d": ("BOOL", [[True], [False]]),
        "e": ("FP16", 0.5),
        "f": ("FP64", []),
    }


@pytest.mark.parametrize(
    ("header", "tail", "sentence"),
    [
        ([tensor()], b"1234567", "says binary_data_size 8, but 7 bytes are left."),
        ([tensor()], b"123456789", "has 1 bytes behind the JSON that no input claims"),
        ([tensor(size=4)], b"1234", "is FP32 of shape [2], which takes 8 bytes, but 4 bytes came."),
        ([tensor(size=-1)], b"", "says binary_data_size -1; it must be a count of bytes."),
        ([tensor(size=True)], b"1", "says binary_data_size true;"),
        ([tensor(size="8")], b"12345678", "says binary_data_size '8';"),
        ([tensor(size=1e1)], b"12345678", "says binary_data_size 10.0;"),
        ([tensor(size=2**70)], b"12345678", "says binary_data_size 1.1805916207174113e+21;"),
        ([tensor(data=[1, 2])], b"12345678", "has both data and binary_data_size; send one of them."),
        ([tensor("BOOL", [2], 2)], b"\1\2", "is BOOL, so each byte must be 0 or 1"),
        ([tensor("BYTES", [1], 3)], b"\1\0\0", "ends within the 4-byte length of its element 0."),
        ([tensor("BYTES", [1], 5)], b"\2\0\0\0a", "says that its element 0 has 2 bytes, but 1 are left."),
        ([tensor("BYTES", [1], 5)], b"\xff\xff\xff\xffa", "says that its element 0 has 4294967295 bytes, but 1"),
        ([tensor("BYTES", [2], 5)], b"\1\0\0\0a", "should hold 2 elements as its shape says; its bytes hold 1"),
        ([tensor("BYTES", [1], 9)], b"\1\0\0\0a\0\0\0\0", "its bytes hold 1, with 4 bytes to spare."),
        ([tensor("BYTES", [2**39], 4)], b"\0\0\0\0", "should hold 549755813888 elements"),
        ([], b"1", "has 1 bytes behind the JSON that no input claims"),
    ],
)
def test_a_wrong_tail_is_refused_with_what_is_wrong(header, tail, sentence):
    with pytest.raises(InvalidInput) as caught:
        decode(header, tail)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("length", [-1, 10**9])
def test_a_header_length_beyond_the_body_is_refused(length):
    with pytest.raises(InvalidInput, match=f"says {length} bytes of JSON, but the body has"):
        decode([], b"", header_length=length)


def test_binary_data_without_the_header_is_refused_by_its_name():
    with pytest.raises(InvalidInput, match="no header Inference-Header-Content-Length; send that header"):
        v2_json.decode_request(orjson.dumps({"inputs": [tensor()]}))


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("17", 17), ("007", 7)])
def test_a_header_length_is_a_decimal_number(text, value):
    assert v2_binary.parse_header_length(text) == value


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1e3", "0x1", "1_0", "9" * 19, "٣", "1, 1"])
def test_any_other_header_length_is_refused(text):
    with pytest.raises(InvalidInput, match="it must be the JSON's length in bytes"):
        v2_binary.parse_header_length(text)


@pytest.mark.parametrize(
    ("spec", "body", "shape"),
    [
        (TensorSpec("x", "FP32", (-1, 2)), bytes(16), (2, 2)),
        (TensorSpec("x", "FP32", (-1, -1, 2)), bytes(24), (1, 3, 2)),
        (TensorSpec("x", "FP32", (2, 2)), bytes(16), (2, 2)),
        (TensorSpec("x", "INT8", (-1,)), bytes(3), (3,)),
        (TensorSpec("x", "BYTES", (-1, 1)), b"whole", (1, 1)),
    ],
)
def test_a_raw_body_is_the_models_one_input(spec, body, shape):
    request = v2_json.decode_request(body, 0, model(spec))
    (decoded,) = request.inputs
    assert (decoded.name, decoded.datatype, decoded.data.shape) == ("x", spec.datatype, shape)
    assert request.binary_outputs is True
    assert decoded.data.reshape(-1)[0] == (b"whole" if spec.datatype == "BYTES" else 0)


@pytest.mark.parametrize(
    ("metadata", "body", "sentence"),
    [
        (None, b"1234", "does not declare exactly one"),
        (model(), b"1234", "does not declare exactly one"),
        (model(*[TensorSpec(n, "INT8", (-1,)) for n in "ab"]), b"1234", "does not declare exactly one"),
        (model(TensorSpec("x", "FP32", (-1, 2))), b"123456789", "of shape [1, 2], which takes 8 bytes, but 9 bytes"),
        (model(TensorSpec("x", "FP32", (-1, 0))), b"1234", "of shape [0, 0], which takes 0 bytes, but 4 bytes"),
        (model(TensorSpec("x", "INT8", (2, -1, -1))), b"1234", "has shape [2, -1, -1], too open for a raw body"),
    ],
)
def test_a_raw_body_that_does_not_fit_is_refused(metadata, body, sentence):
    with pytest.raises(InvalidInput) as caught:
        v2_json.decode_request(body, 0, metadata)
    assert sentence in str(caught.value)


def test_outputs_come_back_binary_where_asked_and_the_first_is_aligned():
    request = InferRequest(inputs=(), outputs=(RequestedOutput("a", binary=True), RequestedOutput("b")))
    array = np.array([[1, 2]], np.float32)
    response = InferResponse("m", "1", (Tensor("a", "FP32", array), Tensor("b", "FP32", array)))
    chunks, headers = v2_json.encode_response(response, request)
    fields = dict(headers)
    length = int(fields[b"inference-header-content-length"])
    body = b"".join(chunks)
    assert length % 8 == 0
    assert int(fields[b"content-length"]) == len(body) == length + 8
    assert orjson.loads(body[:length])["outputs"] == [
        {"name": "a", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
        {"name": "b", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]},
    ]
    assert body[length:] == array.tobytes()


def test_large_outputs_are_not_copied():
    array = np.ones((64, 64), np.float32)
    request = InferRequest(inputs=(), binary_outputs=True)
    chunks, _ = v2_json.encode_response(InferResponse("m", "1", (Tensor("a", "FP32", array),)), request)
    assert np.shares_memory(np.frombuffer(chunks[1], np.uint8), array)


def told(array):
    """All of an array, NaN's bits included."""
    return array.dtype, array.shape, array.tolist() if array.dtype == object else array.tobytes()


@given(st.from_type(Tensor))
def test_tritons_client_reads_what_we_write_and_we_read_what_it_writes(tensor):
    asked = triton.InferInput("t", list(tensor.data.shape), tensor.datatype)
    asked.set_data_from_numpy(tensor.data, binary_data=True)
    sent, length = triton.InferenceServerClient.generate_request_body([asked])
    (decoded,) = v2_json.decode_request(sent, length).inputs
    assert told(decoded.data) == told(tensor.data)

    request = InferRequest(inputs=(), binary_outputs=True)
    chunks, headers = v2_json.encode_response(InferResponse("m", "1", (decoded,)), request)
    read = triton.InferenceServerClient.parse_response_body(
        b"".join(chunks), header_length=int(dict(headers)[b"inference-header-content-length"])
    )
    assert told(read.as_numpy("t")) == told(tensor.data)


def as_json(tensor):
    """Whether the client can send this as JSON: it has neither NaN, nor 16-bit floats, nor bytes that are no text."""
    if tensor.datatype == "BYTES":
        return all(element.isascii() for element in tensor.data.flat)
    return tensor.datatype not in BINARY_ONLY and (
        tensor.data.dtype.kind != "f" or bool(np.isfinite(tensor.data).all())
    )


@given(st.from_type(Tensor).filter(as_json))
def test_tritons_client_and_we_understand_each_other_in_json_too(tensor):
    asked = triton.InferInput("t", list(tensor.data.shape), tensor.datatype)
    asked.set_data_from_numpy(tensor.data, binary_data=False)
    sent, _ = triton.InferenceServerClient.generate_request_body(
        [asked], outputs=[triton.InferRequestedOutput("t", binary_data=False)]
    )
    request = v2_json.decode_request(sent)
    np.testing.assert_array_equal(request.inputs[0].data, tensor.data)

    chunks, _ = v2_json.encode_response(InferResponse("m", "1", request.inputs), request)
    read = triton.InferenceServerClient.parse_response_body(b"".join(chunks)).as_numpy("t")
    expected = tensor.data if tensor.datatype != "BYTES" else np.vectorize(bytes.decode, otypes=[object])(tensor.data)
    np.testing.assert_array_equal(read, expected)
