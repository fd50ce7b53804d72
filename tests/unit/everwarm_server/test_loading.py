import tempfile
from pathlib import Path

import numpy as np
import pytest

from everwarm_server import loading
from everwarm_server.catalogue import Source
from everwarm_server.errors import ModelError

DOUBLE = """
class Model:
    def predict(self, inputs):
        return {"y": inputs["x"] * 2}
"""

COUNTS = """
import numpy as np

class Model:
    sizes = []

    def predict(self, inputs):
        self.sizes.append(inputs["x"].size)
        return {"sizes": np.array(self.sizes)}
"""


def written(directory: Path, code: str) -> Source:
    (directory / "model.py").write_text(code)
    return Source("m", str(directory), version="7")


def test_a_model_comes_with_the_time_that_each_phase_took(tmp_path: Path) -> None:
    loaded = loading.start(written(tmp_path, DOUBLE)).result(20)
    assert (loaded.runtime.metadata.name, loaded.runtime.metadata.version) == ("m", "7")
    assert list(loaded.phase_seconds) == ["fetch", "load", "warmup"]
    assert all(seconds >= 0 for seconds in loaded.phase_seconds.values())
    loaded.runtime.close()


def test_a_model_in_place_needs_no_cache_and_warms_up_as_its_toml_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/none"])
    (tmp_path / "model.toml").write_text(
        '[[inputs]]\nname = "x"\ndatatype = "FP32"\nshape = [-1]\n[warm_up]\nsamples = "s.npz"\nruns = 3'
    )
    np.savez(tmp_path / "s.npz", x=np.ones(4, np.float32))
    loaded = loading.load(written(tmp_path, COUNTS))
    outputs = loaded.runtime.infer({"x": np.zeros(1, np.float32)}, {})
    assert outputs["sizes"].tolist() == [4, 4, 4, 1]
    loaded.runtime.close()


@pytest.mark.parametrize("source", ["import sys; sys.exit(3)", "raise ValueError('why')", "x = 1", "("])
def test_whatever_goes_wrong_is_in_the_future(tmp_path: Path, source: str) -> None:
    assert isinstance(loading.start(written(tmp_path, source)).exception(20), ModelError)


@pytest.mark.parametrize("uri", ["", "s3://bucket/model", "/nowhere", "file:///nowhere"])
def test_reading_ahead_of_what_is_not_there_is_no_error(uri: str) -> None:
    loading.read_ahead(uri)


def test_reading_ahead_skips_folders_and_reads_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "model.onnx").write_bytes(b"x" * 10_000)
    loading.read_ahead(f"file://{tmp_path}")
