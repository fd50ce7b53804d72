"""What quantisation at load costs and gains: time to load, memory, time of an inference, and error.

    python -m bench.quantization [--quick] [--json FILE]

One thread, and time of the CPU, which other processes disturb less. The digits of examples/; a perceptron of 42 million
weights, as ONNX and in PyTorch; an encoder as MiniLM is one (6 layers, 384 wide, 128 tokens). Those two have random
weights, whose error says less than that of a model that was trained.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from bench.rig.report import Measure, exit_code, goals, table, write_json
from onnx import helper, numpy_helper
from safetensors.torch import save_file

from everwarm_server.protocol.tensors import Array
from everwarm_server.runtime import accuracy
from everwarm_server.runtime.load import LoadOptions, load

DIGITS: Final = Path(__file__).resolve().parents[1] / "examples" / "digits"
LAYERS: Final = (1024, 4096, 4096, 4096, 1000)
RANDOM: Final = np.random.default_rng(0)
WEIGHTS: Final = (
    "[[inputs]]\nname = 'x'\ndatatype = 'FP32'\nshape = {}\n[[outputs]]\nname = 'y'\ndatatype = 'FP32'\nshape = {}\n"
)
PERCEPTRON: Final = """
from torch import nn

def build():
    sizes = %r
    layers = [layer for pair in zip(sizes, sizes[1:]) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1])
"""
ENCODER: Final = """
from torch import nn

def build():
    layer = nn.TransformerEncoderLayer(384, 12, 1536, activation="gelu", batch_first=True)
    return nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, what it is asked, and the methods that it knows."""

    name: str
    make: Callable[[Path], None]
    inputs: dict[str, Array]
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """Figures of a model at a precision."""

    name: str
    precision: str
    load_seconds: float
    weights_bytes: int
    seconds: float
    difference: accuracy.Difference


def digits(directory: Path) -> None:
    """The example."""
    shutil.copytree(DIGITS, directory, dirs_exist_ok=True)


def onnx_perceptron(directory: Path) -> None:
    """Large matrices, as ONNX."""
    nodes, initializers, x = [], [], "x"
    for index, size in enumerate(pairwise(LAYERS)):
        weights = (RANDOM.standard_normal(size) / np.sqrt(size[0] / 2)).astype(np.float32)
        initializers.append(numpy_helper.from_array(weights, f"w{index}"))
        last = index == len(LAYERS) - 2
        nodes.append(helper.make_node("MatMul", [x, f"w{index}"], ["y" if last else f"h{index}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"h{index}"], [f"r{index}"]))
            x = f"r{index}"
    values = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["n", d]) for n, d in (("x", 1024), ("y", 1000))]
    graph = helper.make_graph(nodes, "perceptron", values[:1], values[1:], initializers)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), directory / "model.onnx"
    )


def eager(code: str, shapes: tuple[str, str]) -> Callable[[Path], None]:
    """A module whose weights are random."""

    def make(directory: Path) -> None:
        torch.manual_seed(0)
        names: dict[str, Callable[[], torch.nn.Module]] = {}
        exec(code, names)
        save_file(names["build"]().state_dict(), directory / "model.safetensors")
        (directory / "model.py").write_text(code)
        (directory / "model.toml").write_text(WEIGHTS.format(*shapes))

    return make


def subjects() -> Iterator[Subject]:
    """What is measured."""
    images = np.load(DIGITS / "samples.npz")["images"].astype(np.float32)
    yield Subject("digits (ONNX)", digits, {"image": images}, ("int8", "fp16"))
    rows = {"x": RANDOM.standard_normal((32, LAYERS[0])).astype(np.float32)}
    yield Subject("perceptron (ONNX)", onnx_perceptron, rows, ("int8", "fp16"))
    perceptron = eager(PERCEPTRON % (LAYERS,), ("[-1, 1024]", "[-1, 1000]"))
    yield Subject("perceptron (PyTorch)", perceptron, rows, ("int8", "bf16"))
    tokens = {"x": RANDOM.standard_normal((4, 128, 384)).astype(np.float32)}
    encoder = eager(ENCODER, ("[-1, 128, 384]", "[-1, 128, 384]"))
    yield Subject("encoder (PyTorch)", encoder, tokens, ("int8", "bf16"))


@contextmanager
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="everwarm-bench-") as name:
        yield Path(name)


def measure(subject: Subject, runs: int) -> Iterator[Result]:
    """Full precision, then each method; of its times, the least counts."""
    with _directory() as directory:
        subject.make(directory)
        full = None
        for precision in (accuracy.FULL, *subject.methods):
            start = time.process_time()
            runtime = load(directory, LoadOptions("m", device="cpu", threads=1, precision=precision))
            load_seconds = time.process_time() - start
            outputs = runtime.infer(subject.inputs, {})
            full = outputs if full is None else full
            seconds = []
            for _ in range(runs):
                start = time.process_time()
                runtime.infer(subject.inputs, {})
                seconds.append(time.process_time() - start)
            difference = accuracy.compare(full, outputs)
            yield Result(subject.name, precision, load_seconds, runtime.weights_bytes, min(seconds), difference)
            runtime.close()


def shown(results: list[Result]) -> str:
    """The results as a table."""
    heads = (
        "model",
        "",
        "load CPU s",
        "MB",
        "inference CPU ms",
        "times as fast",
        "largest error, relative",
        "same label",
    )
    rows = []
    for result in results:
        full = next(r for r in results if r.name == result.name)
        agreement = result.difference.label_agreement
        rows.append((
            result.name,
            result.precision,
            f"{result.load_seconds:.2f}",
            f"{result.weights_bytes / 1e6:.2f}",
            f"{result.seconds * 1e3:.2f}",
            f"{full.seconds / result.seconds:.2f}",
            f"{result.difference.relative_error:.4f}",
            "" if agreement is None else f"{agreement:.3f}",
        ))  # fmt: skip
    return table(heads, rows)


def measures(results: list[Result]) -> list[Measure]:
    """What int8 must bring where matrices are large."""
    full = {result.name: result for result in results if result.precision == accuracy.FULL}
    large = [r for r in results if r.precision == "int8" and r.name.startswith("perceptron")]
    return [
        measure
        for result in large
        for measure in (
            Measure(f"{result.name}: int8 as fast", full[result.name].seconds / result.seconds, 2.0, "times"),
            Measure(
                f"{result.name}: int8 as small", full[result.name].weights_bytes / result.weights_bytes, 3.5, "times"
            ),
        )
    ]


def main() -> int:
    """Measure, and say whether the goals hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.quantization", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer inferences")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measures there")
    arguments = parser.parse_args()
    results = [result for subject in subjects() for result in measure(subject, 5 if arguments.quick else 30)]
    print(shown(results), goals(found := measures(results)), sep="\n\n")
    if arguments.json is not None:
        write_json(found, arguments.json)
    return exit_code(found)


if __name__ == "__main__":
    sys.exit(main())
