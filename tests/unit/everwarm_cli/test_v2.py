"""The client's side of the binary protocol, against the server's own reading of it."""

import json

import numpy as np
import pytest

from everwarm_cli.up import v2

IMAGE = v2.InputSpec("image", "FP32", (-1, 4))


def test_inputs_come_from_the_metadata() -> None:
    metadata = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 4]}]}
    assert v2.inputs(metadata) == (IMAGE,)


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({}, "does not say what inputs it takes"),
        ({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1]}]}, "the input text is of datatype BYTES"),
    ],
)
def test_inputs_that_cannot_be_made_up_are_refused(metadata: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        v2.inputs(metadata)


def test_zeros_stretch_in_the_first_dimension_only() -> None:
    assert v2.zeros(IMAGE, 3).shape == (3, 4)
    assert v2.zeros(v2.InputSpec("x", "INT64", (2, -1)), 9).shape == (2, 1)
    assert v2.zeros(v2.InputSpec("x", "BOOL", ()), 9).shape == ()


def test_a_request_is_json_and_the_bytes_of_its_arrays() -> None:
    array = v2.fitting(IMAGE, np.arange(8, dtype=np.uint8).reshape(2, 2, 2))
    encoded = v2.encode({IMAGE: array}, "label")
    length = int(encoded.headers["Inference-Header-Content-Length"])
    assert json.loads(encoded.body[:length]) == {
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [2, 4], "parameters": {"binary_data_size": 32}}],
        "outputs": [{"name": "label", "parameters": {"binary_data": True}}],
    }
    assert encoded.body[length:] == np.arange(8, dtype="<f4").tobytes()
    assert "outputs" not in json.loads(v2.encode({IMAGE: array}, None).body[:length].partition(b"}]}")[0] + b"}]}")


def test_an_answer_is_read_from_json_or_from_bytes() -> None:
    data = json.dumps({"outputs": [{"name": "y", "datatype": "INT64", "shape": [2], "data": [3, 4]}]}).encode()
    assert v2.first_output({}, data).tolist() == [3, 4]
    head = {"outputs": [{"name": "y", "datatype": "INT64", "shape": [2], "parameters": {"binary_data_size": 16}}]}
    text = json.dumps(head).encode()
    body = text + np.array([5, 6], "<i8").tobytes() + b"more"
    assert v2.first_output({"Inference-Header-Content-Length": str(len(text))}, body).tolist() == [5, 6]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"outputs": []}', b'{"outputs": [{"datatype": "FP32"}]}', b"\xff"]
)
def test_what_is_no_answer_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(ValueError, match="no V2 response"):
        v2.first_output({}, body)
