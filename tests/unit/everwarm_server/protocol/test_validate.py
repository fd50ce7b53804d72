import numpy as np
import pytest

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol.tensors import DTYPES, InferRequest, ModelMetadata, RequestedOutput, Tensor, TensorSpec
from everwarm_server.protocol.validate import check_inputs

MODEL = ModelMetadata(
    "m",
    "1",
    "p",
    inputs=(TensorSpec("x", "FP32", (-1, 2)), TensorSpec("n", "INT64", ())),
    outputs=(TensorSpec("y", "FP32", (-1,)), TensorSpec("z", "FP32", (-1,))),
)
ANYTHING = ModelMetadata("m", "1", "p", (), ())
NUMBER = ("n", "INT64", ())


def request(*tensors, outputs=()):
    return InferRequest(
        inputs=tuple(Tensor(name, datatype, np.zeros(shape, DTYPES[datatype])) for name, datatype, shape in tensors),
        outputs=tuple(RequestedOutput(name) for name in outputs),
    )


@pytest.mark.parametrize(
    ("sent", "metadata"),
    [
        (request(("x", "FP32", (1, 2)), NUMBER), MODEL),
        (request(NUMBER, ("x", "FP32", (0, 2)), outputs=["z", "y"]), MODEL),
        (request(("whatever", "BYTES", (3,)), outputs=["any"]), ANYTHING),
        (request(), ANYTHING),
    ],
)
def test_what_the_model_declares_is_accepted(sent, metadata):
    assert check_inputs(sent, metadata) is None


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (request(), "The model 'm' also needs the input 'x', 'n'."),
        (request(("x", "FP32", (1, 2))), "The model 'm' also needs the input 'n'."),
        (request(NUMBER, ("a", "FP32", (1, 2))), "The model 'm' has no input 'a'; it has 'x', 'n'."),
        (request(("x", "FP64", (1, 2)), NUMBER), "The input 'x' must be FP32, but it came as FP64."),
        (
            request(("x", "FP32", (1, 3)), NUMBER),
            "The input 'x' must have the shape [-1, 2] (-1: any size), but it came as [1, 3].",
        ),
        (
            request(("x", "FP32", (2,)), NUMBER),
            "The input 'x' must have the shape [-1, 2] (-1: any size), but it came as [2].",
        ),
        (
            request(("x", "FP32", (1, 2)), ("n", "INT64", (1,))),
            "The input 'n' must have the shape [] (-1: any size), but it came as [1].",
        ),
        (
            request(("x", "FP32", (1, 2)), NUMBER, outputs=["y", "w"]),
            "The model 'm' has no output 'w'; it has 'y', 'z'.",
        ),
    ],
)
def test_anything_else_is_refused_with_what_was_wanted_and_what_came(sent, sentence):
    with pytest.raises(InvalidInput) as caught:
        check_inputs(sent, MODEL)
    assert str(caught.value) == sentence
