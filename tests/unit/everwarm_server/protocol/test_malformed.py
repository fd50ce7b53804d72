"""Whatever bytes come, a decoder answers with a request or with InvalidInput, and with nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol import shapes, v1_json, v2_json
from everwarm_server.protocol.tensors import DTYPES, ModelMetadata, TensorSpec
from everwarm_server.protocol.validate import check_inputs

MODELS = [
    ModelMetadata("m", "1", "p", (), ()),
    ModelMetadata("m", "1", "p", (TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1,)),)),
    ModelMetadata("m", "1", "p", (TensorSpec("x", "BYTES", (-1,)), TensorSpec("b64", "INT8", (-1, -1))), ()),
]
INTEGERS = st.integers(-3, 5) | st.sampled_from([-(2**63), 2**31, 2**32, 2**60 + 2, 2**63, 2**64, 10**40])
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats() | st.text(max_size=4)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


def likely(values):
    """Mostly what the protocol wants at this place, sometimes anything at all."""
    return st.one_of(values, values, values, ANYTHING)


PARAMETERS = likely(
    st.dictionaries(
        st.sampled_from(["binary_data_size", "binary_data", "binary_data_output", "classification", "p"]),
        likely(st.integers(0, 16) | st.booleans()),
        max_size=2,
    )
)
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": likely(st.sampled_from(["x", "y", "b64"])),
        "datatype": likely(st.sampled_from([*DTYPES, "FP8"])),
        "shape": likely(st.lists(INTEGERS, max_size=3)),
        "data": likely(st.lists(st.integers(-2, 300) | st.floats(-2, 2) | st.lists(st.booleans(), max_size=2))),
        "parameters": PARAMETERS,
    },
)
V2 = likely(
    st.fixed_dictionaries(
        {},
        optional={
            "id": likely(st.text(max_size=5)),
            "inputs": likely(st.lists(TENSOR, max_size=3)),
            "outputs": likely(st.lists(TENSOR, max_size=2)),
            "parameters": PARAMETERS,
        },
    )
)
VALUE = ANYTHING | st.fixed_dictionaries({"b64": ANYTHING | st.sampled_from(["AA==", "A"])})
ROWS = likely(st.lists(VALUE | st.dictionaries(st.sampled_from(["x", "b64"]), VALUE, max_size=2), max_size=3))
V1 = likely(st.fixed_dictionaries({}, optional={"instances": ROWS, "inputs": ROWS}))
TEXT = V2.map(lambda document: json.dumps(document).encode("utf-8", "surrogatepass"))


def or_sentence(call):
    """The call's result, or None when it refused its input with a sentence of a bounded length."""
    try:
        return call()
    except InvalidInput as caught:
        sentence = str(caught)
    assert sentence.endswith(".")
    assert len(sentence) < 1000
    return None


def decode_v2(body, header_length, metadata):
    request = or_sentence(lambda: v2_json.decode_request(body, header_length, metadata))
    if request is None:
        return None
    or_sentence(lambda: check_inputs(request, metadata))
    for tensor in request.inputs:
        assert tensor.data.dtype == DTYPES[tensor.datatype]
        assert tensor.data.size <= max(len(body), 1)
    return request


@given(st.binary(max_size=60), st.none() | st.integers(-2, 70), st.sampled_from(MODELS))
def test_arbitrary_bytes(body, header_length, metadata):
    decode_v2(body, header_length, metadata)


@given(TEXT, st.binary(max_size=20), st.none() | st.integers(-1, 3), st.sampled_from(MODELS))
def test_documents_that_are_nearly_right_with_tails_that_nearly_fit(text, tail, off, metadata):
    decode_v2(text + tail, None if off is None else len(text) + off, metadata)


VALID_HEADER = json.dumps(
    {
        "id": "1",
        "inputs": [
            {"name": "x", "shape": [2, 2], "datatype": "FP32", "parameters": {"binary_data_size": 16}},
            {"name": "s", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 11}},
            {"name": "n", "shape": [2, 2], "datatype": "INT8", "data": [[1, -2], [3, 4]]},
        ],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    }
).encode()
VALID = VALID_HEADER + bytes(16) + b"\2\0\0\0ab\1\0\0\0c"


@given(st.data())
def test_valid_requests_with_bytes_changed_dropped_or_doubled(data):
    body = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 4))):
        if not body:
            break
        at = data.draw(st.integers(0, len(body) - 1))
        change = data.draw(st.sampled_from(["set", "drop", "double", "cut"]))
        if change == "set":
            body[at] = data.draw(st.integers(0, 255) | st.sampled_from(b'0123456789-.eE"[]{},:'))
        elif change == "drop":
            del body[at]
        elif change == "double":
            body.insert(at, body[at])
        else:
            del body[at:]
    decode_v2(bytes(body), len(VALID_HEADER), MODELS[0])


def test_the_valid_request_is_valid():
    request = decode_v2(VALID, len(VALID_HEADER), MODELS[0])
    assert [tensor.data.tolist() for tensor in request.inputs] == [
        [[0, 0], [0, 0]],
        [b"ab", b"c"],
        [[1, -2], [3, 4]],
    ]


@given(V1, st.sampled_from(MODELS))
def test_v1_documents_that_are_nearly_right(document, metadata):
    body = json.dumps(document).encode("utf-8", "surrogatepass")
    decoded = or_sentence(lambda: v1_json.decode_predict(body, metadata))
    if decoded is not None:
        or_sentence(lambda: check_inputs(decoded.request, metadata))


@pytest.mark.parametrize("depth", [33, 1000])
def test_lists_nested_too_deep_are_refused(depth):
    rows = b"[" * depth + b"1" + b"]" * depth
    with pytest.raises(InvalidInput, match=f"{depth} dimensions; at most 32"):
        v1_json.decode_predict(b'{"instances": ' + rows + b"}", MODELS[1])


@given(st.lists(st.integers(-2, 2**70), max_size=40))
def test_a_shape_is_accepted_only_with_few_dimensions_and_elements(dimensions):
    try:
        shape = shapes.parse(dimensions, "input 'x'")
    except InvalidInput:
        return
    size = 1
    for dimension in shape:
        size *= max(dimension, 1)
    assert len(shape) <= 32
    assert size <= 2**40
