import sys

import numpy as np
import pytest

from everwarm_server.errors import ModelError
from everwarm_server.runtime import load
from everwarm_server.runtime.load import LoadOptions

OPTIONS = LoadOptions(name="m")


@pytest.mark.parametrize(
    ("files", "format_"),
    [
        (["model.onnx"], "onnx"),
        (["model.onnx", "model.onnx.data", "notes.txt"], "onnx"),
        (["model.pt"], "torch"),
        (["model.pt2"], "torch"),
        (["model.pt", "model.pt2"], "torch"),
        (["model.py", "model.safetensors"], "torch"),
        (["model.skops"], "sklearn"),
        (["model.py"], "python"),
    ],
)
def test_the_format_is_seen_by_the_files(tmp_path, files, format_):
    for name in files:
        (tmp_path / name).touch()
    assert load.detect_format(tmp_path) == format_


def test_model_toml_decides_between_two_formats(tmp_path):
    (tmp_path / "model.onnx").touch()
    (tmp_path / "model.py").touch()
    with pytest.raises(ModelError, match=r"several formats \(onnx, python\); name the format in model.toml"):
        load.detect_format(tmp_path)
    (tmp_path / "model.toml").write_text('format = "python"')
    assert load.detect_format(tmp_path) == "python"


def test_a_directory_without_a_model_is_refused_with_what_it_needs(tmp_path):
    with pytest.raises(
        ModelError, match=r"holds no model; it needs one of model\.onnx, model\.pt2, model\.pt, model\.safetensors"
    ):
        load.load(tmp_path, OPTIONS)
    with pytest.raises(ModelError, match="There is no model directory"):
        load.load(tmp_path / "missing", OPTIONS)
    with pytest.raises(ModelError, match="There is no model directory"):
        load.load(tmp_path / "missing", LoadOptions(name="m", format="onnx"))


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(
        ModelError, match="no model format 'keras'; it must be one of onnx, torch, sklearn, python, kserve"
    ):
        load.load(tmp_path, LoadOptions(name="m", format="keras"))


def test_a_format_that_is_named_wins_over_the_files(tmp_path):
    (tmp_path / "model.onnx").touch()
    (tmp_path / "model.py").write_text("class Model:\n    def predict(self, inputs):\n        return inputs\n")
    runtime = load.load(tmp_path, LoadOptions(name="m", format="python"))
    assert runtime.infer({"x": np.ones(1)}, {})["x"].tolist() == [1.0]
    runtime.close()


@pytest.mark.parametrize(
    ("format_", "package"), [("onnx", "onnxruntime"), ("torch", "torch"), ("sklearn", "skops"), ("kserve", "kserve")]
)
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, format_, package):
    monkeypatch.delitem(sys.modules, f"everwarm_server.runtime.{format_}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModelError) as caught:
        load.load(tmp_path, LoadOptions(name="m", format=format_))
    assert str(caught.value) == (
        f"A model of format {format_} needs the package {package}, which is not installed: "
        f"pip install 'everwarm[{format_}]'."
    )
