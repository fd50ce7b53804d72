import json
from typing import Any

import numpy as np
import pytest

from everwarm_server.errors import InferenceFailed, InvalidInput
from everwarm_server.protocol import generate
from everwarm_server.protocol.tensors import InferResponse, ModelMetadata, Tensor, TensorSpec

LLM = ModelMetadata(
    "llm", "1", "fake", (TensorSpec("text_input", "BYTES", (-1,)), TensorSpec("stream", "BOOL", (1,))), ()
)
UNDECLARED = ModelMetadata("any", "1", "fake", (), ())


def shaped(datatype: str, *shape: int) -> ModelMetadata:
    return ModelMetadata("m", "1", "fake", (TensorSpec("x", datatype, shape),), ())


def decoded(document: Any, metadata: ModelMetadata = LLM) -> tuple[dict[str, tuple[str, Any]], dict[str, Any]]:
    request = generate.decode(json.dumps(document).encode(), metadata)
    return {t.name: (t.datatype, t.data.tolist()) for t in request.inputs}, dict(request.parameters)


def test_members_are_inputs_where_the_model_has_them_and_parameters_where_not() -> None:
    inputs, parameters = decoded(
        {"text_input": "héllo", "stream": True, "temperature": 0.5, "parameters": {"top_k": 3, "greedy": False}}
    )
    assert inputs == {"text_input": ("BYTES", ["héllo".encode()]), "stream": ("BOOL", [True])}
    assert parameters == {"temperature": 0.5, "top_k": 3, "greedy": False}


def test_an_input_may_stand_among_the_parameters() -> None:
    inputs, parameters = decoded({"text_input": "a", "parameters": {"stream": True, "text_input": "b"}})
    assert inputs == {"text_input": ("BYTES", [b"a"]), "stream": ("BOOL", [True])}
    assert parameters == {"text_input": "b"}


def test_the_id_is_the_requests_unless_the_model_has_an_input_of_that_name() -> None:
    assert generate.decode(b'{"id": "7", "text_input": "a"}', LLM).id == "7"
    metadata = ModelMetadata("m", "1", "fake", (TensorSpec("id", "INT64", (1,)),), ())
    request = generate.decode(b'{"id": 7}', metadata)
    assert (request.id, request.inputs[0].data.tolist()) == (None, [7])


@pytest.mark.parametrize(
    ("value", "shape", "array"),
    [
        (5, (1,), [5]),
        (5, (-1,), [5]),
        (5, (-1, -1), [[5]]),
        (5, (), 5),
        ([1, 2, 3], (-1,), [1, 2, 3]),
        ([1, 2, 3], (-1, -1), [[1, 2, 3]]),
        ([1, 2, 3, 4], (-1, 2), [[1, 2], [3, 4]]),
        ([1, 2, 3, 4], (2, -1), [[1, 2], [3, 4]]),
        ([1, 2, 3, 4], (2, 2), [[1, 2], [3, 4]]),
        ([[1, 2], [3, 4]], (-1, 2), [[1, 2], [3, 4]]),
        ([], (-1,), []),
    ],
)
def test_flat_values_take_the_shape_that_the_model_declares(value: Any, shape: tuple[int, ...], array: Any) -> None:
    assert decoded({"x": value}, shaped("INT32", *shape))[0] == {"x": ("INT32", array)}


def test_a_model_that_declares_nothing_gets_every_member_as_it_is() -> None:
    inputs, parameters = decoded(
        {"s": "a", "i": 1, "f": [1, 2.5], "b": [True, False], "parameters": {"p": 1}}, UNDECLARED
    )
    assert inputs == {
        "s": ("BYTES", [b"a"]),
        "i": ("INT64", [1]),
        "f": ("FP64", [1.0, 2.5]),
        "b": ("BOOL", [True, False]),
    }
    assert parameters == {"p": 1}


@pytest.mark.parametrize(
    ("document", "metadata", "sentence"),
    [
        (3, LLM, "The body is 3; it must be a JSON object."),
        (
            {"text_input": 123},
            LLM,
            "The input 'text_input' is BYTES, so its data must be strings, but element 0 is 123.",
        ),
        ({"stream": "false"}, LLM, "The input 'stream' is BOOL, so its data must be true or false"),
        ({"text_input": {"user": "a"}}, LLM, "so its data must be strings, but element 0 is an object."),
        (
            {"temperature": [1]},
            LLM,
            "'temperature' is no input of the model, which has 'text_input', 'stream', so it must be a string, a "
            "number, true or false; it is a list.",
        ),
        ({"parameters": {"a": {}}}, UNDECLARED, "'a' is a parameter, so it must be a string"),
        ({"parameters": 3}, LLM, "The parameters of the request are 3; they must be an object."),
        ({"id": 3}, LLM, "The id is 3; it must be a string"),
        ({"x": [1, 2, 3]}, shaped("FP32", -1, 2), "has shape [1, 2], which means 2 elements, but its data has 3."),
        ({"x": [[1], [2, 3]]}, shaped("FP32", -1, 1), "The input 'x' has shape [2, 1]"),
        ({"x": 1.5}, shaped("BF16", -1), "The input 'x' is BF16, which V2 carries only as binary: send it by /infer."),
        (
            {"x": None},
            UNDECLARED,
            "The input 'x' is null; it must be a string, a number, true or false, or a flat list",
        ),
        ({"x": [1, "a"]}, UNDECLARED, "The input 'x' is a list; it must be"),
        ({"x": [True, 1.5]}, UNDECLARED, "The input 'x' is a list; it must be"),
        ({"x": []}, UNDECLARED, "The input 'x' is a list; it must be"),
        ({"x": [[1]]}, UNDECLARED, "The input 'x' is a list; it must be"),
    ],
)
def test_a_mistake_is_named(document: Any, metadata: ModelMetadata, sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decoded(document, metadata)
    assert sentence in str(caught.value)


def test_outputs_stand_flat_by_their_names() -> None:
    words = np.array([[b"a"], ["é".encode()]], object)
    response = InferResponse(
        "llm",
        "2",
        (
            Tensor("text_output", "BYTES", words[:1]),
            Tensor("words", "BYTES", words),
            Tensor("score", "FP32", np.array([[0.1]], np.float32)),
            Tensor("ids", "INT64", np.array([[1, 2], [3, 4]])),
            Tensor("half", "FP16", np.array([0.5, 1.5], np.float16)),
            Tensor("alone", "INT64", np.array(3)),
            Tensor("none", "FP32", np.zeros(0, np.float32)),
        ),
        "7",
    )
    assert generate.encode(response) == (
        b'{"model_name":"llm","model_version":"2","id":"7","text_output":"a","words":["a","\xc3\xa9"],"score":0.1,'
        b'"ids":[1,2,3,4],"half":[0.5,1.5],"alone":3,"none":[]}'
    )


def test_what_json_cannot_carry_is_refused() -> None:
    with pytest.raises(InferenceFailed, match="holds NaN or infinity"):
        generate.encode(InferResponse("m", "1", (Tensor("y", "FP32", np.array([np.nan], np.float32)),)))
