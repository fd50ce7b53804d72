"""The quick way must mean what orjson's way means: the same tensors, or the same sentence."""

import json
import threading
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol import json_numbers, v1_json, v2_json
from everwarm_server.protocol.json_numbers import Document, Unusual
from everwarm_server.protocol.tensors import ModelMetadata, TensorSpec

NUMBERS = ["FP32", "FP64", "INT8", "INT32", "INT64", "UINT8", "UINT64"]
INTEGERS = st.integers(-300, 300) | st.sampled_from([2**31, -(2**63), 2**63, 2**64 - 1, 2**64, 10**30])
NUMBER = INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.5, -0.0, 3.5e38, 1e300])
SCALAR = st.one_of(NUMBER, NUMBER, NUMBER, st.sampled_from([True, None, "1", "[", {}]))
ROW = st.lists(SCALAR, max_size=3)
DATA = st.one_of(ROW, st.lists(ROW, max_size=3), st.lists(SCALAR | ROW, max_size=3), st.just([[[1]], [[2]]]), SCALAR)
SHAPE = st.sampled_from([[2], [3], [1, 3], [2, 2], [3, 1], [2, 1, 1], [0], [1], [], [2, -1], "2", None])
TENSOR = st.fixed_dictionaries(
    {"name": st.sampled_from(["x", "y", "[", ""]), "datatype": st.sampled_from([*NUMBERS, "FP16", "BOOL", "BYTES"])},
    optional={"shape": SHAPE, "data": DATA, "parameters": st.sampled_from([{}, {"p": 1}, {"binary_data_size": 4}, []])},
)
V2 = st.fixed_dictionaries(
    {"inputs": st.lists(TENSOR, max_size=2)},
    optional={
        "inputs\0": st.none(),
        "id": st.sampled_from(["7", "[", None, 5]),
        "outputs": st.sampled_from([[], [{"name": "y"}], None, 3]),
        "parameters": st.sampled_from([{"p": 1.5}, {"binary_data_output": True}, {"l": [1]}]),
    },
)
MODEL = ModelMetadata("m", "1", "p", (TensorSpec("x", "FP32", (-1, 2)),), ())


def outcome(decode, *arguments):
    try:
        decoded = decode(*arguments)
    except InvalidInput as refused:
        return str(refused)
    request = getattr(decoded, "request", decoded)
    tensors = [(t.name, t.datatype, t.data.dtype, t.data.shape, t.data.tolist()) for t in request.inputs]
    return tensors, request.id, request.outputs, dict(request.parameters), getattr(decoded, "columnar", None)


def the_long_way(module, decode, *arguments):
    with mock.patch.object(module, "_decode_numbers", side_effect=Unusual):
        return outcome(decode, *arguments)


@given(V2)
@example({"inputs": [{"name": "x", "datatype": "FP16", "shape": [2], "data": 0}]})
def test_documents_of_v2_mean_the_same_either_way(document):
    body = json.dumps(document).encode()
    assert outcome(v2_json.decode_request, body) == the_long_way(v2_json, v2_json.decode_request, body)


@given(st.dictionaries(st.sampled_from(["instances", "inputs", "other"]), DATA, max_size=2))
def test_documents_of_v1_mean_the_same_either_way(document):
    body = json.dumps(document).encode()
    assert outcome(v1_json.decode_predict, body, MODEL) == the_long_way(v1_json, v1_json.decode_predict, body, MODEL)


VALID = json.dumps(
    {
        "id": "1",
        "inputs": [
            {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2.5], [3, 4e0]]},
            {"name": "n", "shape": [3], "datatype": "UINT8", "data": [0, 7, 255]},
        ],
        "outputs": [{"name": "y"}],
    }
).encode()


@given(st.data())
def test_changed_bytes_mean_the_same_either_way(data):
    body = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 1))] = data.draw(
            st.sampled_from([b"", b"[", b"]", b"[]", b",", b"1", b"e", b"-", b'"', b".", b"\xff", b"{", b"}", b"null"])
        )
        if not body:
            break
    assert outcome(v2_json.decode_request, bytes(body)) == the_long_way(v2_json, v2_json.decode_request, bytes(body))


@pytest.mark.parametrize("container", [bytes, bytearray, memoryview])
def test_plain_numbers_go_the_short_way(container):
    request = v2_json._decode_numbers(container(VALID))
    assert [t.data.tolist() for t in request.inputs] == [[[1, 2.5], [3, 4]], [0, 7, 255]]
    predict = v1_json._decode_numbers(container(b'{"instances": [[1, 2], [3, 4.5]]}'), MODEL)
    assert predict.request.inputs[0].data.tolist() == [[1, 2], [3, 4.5]]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xef\xbb\xbf" + VALID,
        b'{"inputs": [], "inputs": []}',
        b'{"inputs": [], "inputs\\u0000": 1}',
        b'{"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, [2]]}]}',
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1e39]}]}',
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "BOOL", "data": [true]}]}',
        b'{"inputs": [{"name": "[", "shape": [1], "datatype": "FP32", "data": [1]}]}',
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [18446744073709551616]}]}',
        b"{" * 2000,
    ],
)
def test_all_else_is_left_to_the_long_way(body):
    with pytest.raises(Unusual):
        v2_json._decode_numbers(body)
    v2_json._decode_numbers(VALID)  # nothing of it stays in the way


def test_an_error_that_is_kept_does_not_keep_the_next_request_from_being_read():
    errors = []
    for _ in range(3):
        try:
            v2_json.decode_request(VALID.replace(b"[2, 2]", b"[2, -2]"))
        except InvalidInput as refused:
            errors.append(refused)
        assert len(v2_json.decode_request(VALID).inputs) == 2
    assert len(errors) == 3


def test_each_thread_has_a_parser_of_its_own():
    results = []

    def decode():
        results.extend(v2_json._decode_numbers(VALID).inputs[1].data.tolist() for _ in range(50))

    threads = [threading.Thread(target=decode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[0, 7, 255]] * 200


def test_arrays_outlive_their_document_and_large_documents_their_parser(monkeypatch):
    monkeypatch.setattr(json_numbers, "_KEPT_BYTES", 100)
    kept = v2_json._decode_numbers(VALID).inputs
    for number in range(3):
        with Document(b'{"d": [%d, 2]}' % number) as document:
            value = document.members(frozenset({"d"}))["d"]
            np.testing.assert_array_equal(document.numbers(value, "INT64", (2,)), [number, 2])
            del value
    assert kept[0].data.tolist() == [[1, 2.5], [3, 4]]
