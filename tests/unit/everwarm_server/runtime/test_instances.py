import threading

import pytest

from everwarm_server.protocol.tensors import ModelMetadata
from everwarm_server.runtime import load as load_module
from everwarm_server.runtime.base import AnswersOnce, batchable
from everwarm_server.runtime.instances import Instances
from everwarm_server.runtime.load import LoadOptions, load


class Fake(AnswersOnce):
    """Notes its calls; the parameter `hold` makes it wait to be let go."""

    metadata = ModelMetadata("m", "1", "fake", (), ())
    only_computes = True

    def __init__(self, device="cpu", weights_bytes=10):
        self.device, self.weights_bytes = device, weights_bytes
        self.calls, self.closed = 0, False
        self.started, self.go = threading.Semaphore(0), threading.Event()

    def infer(self, inputs, parameters):
        self.calls += 1
        self.started.release()
        if "hold" in parameters:
            assert self.go.wait(10)
        return {}

    def close(self):
        self.closed = True


def test_they_look_like_one():
    instances = Instances([Fake("cuda:1"), Fake("cuda:0"), Fake("cuda:0", 5)])
    assert (instances.metadata, instances.device) == (Fake.metadata, "cuda:0,cuda:1")
    assert (instances.weights_bytes, instances.only_computes, instances.streams) == (25, True, False)


def test_equally_busy_ones_take_turns():
    runtimes = [Fake(), Fake(), Fake()]
    instances = Instances(runtimes)
    for _ in range(7):
        instances.infer({}, {})
    assert [runtime.calls for runtime in runtimes] == [3, 2, 2]


def test_a_busy_one_is_passed_over():
    busy, free = runtimes = [Fake(), Fake()]
    instances = Instances(runtimes)
    thread = threading.Thread(target=instances.infer, args=({}, {"hold": True}))
    thread.start()
    assert busy.started.acquire(timeout=10)
    for _ in range(4):
        instances.infer({}, {})
    assert (busy.calls, free.calls) == (1, 4)
    busy.go.set()
    thread.join(10)
    instances.infer({}, {})
    assert (busy.calls, free.calls) == (2, 4)


def test_one_that_streams_is_busy_until_the_last_answer():
    first, second = runtimes = [Fake(), Fake()]
    instances = Instances(runtimes)
    answers = instances.stream({}, {})
    assert next(answers) == {}
    for _ in range(3):
        instances.infer({}, {})
    assert (first.calls, second.calls) == (1, 3)
    answers.close()
    instances.infer({}, {})
    assert first.calls == 2


def test_one_that_fails_is_free_again():
    class Failing(Fake):
        def infer(self, inputs, parameters):
            super().infer(inputs, parameters)
            raise ZeroDivisionError

    runtimes = [Failing(), Failing()]
    instances = Instances(runtimes)
    for _ in range(4):
        with pytest.raises(ZeroDivisionError):
            instances.infer({}, {})
    assert [runtime.calls for runtime in runtimes] == [2, 2]


def test_all_are_closed_even_if_one_fails_to():
    class Stuck(Fake):
        def close(self):
            raise RuntimeError("no")

    runtimes = [Stuck(), Fake()]
    with pytest.raises(RuntimeError, match="no"):
        Instances(runtimes).close()
    assert runtimes[1].closed


@pytest.fixture
def loads(monkeypatch):
    """What the loader of the format is asked for; the third fails, if it comes to that."""
    asked, made = [], []

    def load_one(directory, options):
        asked.append((options.device, options.precision))
        if len(asked) == 4:
            raise MemoryError
        made.append(Fake(options.device))
        return made[-1]

    monkeypatch.setattr(load_module, "_loader", lambda _: load_one)
    monkeypatch.setattr(load_module.devices, "gpus_here", lambda: 2)
    return asked, made


def test_a_model_is_loaded_once_for_each_device_and_replica(tmp_path, loads):
    asked, _ = loads
    (tmp_path / "model.py").touch()
    assert isinstance(load(tmp_path, LoadOptions("m")), Fake)
    assert asked == [("auto", "full")]
    asked.clear()
    assert isinstance(load(tmp_path, LoadOptions("m", device="cuda:*")), Instances)
    assert asked == [("cuda:0", "full"), ("cuda:1", "full")]
    asked.clear()
    (tmp_path / "model.toml").write_text('devices = "cuda:1"\nreplicas = 3')
    assert load(tmp_path, LoadOptions("m")).device == "cuda:1"
    assert asked == [("cuda:1", "full")] * 3


def test_where_one_cannot_be_loaded_none_stays(tmp_path, loads):
    (tmp_path / "model.py").touch()
    (tmp_path / "model.toml").write_text("replicas = 4")
    with pytest.raises(MemoryError):
        load(tmp_path, LoadOptions("m"))
    assert [runtime.closed for runtime in loads[1]] == [True] * 3


def spec(*shape):
    return load_module.model_toml.TensorSpec("x", "FP32", shape)


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"),
    [
        ([spec(-1, 3)], [spec(-1)], True),
        ([spec(-1, 3), spec(-1)], [spec(-1), spec(1)], False),
        ([spec(1, 3)], [spec(-1)], False),
        ([spec()], [spec(-1)], False),
        ([], [spec(-1)], False),
        ([spec(-1)], [], False),
    ],
)
def test_requests_can_be_stacked_where_the_first_dimension_of_all_is_free(inputs, outputs, expected):
    assert batchable(ModelMetadata("m", "1", "p", tuple(inputs), tuple(outputs))) is expected
