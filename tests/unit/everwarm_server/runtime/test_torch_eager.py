import sys
from textwrap import dedent

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from everwarm_server.errors import ModelError
from everwarm_server.runtime.load import LoadOptions, load
from everwarm_server.runtime.warmup import warm_up

OPTIONS = LoadOptions(name="m", device="cpu", threads=1)
TOML = """
[[inputs]]
name = "x"
datatype = "FP32"
shape = [-1, 2]
[[outputs]]
name = "y"
datatype = "FP32"
shape = [-1, 2]
"""
LINEAR = """
    import torch

    def build():
        return torch.nn.Linear(2, 2)
"""
WEIGHT = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
BIAS = torch.tensor([0.5, -0.5])
X = np.array([[1, 1], [0, 2]], np.float32)
Y = X @ WEIGHT.numpy().T + BIAS.numpy()


def save(directory, source, toml=TOML, **files):
    """Each of the files is tensors, by the end of its name: `weights` is model.safetensors."""
    (directory / "model.py").write_text(dedent(source))
    (directory / "model.toml").write_text(toml)
    for name, tensors in files.items():
        save_file(tensors, directory / ("model.safetensors" if name == "weights" else f"model-{name}.safetensors"))
    return directory


def test_a_module_computes_with_the_weights_of_its_file(tmp_path):
    directory = save(tmp_path, LINEAR, weights={"weight": WEIGHT, "bias": BIAS})
    runtime = load(directory, OPTIONS)
    warm_up(runtime, directory)
    assert np.array_equal(runtime.infer({"x": X}, {})["y"], Y)
    assert (runtime.metadata.platform, runtime.device, runtime.weights_bytes) == ("pytorch_eager", "cpu", 24)
    module = runtime._module
    assert not module.training
    assert not module.weight.requires_grad
    runtime.close()


def test_weights_are_mapped_not_copied_and_never_made_before(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(torch.nn.init, "kaiming_uniform_", lambda tensor, **_: made.append(tensor.device.type))
    load(save(tmp_path, LINEAR, weights={"weight": WEIGHT, "bias": BIAS}), OPTIONS)
    assert made == ["meta"]


def test_weights_may_lie_in_several_files(tmp_path):
    directory = save(tmp_path, LINEAR, **{"00001-of-00002": {"weight": WEIGHT}, "00002-of-00002": {"bias": BIAS}})
    runtime = load(directory, LoadOptions("m", format="torch", device="cpu"))
    assert np.array_equal(runtime.infer({"x": X}, {})["y"], Y)


def test_build_may_take_the_directory_and_import_from_it(tmp_path):
    (tmp_path / "sizes.py").write_text("SIZE = 2")
    (tmp_path / "config.txt").write_text("2")
    source = """
        import torch
        from sizes import SIZE

        def build(directory):
            return torch.nn.Linear(SIZE, int((directory / "config.txt").read_text()))
    """
    runtime = load(save(tmp_path, source, weights={"weight": WEIGHT, "bias": BIAS}), OPTIONS)
    assert np.array_equal(runtime.infer({"x": X}, {})["y"], Y)
    runtime.close()
    assert "sizes" not in sys.modules


TIED = """
    import torch

    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one = torch.nn.Linear(2, 2, bias=False)
            self.two = torch.nn.Linear(2, 2, bias=False)
            self.two.weight = self.one.weight

        def forward(self, x):
            return self.two(self.one(x))

    build = Tied
"""


@pytest.mark.parametrize("name", ["one.weight", "two.weight"])
def test_a_weight_with_two_names_is_in_the_file_under_one(tmp_path, name):
    runtime = load(save(tmp_path, TIED, weights={name: WEIGHT}), OPTIONS)
    assert np.array_equal(runtime.infer({"x": X}, {})["y"], X @ WEIGHT.numpy().T @ WEIGHT.numpy().T)
    assert runtime.weights_bytes == 16


UNSAVED = """
    import torch

    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(2, 2))
            self.register_buffer("scale", torch.tensor([10.0, 100.0]), persistent=False)

        def forward(self, x):
            return x @ self.weight.T * self.scale

    build = Scaled
"""


def test_a_buffer_that_is_in_no_file_has_the_value_that_the_code_gives_it(tmp_path):
    runtime = load(save(tmp_path, UNSAVED, weights={"weight": WEIGHT}), OPTIONS)
    assert np.array_equal(runtime.infer({"x": X}, {})["y"], X @ WEIGHT.numpy().T * [10, 100])


LOOKS = """
    import torch

    def build():
        module = torch.nn.Linear(2, 2)
        if float(module.weight.sum()) > 1e9:
            raise ValueError
        return module
"""


def test_code_that_looks_at_its_weights_is_built_for_real(tmp_path):
    runtime = load(save(tmp_path, LOOKS, weights={"weight": WEIGHT, "bias": BIAS}), OPTIONS)
    assert np.array_equal(runtime.infer({"x": X}, {})["y"], Y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_compute_in_it(tmp_path, dtype):
    tensors = {"weight": WEIGHT.to(dtype), "bias": BIAS.to(dtype)}
    runtime = load(save(tmp_path, LINEAR, weights=tensors), OPTIONS)
    y = runtime.infer({"x": X}, {})["y"]
    assert (y.dtype, y.tolist(), runtime.weights_bytes) == (np.float32, Y.tolist(), 12)


@pytest.mark.parametrize(
    ("source", "weights", "sentence"),
    [
        (LINEAR, {"weight": WEIGHT}, "the weights lack bias"),
        (LINEAR, {"weight": WEIGHT, "bias": BIAS, "b": BIAS + 1}, "the weights hold what the module does not have: b"),
        (LINEAR, {"weight": WEIGHT, "bias": WEIGHT + 1}, "size mismatch for bias"),
        ("x = 1", {"w": WEIGHT}, "no function build() that makes the module for model.safetensors; if it has a class"),
        ("def build(): return 3", {"w": WEIGHT}, "build() made a int, not a torch.nn.Module"),
        ("def build(): raise KeyError('no config')", {"w": WEIGHT}, "no config"),
        ("raise SystemExit(3)", {"w": WEIGHT}, "model.py: 3"),
    ],
)
def test_what_does_not_fit_is_named_and_leaves_nothing_behind(tmp_path, source, weights, sentence):
    before = set(sys.modules)
    with pytest.raises(ModelError) as caught:
        load(save(tmp_path, source, weights=weights), OPTIONS)
    assert sentence in str(caught.value)
    assert not {name for name in set(sys.modules) - before if name.startswith("everwarm_model")}


def test_weights_alone_are_no_model(tmp_path):
    save(tmp_path, LINEAR, weights={"weight": WEIGHT, "bias": BIAS})
    (tmp_path / "model.py").unlink()
    with pytest.raises(
        ModelError, match=r"model\.safetensors holds weights alone; model\.py beside it must have a function"
    ):
        load(tmp_path, OPTIONS)
