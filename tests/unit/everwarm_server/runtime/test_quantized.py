import logging
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from everwarm_server.errors import ModelError
from everwarm_server.runtime import onnx as onnx_runtime
from everwarm_server.runtime import torch_quantization
from everwarm_server.runtime.load import LoadOptions, load
from everwarm_server.runtime.warmup import warm_up

OPTIONS = LoadOptions(name="m", device="cpu", threads=1)
RANDOM = np.random.default_rng(0)
WEIGHTS = [(RANDOM.standard_normal(shape) / 8).astype(np.float32) for shape in ((64, 256), (256, 256), (256, 10))]
X = RANDOM.standard_normal((50, 64)).astype(np.float32)
TENSORS = """
[[inputs]]
name = "x"
datatype = "FP32"
shape = [-1, 64]
[[outputs]]
name = "y"
datatype = "FP32"
shape = [-1, 10]
"""
MLP = """
import torch
from torch import nn

def build():
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
"""


def expected(x):
    for weights in WEIGHTS[:-1]:
        x = np.maximum(x @ weights, 0)
    return x @ WEIGHTS[-1]


def onnx_mlp(directory):
    nodes, x = [], "x"
    for index in range(3):
        nodes.append(helper.make_node("MatMul", [x, f"w{index}"], ["y" if index == 2 else f"h{index}"]))
        if index < 2:
            nodes.append(helper.make_node("Relu", [f"h{index}"], [f"r{index}"]))
            x = f"r{index}"
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(weights, f"w{index}") for index, weights in enumerate(WEIGHTS)],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    proto.ir_version = 9
    onnx.save(proto, directory / "model.onnx")


def torch_mlp(directory):
    tensors = {}
    for index, weights in enumerate(WEIGHTS):
        tensors[f"{2 * index}.weight"] = torch.from_numpy(weights.T.copy())
        tensors[f"{2 * index}.bias"] = torch.zeros(weights.shape[1])
    save_file(tensors, directory / "model.safetensors")
    (directory / "model.py").write_text(MLP)


def prepared(directory, make, quantization, **samples):
    make(directory)
    np.savez(directory / "samples.npz", **({"x": X} | samples))
    (directory / "model.toml").write_text(TENSORS + "[quantization]\n" + quantization)
    return directory


@pytest.mark.parametrize(
    ("make", "method", "share"),
    [
        (onnx_mlp, "int8", 0.4),
        (onnx_mlp, "fp16", 0.6),
        (torch_mlp, "int8", 0.3),
        (torch_mlp, "fp16", 0.6),
        (torch_mlp, "bf16", 0.6),
    ],
)
@pytest.mark.parametrize(
    "samples", [{}, {"y": expected(X)}], ids=["compared with full precision", "compared with answers"]
)
def test_a_model_that_keeps_its_accuracy_is_served_smaller(tmp_path, caplog, make, method, share, samples):
    caplog.set_level(logging.INFO)
    directory = prepared(tmp_path, make, f'method = "{method}"\nmax_relative_error = 0.05', **samples)
    runtime = load(directory, OPTIONS)
    warm_up(runtime, directory)
    (y,) = runtime.infer({"x": X}, {}).values()
    assert (y.dtype, y.shape) == (np.float32, (50, 10))
    assert 0 < np.abs(y - expected(X)).max() < 0.05 * np.abs(expected(X)).max()
    assert runtime.weights_bytes < share * sum(weights.nbytes for weights in WEIGHTS)
    assert "Quantised: absolute error" in caplog.text
    runtime.close()


@pytest.mark.parametrize("make", [onnx_mlp, torch_mlp])
def test_one_that_breaks_a_limit_is_refused_with_what_was_measured(tmp_path, make):
    directory = prepared(tmp_path, make, 'method = "int8"\nmax_absolute_error = 1e-6\nmin_label_agreement = 0.5')
    with pytest.raises(ModelError) as caught:
        load(directory, OPTIONS)
    sentence = str(caught.value)
    assert sentence.startswith(
        "Quantised to int8, the model is not accurate enough: max_absolute_error is 1e-06, and the samples give 0."
    )
    assert "relative error 0.0" in sentence
    assert "label agreement" in sentence
    assert 'otherwise = "full"' in sentence


@pytest.mark.parametrize("make", [onnx_mlp, torch_mlp])
def test_or_served_whole_where_that_is_allowed(tmp_path, caplog, make):
    directory = prepared(tmp_path, make, 'method = "int8"\nmax_absolute_error = 1e-6\notherwise = "full"')
    runtime = load(directory, OPTIONS)
    assert np.allclose(runtime.infer({"x": X}, {})["y"], expected(X), atol=1e-5)
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage().startswith(
        "Served at full precision, since quantised it is not accurate enough: max_abs"
    )


def test_all_replicas_have_the_precision_of_the_first(tmp_path):
    directory = prepared(tmp_path, torch_mlp, 'method = "int8"\nmax_relative_error = 0.05')
    (directory / "model.toml").write_text("replicas = 2\n" + (directory / "model.toml").read_text())
    instances = load(directory, OPTIONS)
    first, second = (runtime.infer({"x": X}, {})["y"] for runtime in instances.each)
    assert np.array_equal(first, second)
    assert np.abs(first - expected(X)).max() > 1e-4


@pytest.mark.parametrize(
    ("make", "quantization", "samples", "sentence"),
    [
        (onnx_mlp, 'method = "bf16"\nmax_absolute_error = 1', {}, "for model.onnx use int8 or fp16"),
        (
            onnx_mlp,
            'method = "int8"\nsamples = "none.npz"\nmax_absolute_error = 1',
            {},
            "can't be read as arrays by name",
        ),
        (onnx_mlp, 'method = "int8"\nmax_absolute_error = 1', {"z": X}, "has no input 'z'"),
        (
            onnx_mlp,
            'method = "int8"\nmax_absolute_error = 1',
            {"y": np.zeros((50, 3))},
            "The output 'y' has another shape after quantisation",
        ),
    ],
)
def test_what_cannot_be_done_is_named(tmp_path, make, quantization, samples, sentence):
    with pytest.raises(ModelError) as caught:
        load(prepared(tmp_path, make, quantization, **samples), OPTIONS)
    assert sentence in str(caught.value)


ENCODER = """
from torch import nn

def build():
    layer = nn.TransformerEncoderLayer(64, 2, 128, batch_first=True)
    return nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
"""


def test_the_layers_of_a_transformer_are_made_int8(tmp_path):
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(64, 2, 128, batch_first=True)
    module = torch.nn.TransformerEncoder(layer, 1, enable_nested_tensor=False).eval()
    save_file(module.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "model.py").write_text(ENCODER)
    np.savez(tmp_path / "samples.npz", x=X.reshape(5, 10, 64))
    tensors = TENSORS.replace("[-1, 64]", "[-1, -1, 64]").replace("[-1, 10]", "[-1, -1, 64]")
    (tmp_path / "model.toml").write_text(tensors + '[quantization]\nmethod = "int8"\nmax_relative_error = 0.1')
    runtime = load(tmp_path, OPTIONS)
    y = runtime.infer({"x": X.reshape(5, 10, 64)}, {})["y"]
    expected = module(torch.from_numpy(X.reshape(5, 10, 64))).detach().numpy()
    assert 0 < np.abs(y - expected).max() < 0.1 * np.abs(expected).max()
    assert np.array_equal(y, runtime.infer({"x": X.reshape(5, 10, 64)}, {})["y"])  # its dropout is off


def test_int8_is_not_for_gpus(tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="int8 is for the CPU; on a GPU use fp16 or bf16"):
        torch_quantization.quantized(torch.nn.Linear(2, 2), "int8", "cuda:0")
    available = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnx_runtime.onnxruntime, "get_available_providers", lambda: available)
    directory = prepared(tmp_path, onnx_mlp, 'method = "int8"\nmax_absolute_error = 1')
    with pytest.raises(ModelError, match="int8 is for the CPU; on a GPU use fp16, or the device cpu"):
        load(directory, LoadOptions("m", device="auto"))


def test_torchscript_is_not_made_int8(tmp_path):
    directory = prepared(tmp_path, torch_mlp, 'method = "int8"\nmax_relative_error = 0.05')
    (directory / "model.safetensors").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.script(torch.nn.Linear(64, 10)), directory / "model.pt")
    with pytest.raises(ModelError, match=r"int8 needs model\.py with model\.safetensors"):
        load(directory, LoadOptions("m", format="torch"))


def test_weights_outside_the_directory_are_not_read_to_quantise_them(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(64 * 10 * 4))
    (tmp_path / "model").mkdir()
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[64, 10], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value="../secret")

    def make(directory):
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
            [weights],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        proto.ir_version = 9
        (directory / "model.onnx").write_bytes(proto.SerializeToString())

    with pytest.raises(ModelError, match="can't be quantised to int8"):
        load(prepared(tmp_path / "model", make, 'method = "int8"\nmax_absolute_error = 1'), OPTIONS)
