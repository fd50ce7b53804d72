import io
import os
import pickle
import warnings
import zipfile

import numpy as np
import pytest
import torch

from everwarm_server.errors import InferenceFailed, ModelError
from everwarm_server.protocol.tensors import ModelMetadata, TensorSpec
from everwarm_server.runtime import torch as torch_runtime
from everwarm_server.runtime.load import LoadOptions, load
from everwarm_server.runtime.warmup import warm_up

OPTIONS = LoadOptions(name="m", version="2", device="cpu", threads=1)
TOML = """
[[inputs]]
name = "a"
datatype = "FP32"
shape = [-1, 4]
[[inputs]]
name = "b"
datatype = "FP32"
shape = [-1, 4]
[[outputs]]
name = "sum"
datatype = "FP32"
shape = [-1, 4]
[[outputs]]
name = "best"
datatype = "INT64"
shape = [-1]
"""
INPUTS = (TensorSpec("a", "FP32", (-1, 4)), TensorSpec("b", "FP32", (-1, 4)))
OUTPUTS = (TensorSpec("sum", "FP32", (-1, 4)), TensorSpec("best", "INT64", (-1,)))
A = np.arange(8, dtype=np.float32).reshape(2, 4)
B = np.array([[9, 0, 0, 0], [0, 0, 0, 0]], np.float32)
ANSWER = {"sum": [[18.0, 2.0, 4.0, 6.0], [8.0, 10.0, 12.0, 14.0]], "best": [0, 3]}


class Adder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, a, b):
        total = (a + b) * self.scale
        return total, total.argmax(1)


class InPlace(torch.nn.Module):
    def forward(self, a, b):
        a += b
        a *= 2
        return a, a.argmax(1)


def save_script(directory, module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        traced = torch.jit.trace(module.eval(), (torch.ones(2, 4), torch.zeros(2, 4)), check_trace=False)
        torch.jit.save(traced, directory / "model.pt")
    return with_toml(directory)


def with_toml(directory, text=TOML):
    (directory / "model.toml").write_text(text)
    return directory


@pytest.fixture(scope="module")
def archive():
    """Bytes of a model.pt2; to export takes seconds."""
    rows = torch.export.Dim("rows")
    examples = (torch.ones(2, 4), torch.zeros(2, 4))
    program = torch.export.export(Adder().eval(), examples, dynamic_shapes=({0: rows}, {0: rows}))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


@pytest.fixture
def exported(tmp_path, archive):
    (tmp_path / "model.pt2").write_bytes(archive)
    return with_toml(tmp_path)


@pytest.fixture(params=["script", "export"])
def saved(request, tmp_path):
    if request.param == "export":
        return request.getfixturevalue("exported"), "pytorch_export"
    return save_script(tmp_path, Adder()), "pytorch_torchscript"


def values(outputs):
    return {name: array.tolist() for name, array in outputs.items()}


def test_a_model_answers_as_model_toml_names_it(saved):
    directory, platform = saved
    runtime = load(directory, OPTIONS)
    warm_up(runtime, directory)
    assert runtime.metadata == ModelMetadata("m", "2", platform, INPUTS, OUTPUTS)
    assert runtime.device == "cpu"
    assert values(runtime.infer({"b": B, "a": A}, {})) == ANSWER
    runtime.close()


def test_what_the_module_raises_is_told_in_one_line(saved):
    runtime = load(saved[0], OPTIONS)
    with pytest.raises(InferenceFailed, match=r"^The model failed: \w+: [^\n]+$"):
        runtime.infer({"a": A, "b": np.ones((2, 3), np.float32)}, {})


def test_a_module_that_works_in_place_does_not_write_into_the_request(tmp_path):
    runtime = load(save_script(tmp_path, InPlace()), OPTIONS)
    body = A.tobytes()
    a = np.frombuffer(body, np.float32).reshape(2, 4)
    assert values(runtime.infer({"a": a, "b": B}, {})) == ANSWER
    assert body == A.tobytes()


class Payload:
    """Unpickling this raises a marker, in place of anything worse."""

    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


def rewrite(archive, changes):
    """Replace or add members of a zip, by the end of their name."""
    with zipfile.ZipFile(archive) as old:
        members = {name: old.read(name) for name in old.namelist()}
    root = next(iter(members)).partition("/")[0]
    members |= {f"{root}/{name}": content for name, content in changes.items()}
    with zipfile.ZipFile(archive, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)


CONSTANT = b"""{"config": {"c": {"path_name": "%s", "is_param": false, "use_pickle": true, "tensor_meta": null}}}"""


@pytest.mark.parametrize(
    "changes",
    [
        {
            "data/constants/model_constants_config.json": CONSTANT % b"opaque_obj_0",
            "data/constants/opaque_obj_0": pickle.dumps(Payload()),
        },
        {
            "data/constants/model_constants_config.json": CONSTANT % b"opaque_obj_0",
            "data/constants/OPAQUE_OBJ_0": pickle.dumps(Payload()),
        },
        {
            "data/constants/model_constants_config.json": CONSTANT % b"tensor_0",
            "data/constants/tensor_0": pickle.dumps(Payload()),
        },
        {"data/sample_inputs/model.pt": pickle.dumps(Payload())},
        {"data/weights/model.pt": pickle.dumps(Payload())},
    ],
    ids=["opaque", "opaque in capitals", "constant", "sample inputs", "legacy weights"],
)
def test_a_pickle_within_an_exported_archive_is_not_run(exported, changes):
    rewrite(exported / "model.pt2", changes)
    with pytest.raises(ModelError, match="PyTorch can't load"):
        load(exported, OPTIONS)


def test_the_environment_is_as_it_was_after_a_load(saved, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "yes")
    load(saved[0], OPTIONS)
    assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "yes"
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
    load(saved[0], OPTIONS)
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize("name", ["model.pt", "model.pt2"])
@pytest.mark.parametrize("content", [b"", b"not a model", pickle.dumps(Payload())])
def test_a_file_that_is_no_archive_is_refused(tmp_path, name, content):
    (with_toml(tmp_path) / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"PyTorch can't load .*{name}: "):
        load(tmp_path, OPTIONS)


@pytest.mark.parametrize("text", ["", TOML.partition("[[outputs]]")[0]])
def test_a_model_that_model_toml_does_not_describe_is_refused(tmp_path, text):
    (with_toml(tmp_path, text) / "model.pt").touch()
    with pytest.raises(ModelError, match=r"model\.toml must name the model's \[\[inputs\]\] and \[\[outputs\]\]"):
        load(tmp_path, OPTIONS)


def test_text_is_refused(tmp_path):
    (with_toml(tmp_path, TOML.replace("FP32", "BYTES")) / "model.pt").touch()
    with pytest.raises(ModelError, match="PyTorch has no tensors of BYTES"):
        load(tmp_path, OPTIONS)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(
        ModelError, match=r"has neither model\.pt2 nor model\.pt nor model\.py with model\.safetensors\."
    ):
        load(with_toml(tmp_path), LoadOptions(name="m", format="torch"))


@pytest.mark.parametrize(
    ("wanted", "gpus", "device"),
    [
        ("auto", 2, "cuda:0"),
        ("auto", 0, "cpu"),
        ("cpu", 1, "cpu"),
        ("cuda", 1, "cuda:0"),
        ("cuda:0", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_the_device_is_the_one_wanted_or_the_best(wanted, gpus, device):
    assert torch_runtime.choose_device(wanted, gpus) == device


@pytest.mark.parametrize(
    ("wanted", "gpus", "found"), [("cuda", 0, "no GPU"), ("cuda:1", 1, "1 GPU"), ("cuda:2", 2, "2 GPUs")]
)
def test_a_gpu_that_is_not_there_is_refused(wanted, gpus, found):
    with pytest.raises(ModelError, match=f"asked for, but PyTorch finds {found}; use the device cpu or auto"):
        torch_runtime.choose_device(wanted, gpus)


ONE = torch.ones(1, 4)
TWO = torch.ones(1, dtype=torch.int64)


@pytest.mark.parametrize(
    "answer",
    [
        (ONE, TWO),
        [ONE, TWO],
        {"best": TWO, "sum": ONE, "more": 1},
        (ONE.double(), TWO.int()),
        (ONE.bfloat16(), TWO),
        (ONE.requires_grad_(), TWO),
    ],
)
def test_answers_of_every_form_are_mapped_to_the_declared_outputs(answer):
    outputs = torch_runtime.outputs_of(answer, OUTPUTS)
    assert {name: (array.dtype.name, array.tolist()) for name, array in outputs.items()} == {
        "sum": ("float32", [[1.0] * 4]),
        "best": ("int64", [1]),
    }


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (ONE, "The model answered 1 outputs, but model.toml names 2."),
        ((ONE, TWO, TWO), "The model answered 3 outputs, but model.toml names 2."),
        ({"sum": ONE}, "The model answered without the output 'best' that model.toml names."),
        ((ONE, "x"), "The model's output 'best' is a str, not a tensor."),
        ((ONE, TWO.float()), "The output 'best' is declared INT64, but it came as float32."),
    ],
)
def test_answers_that_do_not_fit_are_named(answer, sentence):
    with pytest.raises(ModelError) as caught:
        torch_runtime.outputs_of(answer, OUTPUTS)
    assert str(caught.value) == sentence
