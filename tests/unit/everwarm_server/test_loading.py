from pathlib import Path

import pytest

from everwarm_server import loading
from everwarm_server.errors import ModelError
from everwarm_server.settings import Settings

DOUBLE = """
class Model:
    def predict(self, inputs):
        return {"y": inputs["x"] * 2}
"""


def settings(directory: Path, source: str) -> Settings:
    (directory / "model.py").write_text(source)
    return Settings(model_uri=str(directory), model_name="m")


def test_a_model_comes_with_the_time_that_each_phase_took(tmp_path: Path) -> None:
    loaded = loading.start(settings(tmp_path, DOUBLE)).result(20)
    assert loaded.runtime.metadata.name == "m"
    assert list(loaded.phase_seconds) == ["fetch", "load", "warmup"]
    assert all(seconds >= 0 for seconds in loaded.phase_seconds.values())
    loaded.runtime.close()


@pytest.mark.parametrize("source", ["import sys; sys.exit(3)", "raise ValueError('why')", "x = 1", "("])
def test_whatever_goes_wrong_is_in_the_future(tmp_path: Path, source: str) -> None:
    assert isinstance(loading.start(settings(tmp_path, source)).exception(20), ModelError)


@pytest.mark.parametrize("uri", ["", "s3://bucket/model", "/nowhere", "file:///nowhere"])
def test_reading_ahead_of_what_is_not_there_is_no_error(uri: str) -> None:
    loading.read_ahead(uri)


def test_reading_ahead_skips_folders_and_reads_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "model.onnx").write_bytes(b"x" * 10_000)
    loading.read_ahead(f"file://{tmp_path}")
