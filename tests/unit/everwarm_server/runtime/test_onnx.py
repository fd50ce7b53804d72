from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from everwarm_server.errors import InferenceFailed, InvalidInput, ModelError
from everwarm_server.protocol.tensors import DTYPES, ModelMetadata, TensorSpec
from everwarm_server.runtime import onnx as onnx_runtime
from everwarm_server.runtime.load import LoadOptions, load
from everwarm_server.runtime.warmup import warm_up

DIGITS = Path(__file__).resolve().parents[4] / "examples" / "digits"
OPTIONS = LoadOptions(name="m", version="3", device="cpu", threads=1)


def save(directory, nodes, inputs, outputs, initializers=()):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value(*spec) for spec in inputs], [value(*spec) for spec in outputs], list(initializers)
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    proto.ir_version = 9
    onnx.save(proto, directory / "model.onnx")
    return directory


@pytest.fixture
def adder(tmp_path):
    return save(
        tmp_path,
        [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Sub", ["a", "b"], ["difference"])],
        [("a", TensorProto.INT32, ["n", 4]), ("b", TensorProto.INT32, ["n", 4])],
        [("sum", TensorProto.INT32, ["n", 4]), ("difference", TensorProto.INT32, ["n", 4])],
    )


def test_the_metadata_is_that_of_the_file(adder):
    runtime = load(adder, OPTIONS)
    assert runtime.metadata == ModelMetadata(
        name="m",
        version="3",
        platform="onnxruntime_onnx",
        inputs=(TensorSpec("a", "INT32", (-1, 4)), TensorSpec("b", "INT32", (-1, 4))),
        outputs=(TensorSpec("sum", "INT32", (-1, 4)), TensorSpec("difference", "INT32", (-1, 4))),
    )
    assert runtime.device == "cpu"


def test_model_toml_may_name_the_platform(adder):
    (adder / "model.toml").write_text('platform = "mine"')
    assert load(adder, OPTIONS).metadata.platform == "mine"


def test_model_toml_may_give_the_shapes_that_the_file_leaves_out(tmp_path):
    directory = save(
        tmp_path,
        [helper.make_node("Relu", ["x"], ["y"])],
        [("x", TensorProto.FLOAT, None)],
        [("y", TensorProto.FLOAT, None)],
    )
    text = '[[inputs]]\nname = "x"\ndatatype = "FP32"\nshape = [-1, 2]\n'
    (tmp_path / "model.toml").write_text(text)
    assert load(directory, OPTIONS).metadata.inputs == (TensorSpec("x", "FP32", (-1, 2)),)
    (tmp_path / "model.toml").write_text(text.replace("FP32", "FP64"))
    with pytest.raises(ModelError, match=r"model\.toml names 'x' FP64; model\.onnx has 'x' FP32\."):
        load(directory, OPTIONS)


def test_all_outputs_are_computed_from_read_only_unaligned_memory(adder):
    runtime = load(adder, OPTIONS)
    body = b"\0" + np.arange(8, dtype=np.int32).tobytes()
    a = np.frombuffer(body, np.int32, offset=1).reshape(2, 4)
    assert not a.flags.aligned
    outputs = runtime.infer({"a": a, "b": np.ones((2, 4), np.int32)}, {})
    assert {name: array.tolist() for name, array in outputs.items()} == {
        "sum": [[1, 2, 3, 4], [5, 6, 7, 8]],
        "difference": [[-1, 0, 1, 2], [3, 4, 5, 6]],
    }


def test_inputs_that_do_not_fit_each_other_are_the_clients_fault(adder):
    runtime = load(adder, OPTIONS)
    with pytest.raises(InvalidInput) as caught:
        runtime.infer({"a": np.ones((2, 4), np.int32), "b": np.ones((3, 4), np.int32)}, {})
    assert str(caught.value) == "The inputs must have one size of 'n', but it is 2 in 'a', 3 in 'b'."


def test_a_failure_within_the_model_is_told_in_one_line_without_c_plus_plus(tmp_path):
    sides = [("a", TensorProto.FLOAT, ["n"]), ("b", TensorProto.FLOAT, ["m"])]
    node = helper.make_node("Add", ["a", "b"], ["y"])
    runtime = load(save(tmp_path, [node], sides, [("y", TensorProto.FLOAT, None)]), OPTIONS)
    with pytest.raises(InferenceFailed) as caught:
        runtime.infer({"a": np.ones(2, np.float32), "b": np.ones(3, np.float32)}, {})
    assert str(caught.value) == (
        "The model failed: Non-zero status code returned while running Add node. Name:'' Status Message: "
        "axis == 1 || axis == largest was false. Attempting to broadcast an axis by a dimension other than 1. 2 by 3"
    )


def test_text_goes_in_and_out_as_bytes(tmp_path):
    text = ("x", TensorProto.STRING, ["n"])
    runtime = load(save(tmp_path, [helper.make_node("Identity", ["x"], ["y"])], [text], [("y", *text[1:])]), OPTIONS)
    assert runtime.metadata.inputs == (TensorSpec("x", "BYTES", (-1,)),)
    words = np.array([b"a", "ä".encode(), b""], object)
    assert runtime.infer({"x": words}, {})["y"].tolist() == [b"a", "ä".encode(), b""]
    with pytest.raises(InvalidInput, match="'x' is text to this model, but an element is not UTF-8"):
        runtime.infer({"x": np.array([b"\xff"], object)}, {})


def test_an_index_out_of_range_is_refused_in_one_line(tmp_path):
    table = helper.make_tensor("table", TensorProto.FLOAT, [2], [5.0, 6.0])
    directory = save(
        tmp_path,
        [helper.make_node("Gather", ["table", "i"], ["y"])],
        [("i", TensorProto.INT64, ["n"])],
        [("y", TensorProto.FLOAT, ["n"])],
        [table],
    )
    runtime = load(directory, OPTIONS)
    warm_up(runtime, directory)
    assert runtime.infer({"i": np.array([1, 0])}, {})["y"].tolist() == [6.0, 5.0]
    with pytest.raises(InvalidInput, match=r"refuses these inputs: .*indices element out of data bounds") as caught:
        runtime.infer({"i": np.array([7])}, {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08" * 100])
def test_a_broken_file_is_named(tmp_path, content):
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"ONNX Runtime can't load .*model\.onnx: "):
        load(tmp_path, OPTIONS)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"has no model\.onnx\."):
        load(tmp_path, LoadOptions(name="m", format="onnx"))


def test_weights_outside_the_directory_are_refused(tmp_path):
    """CVE-2022-25882 and its like: external data that points elsewhere."""
    (tmp_path / "secret").write_bytes(bytes(4))
    (tmp_path / "model").mkdir()
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret")
    graph = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["y"])],
        "g",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [tensor],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    proto.ir_version = 9
    (tmp_path / "model" / "model.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="can't load"):
        load(tmp_path / "model", OPTIONS)


def test_outputs_that_are_no_tensors_are_refused_with_the_way_out(tmp_path):
    sequence = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(
        [helper.make_node("SequenceConstruct", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [sequence],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    proto.ir_version = 9
    onnx.save(proto, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"'y' is of type seq\(tensor\(float\)\).*zipmap=False"):
        load(tmp_path, OPTIONS)


CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.mark.parametrize(
    ("device", "available", "chosen"),
    [
        ("cpu", [CUDA, CPU], [CPU]),
        ("auto", [CUDA, CPU], [(CUDA, {"device_id": 0}), CPU]),
        ("auto", ["AzureExecutionProvider", CPU], [CPU]),
        ("cuda", [CUDA, CPU], [(CUDA, {"device_id": 0}), CPU]),
        ("cuda:3", [CUDA, CPU], [(CUDA, {"device_id": 3}), CPU]),
    ],
)
def test_the_provider_follows_the_device(device, available, chosen):
    assert onnx_runtime.providers(device, available) == chosen


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_that_is_not_there_is_refused_with_the_way_out(device):
    with pytest.raises(ModelError, match="no CUDA: install onnxruntime-gpu"):
        onnx_runtime.providers(device, [CPU])


@pytest.mark.parametrize(("kind", "datatype"), [(TensorProto.BFLOAT16, "BF16"), (TensorProto.FLOAT16, "FP16")])
@pytest.mark.parametrize("shape", [(2, 3), (0, 3), (2, 0)])
def test_short_floats_go_in_and_come_out(tmp_path, kind, datatype, shape):
    nodes = [
        helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["wide", "wide"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["y"], to=kind),
        helper.make_node("Identity", ["n"], ["m"]),
    ]
    rows, count = ["n", "k"], ("n", TensorProto.INT64, [])
    directory = save(tmp_path, nodes, [("x", kind, rows), count], [("y", kind, rows), ("m", *count[1:])])
    runtime = load(directory, OPTIONS)
    assert runtime.metadata.inputs[0] == TensorSpec("x", datatype, (-1, -1))
    x = np.arange(np.prod(shape)).reshape(shape).astype(DTYPES[datatype])
    outputs = runtime.infer({"x": x, "n": np.array(7)}, {})
    assert (outputs["y"].dtype, outputs["m"].tolist()) == (DTYPES[datatype], 7)
    assert np.array_equal(outputs["y"], x + x)


def test_the_digits_example_reads_its_held_out_digits():
    runtime = load(DIGITS, OPTIONS)
    warm_up(runtime, DIGITS)
    samples = np.load(DIGITS / "samples.npz")
    outputs = runtime.infer({"image": samples["images"].astype(np.float32)}, {})
    assert np.array_equal(outputs["label"], samples["labels"])
    assert np.allclose(outputs["probabilities"].sum(axis=1), 1)
    runtime.close()
