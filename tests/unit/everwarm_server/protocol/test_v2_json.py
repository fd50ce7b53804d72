import numpy as np
import orjson
import pytest

from everwarm_server.errors import InferenceFailed, InvalidInput
from everwarm_server.protocol import v2_json
from everwarm_server.protocol.tensors import (
    DTYPES,
    InferRequest,
    InferResponse,
    ModelMetadata,
    RequestedOutput,
    Tensor,
    TensorSpec,
)


def body(**changes):
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2.5, 3, 4]} | changes
    return orjson.dumps({"inputs": [{k: v for k, v in tensor.items() if v is not ...}]})


def reply(*tensors, request=None, **fields):
    chunks, headers = v2_json.encode_response(
        InferResponse("m", "1", tensors, **fields), request or InferRequest(inputs=())
    )
    return chunks, dict(headers)


@pytest.mark.parametrize(
    ("datatype", "data", "values"),
    [
        ("BOOL", [True, False], [True, False]),
        ("UINT8", [0, 255], [0, 255]),
        ("UINT16", [0, 65535], [0, 65535]),
        ("UINT32", [0, 2**32 - 1], [0, 2**32 - 1]),
        ("UINT64", [0, 2**64 - 1], [0, 2**64 - 1]),
        ("INT8", [-128, 127], [-128, 127]),
        ("INT16", [-(2**15), 2**15 - 1], [-(2**15), 2**15 - 1]),
        ("INT32", [-(2**31), 2**31 - 1], [-(2**31), 2**31 - 1]),
        ("INT64", [-(2**63), 2**63 - 1], [-(2**63), 2**63 - 1]),
        ("FP32", [1, 0.5], [1.0, 0.5]),
        ("FP64", [1, 1e300], [1.0, 1e300]),
        ("BYTES", ["", "ä"], [b"", "ä".encode()]),
    ],
)
def test_every_datatype_arrives_as_its_array(datatype, data, values):
    request = v2_json.decode_request(body(datatype=datatype, shape=[2], data=data))
    (tensor,) = request.inputs
    assert (tensor.name, tensor.datatype, tensor.data.dtype) == ("x", datatype, DTYPES[datatype])
    assert tensor.data.tolist() == values


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([], [7]),
        ([1, 1, 1], [[[7]]]),
        ([0], []),
        ([0, 3], []),
        ([2, 0], [[], []]),
        ([2, 3], [1, 2, 3, 4, 5, 6]),
        ([2, 3], [[1, 2, 3], [4, 5, 6]]),
        ([1, 2, 3], [[[1, 2, 3], [4, 5, 6]]]),
        ([2, 1, 2], [[[1, 2]], [[3, 4]]]),
    ],
)
def test_data_may_be_flat_or_nested_as_the_shape(shape, data):
    (tensor,) = v2_json.decode_request(body(datatype="INT32", shape=shape, data=data)).inputs
    expected = np.array(data, np.int32).reshape(shape)
    assert tensor.data.shape == tuple(shape)
    assert np.array_equal(tensor.data, expected)


def test_id_parameters_and_outputs_are_read():
    document = orjson.loads(body()) | {
        "id": "r-1",
        "parameters": {"binary_data_output": True, "temperature": 0.5, "n": 3, "s": "x", "b": False},
        "outputs": [{"name": "a"}, {"name": "b", "parameters": {"binary_data": False}}],
        "unknown": [1],
    }
    request = v2_json.decode_request(orjson.dumps(document))
    assert request.id == "r-1"
    assert request.binary_outputs is True
    assert request.parameters == {"temperature": 0.5, "n": 3, "s": "x", "b": False}
    assert request.outputs == (RequestedOutput("a", binary=True), RequestedOutput("b", binary=False))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"datatype": "UINT8", "shape": [1], "data": [300]}, "is UINT8, which holds 0 to 255, but element 0 is 300."),
        ({"datatype": "UINT64", "shape": [1], "data": [-1]}, "holds 0 to 18446744073709551615, but element 0 is -1."),
        ({"datatype": "INT64", "shape": [1], "data": [2**63]}, "but element 0 is 9223372036854775808."),
        ({"shape": [1], "data": [1e39]}, "holds -3.4028234663852886e+38 to 3.4028234663852886e+38, but element 0 is"),
        ({"datatype": "INT32", "data": [1, 2, 3.0, 4]}, "so its data must be integers, but element 2 is 3.0."),
        ({"datatype": "INT32", "data": [1, True, 3, 4]}, "so its data must be integers, but element 1 is true."),
        ({"data": [1, "2", 3, 4]}, "is FP32, so its data must be numbers, but element 1 is '2'."),
        ({"data": [1, None, 3, 4]}, "so its data must be numbers, but element 1 is null."),
        ({"data": [1, [2], 3, 4]}, "so its data must be numbers, but element 1 is a list."),
        ({"datatype": "BOOL", "data": [True, 1, False, False]}, "must be true or false, but element 1 is 1."),
        ({"datatype": "BYTES", "shape": [1], "data": [1]}, "must be strings, but element 0 is 1."),
        ({"data": [1, 2, 3]}, "has shape [2, 2], which means 4 elements, but its data has 3."),
        ({"data": [[1, 2], [3]]}, "at depth 2 must be lists of 2, but there is a list of 1;"),
        ({"data": [[1, 2, 3, 4]]}, "at depth 1 must be lists of 2, but there is a list of 1;"),
        ({"data": [[1, 2], 3]}, "at depth 2 must be lists of 2, but there is 3;"),
        ({"data": [[[1], [2]], [[3], [4]]]}, "so its data must be numbers, but element 0 is a list."),
        ({"data": "abcd"}, "has 'abcd' as data; it needs data as a list"),
        ({"data": ...}, "has neither data nor the parameter binary_data_size;"),
        ({"shape": ...}, "The input 'x' has no shape;"),
        ({"shape": "2"}, "has '2' as shape;"),
        ({"shape": [-1, 4]}, "has -1 in its shape; each dimension must be an integer of 0 or more."),
        ({"shape": [True, 4]}, "has true in its shape;"),
        ({"shape": [2.0, 2]}, "has 2.0 in its shape;"),
        ({"shape": [2**32, 2**32]}, "which means more than 2**40 elements."),
        ({"shape": [0, 2**62]}, "which means more than 2**40 elements."),
        ({"shape": [1] * 33}, "has 33 dimensions; at most 32 are accepted."),
        ({"datatype": "FP32 "}, "has the datatype 'FP32 '; it must be one of BOOL,"),
        ({"datatype": ["FP32"]}, "has the datatype a list;"),
        ({"datatype": ...}, "has the datatype null;"),
        ({"datatype": "FP16"}, "is FP16, which V2 carries only as binary:"),
        ({"datatype": "BF16"}, "is BF16, which V2 carries only as binary:"),
        ({"parameters": {"shared_memory_region": "r"}}, "lies in shared memory, which this server does not read;"),
        ({"name": 3}, "The input at position 0 has no name;"),
        ({"name": ""}, "The input at position 0 has no name;"),
        ({"parameters": []}, "The parameters of the input 'x' are a list; they must be an object."),
        ({"parameters": {"p": None}}, "The parameter 'p' of the input 'x' is null;"),
        ({"name": "n" * 10_000, "data": [1]}, "'... has shape [2, 2], which means 4 elements"),
    ],
)
def test_a_wrong_tensor_is_refused_with_what_is_wrong(changes, sentence):
    with pytest.raises(InvalidInput) as caught:
        v2_json.decode_request(body(**changes))
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (b"", "The body is not valid JSON:"),
        (b"{", "The body is not valid JSON:"),
        (b"\xef\xbb\xbf{}", "The body is not valid JSON:"),
        (b'{"inputs": [], "id": "\xff"}', "The body is not valid JSON:"),
        (b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [NaN]}]}', "not valid JSON:"),
        (b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1e400]}]}', "not valid JSON:"),
        (b'{"inputs": ' + b"[" * 100_000, "not valid JSON:"),
        (b"[]", "The body is a list; it must be a JSON object."),
        (b"null", "The body is null; it must be a JSON object."),
        (b"{}", "The request has no inputs; it needs a list of objects with a name each."),
        (b'{"inputs": {}}', "The request has an object as inputs;"),
        (b'{"inputs": [1]}', "The input at position 0 has no name;"),
        (b'{"inputs": [], "id": 3}', "The id is 3; it must be a string"),
        (b'{"inputs": [], "id": "a\\r\\nb"}', "The id is 'a\\r\\nb'; it must be a string"),
        (b'{"inputs": [], "id": "%s"}' % (b"i" * 2000), "The id is 'iiii"),
        (b'{"inputs": [], "parameters": 1}', "The parameters of the request are 1;"),
        (b'{"inputs": [], "parameters": {"binary_data_output": 1}}', "The parameter binary_data_output of the request"),
        (b'{"inputs": [], "outputs": 1}', "The request has 1 as outputs;"),
        (b'{"inputs": [], "outputs": [{"name": "a"}, {"name": "a"}]}', "The output 'a' comes twice;"),
        (b'{"inputs": [], "outputs": [{"name": "a", "parameters": {"classification": 3}}]}', "asks for classification"),
        (b'{"inputs": [], "outputs": [{"name": "a", "parameters": {"binary_data": "yes"}}]}', "is 'yes'; it must be"),
    ],
)
def test_a_wrong_body_is_refused_with_what_is_wrong(document, sentence):
    with pytest.raises(InvalidInput) as caught:
        v2_json.decode_request(document)
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 400


def test_two_inputs_of_one_name_are_refused():
    tensor = orjson.loads(body())["inputs"][0]
    with pytest.raises(InvalidInput, match="'x' comes twice"):
        v2_json.decode_request(orjson.dumps({"inputs": [tensor, tensor]}))


def test_too_many_parameters_are_refused():
    document = {"inputs": [], "parameters": {str(n): n for n in range(257)}}
    with pytest.raises(InvalidInput, match="has 257 parameters; at most 256 are accepted"):
        v2_json.decode_request(orjson.dumps(document))


def test_a_reply_echoes_the_id_and_writes_flat_data():
    chunks, headers = reply(
        Tensor("a", "FP32", np.array([[1, 0.1]], np.float32)),
        Tensor("b", "BYTES", np.array([[b"x", "ä".encode()]], object)),
        Tensor("c", "BOOL", np.array(True)),
        Tensor("d", "INT64", np.zeros((0, 2), np.int64)),
        Tensor("e", "INT16", np.arange(6, dtype=">i2").reshape(2, 3)[:, ::2]),
        request=InferRequest(inputs=(), id="r"),
    )
    (text,) = chunks
    assert orjson.loads(text) == {
        "model_name": "m",
        "model_version": "1",
        "id": "r",
        "outputs": [
            {"name": "a", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 0.1]},
            {"name": "b", "datatype": "BYTES", "shape": [1, 2], "data": ["x", "ä"]},
            {"name": "c", "datatype": "BOOL", "shape": [], "data": [True]},
            {"name": "d", "datatype": "INT64", "shape": [0, 2], "data": []},
            {"name": "e", "datatype": "INT16", "shape": [2, 2], "data": [0, 2, 3, 5]},
        ],
    }
    assert headers == {b"content-type": b"application/json", b"content-length": str(len(text)).encode()}


def test_a_reply_without_an_id_has_none():
    ((text,), _) = reply(Tensor("a", "INT8", np.array([1], np.int8)))
    assert "id" not in orjson.loads(text)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_in_json_with_the_way_out(value):
    with pytest.raises(InferenceFailed, match=r"'a' holds NaN or infinity in 1 of 2 elements.*ask for binary"):
        reply(Tensor("a", "FP32", np.array([1, value], np.float32)))


def test_bytes_that_are_no_text_are_refused_in_json_with_the_way_out():
    with pytest.raises(InferenceFailed, match=r"'a' holds bytes that are not UTF-8.*ask for binary"):
        reply(Tensor("a", "BYTES", np.array([b"\xff"], object)))


def test_fp16_is_refused_in_json_with_the_way_out():
    with pytest.raises(InvalidInput, match=r"'a' is FP16.*binary_data to true"):
        reply(Tensor("a", "FP16", np.zeros(1, np.float16)))


def test_metadata_and_errors_are_json():
    metadata = ModelMetadata("m", "2", "p", (TensorSpec("x", "FP32", (-1, 4)),), (TensorSpec("y", "BYTES", ()),))
    assert orjson.loads(v2_json.encode_metadata(metadata)) == {
        "name": "m",
        "versions": ["2"],
        "platform": "p",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "datatype": "BYTES", "shape": []}],
    }
    assert orjson.loads(v2_json.encode_metadata(metadata, ("1", "2")))["versions"] == ["1", "2"]
    assert orjson.loads(v2_json.encode_error('"no"')) == {"error": '"no"'}
