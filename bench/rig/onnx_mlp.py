"""The perceptron as an ONNX file: the directory of a model in, `model.onnx` in it out."""

from pathlib import Path

import onnx
from bench.peers import models
from onnx import helper, numpy_helper


def write(directory: Path) -> None:
    """Make the directory and the file."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = {"w1": models.W1, "b1": models.B1, "w2": models.W2, "b2": models.B2}
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 784])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, directory / "model.onnx")
