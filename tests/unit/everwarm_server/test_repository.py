import asyncio
import time
from collections.abc import Mapping

import numpy as np
import pytest

from everwarm_server.catalogue import Source
from everwarm_server.dataplane import Arrival, DataPlane
from everwarm_server.errors import ModelError, ModelNotFound, ModelNotReady
from everwarm_server.loading import Loaded
from everwarm_server.protocol.tensors import Array, InferRequest, ModelMetadata, Parameters, Tensor
from everwarm_server.repository import Entry, Repository, State
from everwarm_server.telemetry.metrics import Metrics
from everwarm_server.transport.http import Unwatched


class FakeRuntime:
    """Says its number."""

    device = "cpu"
    only_computes = True
    streams = False
    weights_bytes = 0

    def __init__(self, source: Source, number: int) -> None:
        self.metadata = ModelMetadata(source.name, source.version, "fake", (), ())
        self.number = number
        self.closed = False

    def infer(self, inputs: Mapping[str, Array], parameters: Parameters) -> Mapping[str, Array]:
        assert not self.closed
        return {"number": np.array([self.number])}

    def close(self) -> None:
        self.closed = True


class Models:
    """A repository with a loader that the test holds up, or lets fail."""

    def __init__(self, *sources: Source) -> None:
        self.metrics = Metrics(0.0)
        self.runtimes: list[FakeRuntime] = []
        self.go = asyncio.Event()
        self.go.set()
        self.error: Exception | None = None
        self.repository = Repository(sources, self.metrics, self.open, self.load, close_seconds=5.0)
        self.changes: list[tuple[str, str | None, str | None]] = []

    def open(self, source: Source) -> DataPlane:
        return DataPlane(source.name, 1, 10, self.metrics.model(source.name, 1), version=source.version)

    async def load(self, source: Source) -> Loaded:
        await self.go.wait()
        if self.error is not None:
            raise self.error
        self.runtimes.append(FakeRuntime(source, len(self.runtimes)))
        return Loaded(self.runtimes[-1], {"load": 1.0})

    async def start(self) -> Repository:
        for source, plane in self.repository.start():
            self.repository.serve(plane, await self.load(source))
        self.repository.observe(self.changed)
        self.changes.clear()
        return self.repository

    def changed(self, name: str, version: str | None, plane: DataPlane | None) -> None:
        self.changes.append((name, version, plane and plane.version))


async def number(plane: DataPlane) -> int:
    request = InferRequest((Tensor("x", "FP32", np.zeros(1, np.float32)),))
    response = await plane.infer(request, Arrival(time.perf_counter(), time.time()), Unwatched())
    return int(response.outputs[0].data[0])


async def until_closed(runtime: FakeRuntime) -> None:
    async with asyncio.timeout(5):
        while not runtime.closed:  # noqa: ASYNC110 - it is closed by a task of the repository
            await asyncio.sleep(0)


M1, M2, N = Source("m", "/m/1", "1"), Source("m", "/m/2", "2"), Source("n", "/n", "1")


async def test_a_model_answers_by_its_versions_and_by_the_highest_of_them() -> None:
    repository = await Models(M2, M1, N).start()
    assert [await number(repository.find("m", version)) for version in ("1", "2", None)] == [1, 0, 0]
    assert await number(repository.find("n")) == 2
    assert (repository.names, repository.versions("m")) == (["m", "n"], ["1", "2"])
    assert repository.is_ready
    repository.close()


@pytest.mark.parametrize(
    ("name", "version", "sentence"),
    [
        ("x", None, "There is no model 'x' here; this server has 'm'."),
        ("x", "1", "There is no model 'x' here; this server has 'm'."),
        ("m", "9", "The model 'm' has no version '9' here; it has '1'."),
    ],
)
async def test_what_is_not_here_is_not_found(name: str, version: str | None, sentence: str) -> None:
    repository = await Models(M1).start()
    with pytest.raises(ModelNotFound) as error:
        repository.find(name, version)
    assert str(error.value) == sentence
    repository.close()


async def test_a_server_is_ready_when_all_its_models_are() -> None:
    models = Models(M1, N)
    repository = models.repository
    (first, second) = repository.start()
    repository.serve(first[1], await models.load(first[0]))
    with pytest.raises(ModelNotReady, match="'n' is still being loaded"):
        repository.check_ready()
    assert repository.index() == [Entry("m", "1", State.READY), Entry("n", "1", State.LOADING)]
    repository.serve(second[1], await models.load(second[0]))
    repository.check_ready()
    repository.drain()
    with pytest.raises(ModelNotReady, match="drains"):
        repository.check_ready()
    repository.close()


async def test_a_model_that_is_loaded_again_answers_all_the_while() -> None:
    models = Models(M1)
    repository = await models.start()
    old = repository.find("m")
    old.metrics.arrived(0.0)  # a request that is not answered yet
    models.go.clear()
    loading = asyncio.create_task(repository.load("m"))
    await asyncio.sleep(0)
    assert await number(repository.find("m")) == 0
    models.go.set()
    await loading
    assert await number(repository.find("m")) == 1
    assert models.changes == [("m", "1", "1"), ("m", None, "1")]
    assert (old.retired, await number(old), models.runtimes[0].closed) == (True, 0, False)
    old.metrics.answered(200, 0.1)
    await until_closed(models.runtimes[0])
    repository.close()


async def test_a_load_that_fails_leaves_what_was_there_and_says_why() -> None:
    models = Models(M1, N)
    repository = await models.start()
    models.error = ModelError("It is broken.")
    with pytest.raises(ModelError, match="broken"):
        await repository.load("m")
    assert await number(repository.find("m")) == 0
    assert repository.index() == [Entry("m", "1", State.READY, "It is broken."), Entry("n", "1", State.READY)]
    assert repository.is_ready
    repository.close()


async def test_an_unloaded_model_is_gone_when_its_last_request_is_answered_and_can_be_loaded_again() -> None:
    models = Models(M1)
    repository = await models.start()
    plane = repository.find("m")
    plane.metrics.arrived(0.0)
    unloading = asyncio.create_task(repository.unload("m"))
    await asyncio.sleep(0)
    with pytest.raises(ModelNotReady, match="'m' is not loaded: it was unloaded"):
        repository.find("m")
    assert (models.changes, models.runtimes[0].closed) == ([("m", "1", None), ("m", None, None)], False)
    plane.metrics.answered(200, 0.1)
    await unloading
    assert models.runtimes[0].closed
    assert repository.index() == [Entry("m", "1", State.UNAVAILABLE, "it was unloaded.")]
    await repository.load("m")
    assert await number(repository.find("m")) == 1
    repository.close()


async def test_counts_outlive_the_version_that_counted() -> None:
    models = Models(M1)
    repository = await models.start()
    await number(repository.find("m"))
    await repository.load("m")
    await until_closed(models.runtimes[0])
    await number(repository.find("m"))
    counted = models.metrics.registry.get_sample_value("everwarm_inference_seconds_count", {"model_name": "m"})
    assert counted == 2
    repository.close()
