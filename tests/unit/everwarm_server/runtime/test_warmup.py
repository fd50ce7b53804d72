from dataclasses import dataclass, field

import numpy as np
import pytest

from everwarm_server.errors import InferenceFailed, ModelError
from everwarm_server.protocol.tensors import ModelMetadata, TensorSpec
from everwarm_server.runtime.base import AnswersOnce
from everwarm_server.runtime.instances import Instances
from everwarm_server.runtime.warmup import warm_up

SPECS = (TensorSpec("x", "FP32", (-1, 2)), TensorSpec("t", "BYTES", (-1,)), TensorSpec("b", "BOOL", ()))


@dataclass
class Recorder(AnswersOnce):
    """A runtime that notes what it is asked."""

    specs: tuple = SPECS
    error: Exception | None = None
    calls: list = field(default_factory=list)

    @property
    def metadata(self):
        return ModelMetadata("m", "1", "p", self.specs, ())

    def infer(self, inputs, parameters):
        self.calls.append({name: (array.dtype.kind, array.tolist()) for name, array in inputs.items()})
        if self.error is not None:
            raise self.error
        return {}


ZEROS = {"x": ("f", [[0.0, 0.0]]), "t": ("O", [b""]), "b": ("b", False)}


def test_zeros_of_the_declared_shapes_are_inferred_once():
    runtime = Recorder()
    warm_up(runtime)
    assert runtime.calls == [ZEROS]


def test_model_toml_says_how_often(tmp_path):
    (tmp_path / "model.toml").write_text("[warm_up]\nruns = 3")
    runtime = Recorder()
    warm_up(runtime, tmp_path)
    assert runtime.calls == [ZEROS] * 3


def test_each_instance_has_its_warm_up(tmp_path):
    (tmp_path / "model.toml").write_text("[warm_up]\nruns = 2")
    runtimes = [Recorder(), Recorder()]
    warm_up(Instances(runtimes), tmp_path)
    assert [runtime.calls for runtime in runtimes] == [[ZEROS] * 2] * 2


class Endless(Recorder):
    streams = True
    closed = False

    def stream(self, inputs, parameters):
        try:
            while True:
                yield self.infer(inputs, parameters)
        finally:
            self.closed = True


def test_of_a_stream_the_first_answer_is_enough():
    runtime = Endless()
    warm_up(runtime)
    assert (runtime.calls, runtime.closed) == ([ZEROS], True)


def test_model_toml_names_samples(tmp_path):
    (tmp_path / "model.toml").write_text('[warm_up]\nsamples = "s.npz"')
    np.savez(tmp_path / "s.npz", x=np.ones((3, 2), np.float32), b=np.array(True), t=np.array([b"hi", b""]))
    runtime = Recorder()
    warm_up(runtime, tmp_path)
    assert runtime.calls == [{"x": ("f", [[1.0, 1.0]] * 3), "b": ("b", True), "t": ("O", [b"hi", b""])}]


def test_a_model_that_declares_nothing_is_not_asked():
    runtime = Recorder(specs=())
    warm_up(runtime)
    assert runtime.calls == []


def test_a_model_that_fails_is_not_ready():
    with pytest.raises(ModelError, match="'m' failed its warm-up: no"):
        warm_up(Recorder(error=InferenceFailed("no")))


def test_a_shape_that_is_too_large_for_zeros_is_refused_before_they_are_made():
    runtime = Recorder(specs=(TensorSpec("x", "FP64", (2**20, 2**20)),))
    with pytest.raises(ModelError, match="'x' is too large for a warm-up of zeros; name samples"):
        warm_up(runtime)
    assert runtime.calls == []


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        ({}, "also needs the input 'x', 't', 'b'"),
        ({"x": np.ones((1, 2))}, "'x' must be FP32, but it came as FP64"),
        ({"x": np.ones((1, 3), np.float32)}, r"'x' must have the shape \[-1, 2\]"),
        ({"x": np.array([1j])}, "'x' is an array of complex128"),
        ({"x": np.array([{}])}, "can't be read"),
    ],
)
def test_samples_that_do_not_fit_are_named(tmp_path, samples, sentence):
    (tmp_path / "model.toml").write_text('[warm_up]\nsamples = "s.npz"')
    np.savez(tmp_path / "s.npz", **samples)
    with pytest.raises(ModelError, match=f"s.npz.*{sentence}"):
        warm_up(Recorder(), tmp_path)


@pytest.mark.parametrize("name", ["missing.npz", "../s.npz", "/s.npz"])
def test_a_samples_file_that_is_not_in_the_directory_is_refused(tmp_path, name):
    np.savez(tmp_path / "s.npz", x=np.ones(1))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.toml").write_text(f'[warm_up]\nsamples = "{name}"')
    with pytest.raises(ModelError, match=r"samples|can't be read"):
        warm_up(Recorder(), tmp_path / "m")
