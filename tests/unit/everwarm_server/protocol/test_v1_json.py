import base64

import numpy as np
import orjson
import pytest

from everwarm_server.errors import InferenceFailed, InvalidInput
from everwarm_server.protocol import v1_json
from everwarm_server.protocol.tensors import DTYPES, InferResponse, ModelMetadata, Tensor, TensorSpec

ROWS = TensorSpec("x", "FP32", (-1, 2))
COUNT = TensorSpec("n", "INT32", (-1,))
TEXT = TensorSpec("t", "BYTES", (-1,))
B64 = {"b64": base64.b64encode(b"\xff\0").decode()}


def model(*inputs):
    return ModelMetadata("m", "1", "p", inputs, ())


def decode(document, *inputs):
    decoded = v1_json.decode_predict(orjson.dumps(document), model(*inputs))
    values = {t.name: (t.datatype, t.data.shape, t.data.tolist()) for t in decoded.request.inputs}
    return decoded.columnar, values


@pytest.mark.parametrize(
    ("document", "inputs", "values"),
    [
        ({"instances": [[1, 2], [3, 4]]}, [ROWS], {"x": ("FP32", (2, 2), [[1.0, 2.0], [3.0, 4.0]])}),
        ({"instances": [{"x": [1, 2]}]}, [ROWS], {"x": ("FP32", (1, 2), [[1.0, 2.0]])}),
        ({"instances": [1, 2, 3]}, [COUNT], {"n": ("INT32", (3,), [1, 2, 3])}),
        (
            {"instances": [{"x": [1, 2], "n": 5}, {"n": 6, "x": [3, 4]}]},
            [ROWS, COUNT],
            {"x": ("FP32", (2, 2), [[1.0, 2.0], [3.0, 4.0]]), "n": ("INT32", (2,), [5, 6])},
        ),
        ({"instances": ["ä", "b"]}, [TEXT], {"t": ("BYTES", (2,), ["ä".encode(), b"b"])}),
        ({"instances": [B64, "b"]}, [TEXT], {"t": ("BYTES", (2,), [b"\xff\0", b"b"])}),
        ({"instances": [{"t": B64}]}, [TEXT], {"t": ("BYTES", (1,), [b"\xff\0"])}),
        ({"instances": [{"b64": 1}]}, [TensorSpec("b64", "INT8", (-1,))], {"b64": ("INT8", (1,), [1])}),
        ({"instances": [0.5]}, [TensorSpec("h", "FP16", (-1,))], {"h": ("FP16", (1,), [0.5])}),
        ({"instances": [0.5, 1]}, [TensorSpec("h", "BF16", (-1,))], {"h": ("BF16", (2,), [0.5, 1.0])}),
        ({"instances": [[1, 2]]}, [], {"instances": ("INT64", (1, 2), [[1, 2]])}),
        ({"instances": [1, 0.5]}, [], {"instances": ("FP64", (2,), [1.0, 0.5])}),
        ({"instances": [True]}, [], {"instances": ("BOOL", (1,), [True])}),
        ({"instances": [{"a": "x", "b": 1}]}, [], {"a": ("BYTES", (1,), [b"x"]), "b": ("INT64", (1,), [1])}),
    ],
)
def test_rows_become_tensors(document, inputs, values):
    assert decode(document, *inputs) == (False, values)


@pytest.mark.parametrize(
    ("document", "inputs", "values"),
    [
        ({"inputs": [[1, 2]]}, [ROWS], {"x": ("FP32", (1, 2), [[1.0, 2.0]])}),
        ({"inputs": {"x": [[1, 2]]}}, [ROWS], {"x": ("FP32", (1, 2), [[1.0, 2.0]])}),
        ({"inputs": 5}, [TensorSpec("s", "INT8", ())], {"s": ("INT8", (), 5)}),
        ({"inputs": B64}, [TensorSpec("s", "BYTES", ())], {"s": ("BYTES", (), b"\xff\0")}),
        (
            {"inputs": {"x": [[1, 2]], "n": [7, 8, 9]}},
            [ROWS, COUNT],
            {"x": ("FP32", (1, 2), [[1.0, 2.0]]), "n": ("INT32", (3,), [7, 8, 9])},
        ),
    ],
)
def test_columns_become_tensors(document, inputs, values):
    assert decode(document, *inputs) == (True, values)


@pytest.mark.parametrize(
    ("document", "inputs", "sentence"),
    [
        ({}, [ROWS], 'needs either "instances" (a list of rows) or "inputs" (columns), and not both.'),
        ({"instances": [], "inputs": []}, [ROWS], "and not both."),
        ({"instances": []}, [ROWS], '"instances" is empty; it must be a list of rows.'),
        ({"instances": 3}, [ROWS], '"instances" is 3; it must be a list of rows.'),
        ({"instances": {"x": 1}}, [ROWS], '"instances" is an object; it must be a list of rows.'),
        ({"instances": [[1, 2], [3]]}, [ROWS], "at depth 2 must be lists of 2, but there is a list of 1;"),
        ({"instances": [[1, "2"]]}, [ROWS], "must be numbers, but element 1 is '2'."),
        ({"instances": [["1", "2"]]}, [ROWS], "must be numbers, but element 0 is '1'."),
        ({"instances": [1.5]}, [COUNT], "must be integers, but element 0 is 1.5."),
        ({"instances": [[1, 2]]}, [ROWS, COUNT], "has several inputs, so each must be named; they are 'x', 'n'."),
        ({"inputs": [1]}, [ROWS, COUNT], "has several inputs, so each must be named"),
        ({"instances": [{"x": 1}, {"y": 1}]}, [], "Row 1 does not have the names of row 0, which are 'x'."),
        ({"instances": [{"x": 1}, 5]}, [], "Row 1 does not have the names of row 0"),
        ({"instances": [1, {"x": 1}]}, [COUNT], "is INT32, so its data must not hold an object such as b64."),
        ({"instances": [1, {"b64": ""}]}, [TEXT], 'must hold strings or {"b64": "..."}, but there is 1.'),
        ({"instances": [{"b64": 5}]}, [TEXT], 'must hold strings or {"b64": "..."}'),
        ({"instances": [{"b64": "!"}]}, [TEXT], "has a b64 value that is not base64."),
        ({"instances": [{"b64": "ä"}]}, [TEXT], "has a b64 value that is not base64."),
        ({"instances": [B64]}, [COUNT], "is INT32, so its data must not hold an object such as b64."),
        ({"instances": [1, "x"]}, [], "mixes kinds of values, or has none;"),
        ({"instances": [[]]}, [], "mixes kinds of values, or has none;"),
        ({"instances": [None]}, [], "mixes kinds of values, or has none;"),
        ({"instances": [1, "x"]}, [TEXT], "must be strings, but element 0 is 1."),
    ],
)
def test_a_wrong_request_is_refused_with_what_is_wrong(document, inputs, sentence):
    with pytest.raises(InvalidInput) as caught:
        decode(document, *inputs)
    assert sentence in str(caught.value)


def reply(*tensors, columnar=False):
    chunks, headers = v1_json.encode_predict(InferResponse("m", "1", tensors), columnar=columnar)
    assert dict(headers)[b"content-length"] == str(len(b"".join(chunks))).encode()
    return orjson.loads(b"".join(chunks))


X = Tensor("x", "FP32", np.array([[1, 2], [3, 4]], np.float32))
N = Tensor("n", "INT64", np.array([5, 6]))
T = Tensor("t", "BYTES", np.array([b"a", "ä".encode()], object))
RAW = Tensor("raw_bytes", "BYTES", np.array([b"\xff\0"], object))


@pytest.mark.parametrize(
    ("tensors", "columnar", "document"),
    [
        ([X], False, {"predictions": [[1.0, 2.0], [3.0, 4.0]]}),
        ([X], True, {"outputs": [[1.0, 2.0], [3.0, 4.0]]}),
        ([X, N], False, {"predictions": [{"x": [1.0, 2.0], "n": 5}, {"x": [3.0, 4.0], "n": 6}]}),
        ([X, N], True, {"outputs": {"x": [[1.0, 2.0], [3.0, 4.0]], "n": [5, 6]}}),
        ([T, N], False, {"predictions": [{"t": "a", "n": 5}, {"t": "ä", "n": 6}]}),
        ([T], True, {"outputs": ["a", "ä"]}),
        ([RAW], False, {"predictions": [B64]}),
        ([Tensor("h", "FP16", np.array([0.5], np.float16))], False, {"predictions": [0.5]}),
        ([Tensor("h", "BF16", np.array([0.5, 3], DTYPES["BF16"]))], False, {"predictions": [0.5, 3.0]}),
        ([Tensor("s", "INT8", np.array(3, np.int8))], True, {"outputs": 3}),
    ],
)
def test_answers_have_the_form_of_the_request(tensors, columnar, document):
    assert reply(*tensors, columnar=columnar) == document


def test_rows_of_several_outputs_keep_the_digits_of_their_datatypes():
    numbers = [
        Tensor("f", "FP32", np.array([0.1], np.float32)),
        Tensor("g", "FP32", np.array([[0.1]], np.float32)),
        Tensor("h", "FP16", np.array([0.5], np.float16)),
        Tensor("b", "BOOL", np.array([True])),
        Tensor("u", "UINT8", np.array([[7]], np.uint8)),
    ]
    chunks, _ = v1_json.encode_predict(InferResponse("m", "1", tuple(numbers)), columnar=False)
    assert chunks == [b'{"predictions":[{"f":0.1,"g":[0.1],"h":0.5,"b":true,"u":[7]}]}']


@pytest.mark.parametrize(
    "tensors",
    [
        [X, Tensor("n", "INT64", np.array([5]))],
        [X, Tensor("n", "INT64", np.array(5))],
        [Tensor("n", "INT64", np.array(5))],
    ],
)
def test_outputs_without_rows_in_common_are_refused_with_the_way_out(tensors):
    with pytest.raises(InferenceFailed, match="have no rows in common; ask by columns"):
        reply(*tensors)


def test_nan_is_refused_with_the_way_out():
    with pytest.raises(InferenceFailed, match="holds NaN or infinity in 1 of 1 elements"):
        reply(Tensor("y", "FP64", np.array([np.nan])))
