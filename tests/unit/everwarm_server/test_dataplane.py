import time
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from everwarm_server.dataplane import Arrival, DataPlane, select
from everwarm_server.errors import InferenceFailed, InvalidInput, ModelNotReady
from everwarm_server.protocol.tensors import (
    Array,
    InferRequest,
    InferResponse,
    ModelMetadata,
    Parameters,
    RequestedOutput,
    Tensor,
    TensorSpec,
)
from everwarm_server.telemetry.metrics import Metrics

METADATA = ModelMetadata(
    name="m",
    version="1",
    platform="fake",
    inputs=(TensorSpec("x", "FP32", (-1, 2)),),
    outputs=(TensorSpec("sum", "FP32", (-1,)), TensorSpec("rows", "INT64", (1,))),
)
UNDECLARED = ModelMetadata("m", "1", "fake", (), ())


class FakeClient:
    gone = False
    when_gone: Callable[[], None] | None = None


class FakeRuntime:
    """Adds up rows; does what the parameter `do` says instead, if it is there."""

    device = "cpu"
    only_computes = True
    takes_parameters = True
    streams = False
    metadata = METADATA

    def __init__(self) -> None:
        self.closed = False

    def infer(self, inputs: Mapping[str, Array], parameters: Parameters) -> Mapping[str, Array]:
        match parameters.get("do"):
            case "refuse":
                raise InvalidInput("I want even numbers.")
            case "raise":
                raise ZeroDivisionError("secret detail")
            case "exit":
                raise SystemExit(3)
            case "forget":
                return {"sum": inputs["x"].sum(1)}
        return {"sum": inputs["x"].sum(1), "rows": np.array([len(inputs["x"])])}

    def close(self) -> None:
        self.closed = True


def plane() -> DataPlane:
    return DataPlane("m", 1, 10, Metrics(0.0).model("m", 1))


def request(*outputs: str, do: str = "", data: Array | None = None) -> InferRequest:
    x = np.array([[1, 2], [3, 4]], np.float32) if data is None else data
    wanted = tuple(RequestedOutput(name) for name in outputs)
    return InferRequest((Tensor("x", "FP32", x),), id="7", outputs=wanted, parameters={"do": do} if do else {})


def arrival() -> Arrival:
    return Arrival(time.perf_counter(), time.time())


def sample(registry: CollectorRegistry, name: str) -> float | None:
    return registry.get_sample_value(name, {"model_name": "m"})


def told(response: InferResponse) -> list[tuple[str, str, list[float]]]:
    return [(tensor.name, tensor.datatype, tensor.data.tolist()) for tensor in response.outputs]


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ((), [("sum", "FP32", [3.0, 7.0]), ("rows", "INT64", [2])]),
        (("rows", "sum"), [("rows", "INT64", [2]), ("sum", "FP32", [3.0, 7.0])]),
        (("rows",), [("rows", "INT64", [2])]),
    ],
)
async def test_it_gives_the_outputs_asked_for_in_their_order(
    outputs: tuple[str, ...], expected: list[tuple[str, str, list[float]]]
) -> None:
    served = plane()
    served.serve(FakeRuntime())
    response = await served.infer(request(*outputs), arrival(), FakeClient())
    assert (response.model_name, response.model_version, response.id) == ("m", "1", "7")
    assert told(response) == expected
    assert sample(served.metrics.registry, "everwarm_inference_seconds_count") == 1
    assert sample(served.metrics.registry, "everwarm_queue_seconds_count") == 1
    served.close()


async def test_before_the_model_is_loaded_it_says_so() -> None:
    served = plane()
    assert not served.is_ready
    for question in (served.check_ready, served.metadata):
        with pytest.raises(ModelNotReady, match="still being loaded"):
            question()
    with pytest.raises(ModelNotReady):
        await served.infer(request(), arrival(), FakeClient())
    served.close()


async def test_while_it_drains_it_is_not_ready_but_answers() -> None:
    served = plane()
    served.serve(FakeRuntime())
    assert served.is_ready
    served.drain()
    with pytest.raises(ModelNotReady, match="drains"):
        served.check_ready()
    assert told(await served.infer(request("rows"), arrival(), FakeClient())) == [("rows", "INT64", [2])]
    served.close()


@pytest.mark.parametrize(
    ("do", "error", "sentence"),
    [
        ("refuse", InvalidInput, "I want even numbers."),
        ("raise", InferenceFailed, "The model 'm' failed: ZeroDivisionError."),
        ("exit", InferenceFailed, "The model 'm' failed: SystemExit."),
        ("forget", InferenceFailed, "The model 'm' declares the output 'rows' but gave none."),
    ],
)
async def test_what_the_model_raises_becomes_one_of_our_errors(do: str, error: type[Exception], sentence: str) -> None:
    served = plane()
    served.serve(FakeRuntime())
    with pytest.raises(error) as raised:
        await served.infer(request(do=do), arrival(), FakeClient())
    assert str(raised.value) == sentence
    assert served.admission.running == 0
    served.close()


async def test_a_wrong_input_never_reaches_the_model() -> None:
    served = plane()
    served.serve(FakeRuntime())
    with pytest.raises(InvalidInput):
        await served.infer(request(data=np.zeros((1, 3), np.float32)), arrival(), FakeClient())
    assert sample(served.metrics.registry, "everwarm_inference_seconds_count") == 0
    served.close()


def test_a_model_that_declares_nothing_gives_what_it_gives() -> None:
    outputs = {"a": np.zeros(1, np.int8), "b": np.array([True])}
    assert [t.name for t in select(outputs, (), UNDECLARED)] == ["a", "b"]
    with pytest.raises(InvalidInput, match="gave no output 'c'; it gave 'a', 'b'"):
        select(outputs, (RequestedOutput("c"),), UNDECLARED)


def test_closing_frees_the_model() -> None:
    served, runtime = plane(), FakeRuntime()
    served.serve(runtime)
    served.close()
    assert runtime.closed
