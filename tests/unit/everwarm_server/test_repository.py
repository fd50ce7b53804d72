import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from everwarm_server import repository as repositories
from everwarm_server.catalogue import ModelSpec, Policy, Source, start_plan
from everwarm_server.dataplane import Arrival, DataPlane
from everwarm_server.errors import DeadlineExceeded, Forbidden, ModelError, ModelNotFound, ModelNotReady, Overloaded
from everwarm_server.loading import Loaded
from everwarm_server.protocol.tensors import Array, InferRequest, ModelMetadata, Parameters, Tensor
from everwarm_server.repository import Entry, Limits, Repository
from everwarm_server.telemetry.metrics import Metrics
from everwarm_server.transport.http import Unwatched

ALL = Policy(latest=None)
LIMITS = Limits(close_seconds=5.0, wait_seconds=5.0, waiting=3)

# With a budget of memory, models that lie elsewhere are cold at the start.
BUDGET = replace(LIMITS, memory_bytes=250)


class FakeRuntime:
    """Says its number, which counts all loads of a test."""

    device = "cpu"
    only_computes = True
    takes_parameters = True
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
    """A repository of models without files, with a loader that the test holds up, or lets fail."""

    def __init__(self, *specs: ModelSpec, limits: Limits = LIMITS, sizes_bytes: int = 0) -> None:
        self.specs = {spec.name: spec for spec in specs}
        self.metrics = Metrics(0.0)
        self.runtimes: list[FakeRuntime] = []
        self.loads: list[tuple[str, str]] = []
        self.go = asyncio.Event()
        self.go.set()
        self.error: Exception | None = None
        self.sizes_bytes = sizes_bytes
        self.limits = limits
        self.repository = Repository(lambda: self.specs, self.metrics, self.open, self.load, limits)
        self.changes: list[tuple[str, str | None, str | None]] = []

    def open(self, source: Source) -> DataPlane:
        return DataPlane(source.name, 1, 10, self.metrics.model(source.name, 1), version=source.version)

    async def load(self, source: Source) -> Loaded:
        self.loads.append((source.name, source.version))
        await self.go.wait()
        if self.error is not None:
            raise self.error
        self.runtimes.append(FakeRuntime(source, len(self.runtimes)))
        return Loaded(self.runtimes[-1], {"load": 1.0}, self.sizes_bytes)

    async def start(self) -> Repository:
        await self.repository.start(start_plan(self.specs.values(), self.limits.memory_bytes))
        self.repository.observe(self.changed)
        self.changes.clear()
        return self.repository

    def changed(self, name: str, version: str | None, plane: DataPlane | None) -> None:
        self.changes.append((name, version, plane and plane.version))


def model(name: str, *versions: str, policy: Policy = ALL, **source: object) -> ModelSpec:
    """A model with versions that lie nowhere, all of which are served."""
    base = replace(Source(name, ""), **source)
    return ModelSpec(base, {version: f"none://{name}/{version}" for version in versions or ("1",)}, policy)


def arrival(deadline_seconds: float = float("inf")) -> Arrival:
    return Arrival(time.perf_counter(), time.time(), deadline_seconds=deadline_seconds)


async def number(plane: DataPlane, came: Arrival | None = None) -> int:
    """Ask as a transport does."""
    came = came or arrival()
    plane.metrics.arrived(came.unix_seconds)
    try:
        await plane.until_loaded(came.deadline_seconds)
        request = InferRequest((Tensor("x", "FP32", np.zeros(1, np.float32)),))
        response = await plane.infer(request, came, Unwatched())
    finally:
        plane.metrics.answered(200, 0.1)
    return int(response.outputs[0].data[0])


async def until_closed(runtime: FakeRuntime) -> None:
    async with asyncio.timeout(5):
        while not runtime.closed:  # noqa: ASYNC110 - it is closed by a task of the repository
            await asyncio.sleep(0.001)


async def test_a_model_answers_by_its_versions_and_by_the_highest_of_them() -> None:
    repository = await Models(model("m", "2", "10"), model("n")).start()
    assert [repository.find("m", version).version for version in ("2", "10", None)] == ["2", "10", "10"]
    assert await number(repository.find("m")) == await number(repository.find("m", "10"))
    assert repository.find("n").name == "n"
    assert (repository.names, repository.versions("m")) == (["m", "n"], ["2", "10"])
    repository.close()


async def test_a_default_version_answers_where_none_is_asked_for() -> None:
    repository = await Models(replace(model("m", "1", "2"), default="1")).start()
    assert repository.find("m").version == "1"
    repository.close()


@pytest.mark.parametrize(
    ("policy", "served"),
    [(Policy(), ["3"]), (Policy(2), ["2", "3"]), (Policy(specific=frozenset("13")), ["1", "3"])],
)
async def test_a_policy_says_which_versions_are_served(policy: Policy, served: list[str]) -> None:
    repository = await Models(model("m", "1", "2", "3", policy=policy)).start()
    assert repository.versions("m") == served
    repository.close()


@pytest.mark.parametrize(
    ("name", "version", "sentence"),
    [
        ("x", None, "Request for unknown model 'x'; this server has 'm'."),
        ("x", "1", "Request for unknown model 'x'; this server has 'm'."),
        ("m", "9", "The model 'm' has no version '9' here; it has '1'."),
    ],
)
async def test_what_is_not_here_is_not_found(name: str, version: str | None, sentence: str) -> None:
    repository = await Models(model("m")).start()
    with pytest.raises(ModelNotFound) as error:
        repository.find(name, version)
    assert str(error.value) == sentence
    repository.close()


async def test_a_server_is_ready_when_all_its_models_are() -> None:
    models = Models(model("m"), model("n"))
    models.go.clear()
    starting = asyncio.create_task(models.start())
    await asyncio.sleep(0)
    with pytest.raises(ModelNotReady, match="'m' is still being loaded"):
        models.repository.check_ready()
    with pytest.raises(ModelNotReady, match="still being loaded"):  # at once, though models that are asked for wait
        await models.repository.find("m").until_loaded()
    assert models.repository.index() == [Entry("m", "1", "LOADING"), Entry("n", "1", "LOADING")]
    models.go.set()
    repository = await starting
    repository.check_ready()
    assert repository.index() == [Entry("m", "1", "READY"), Entry("n", "1", "READY")]
    repository.drain()
    with pytest.raises(ModelNotReady, match="drains"):
        repository.check_ready()
    with pytest.raises(ModelNotReady, match="drains"):
        await repository.load("m")
    repository.close()


async def test_a_model_that_fails_at_the_start_keeps_the_server_unready_until_it_is_loaded_or_unloaded() -> None:
    models = Models(model("m"), model("n"), model("o", policy=Policy(specific=frozenset("7"))))
    models.error = ModelError("It is broken.")
    await models.repository.start(start_plan(models.specs.values()))
    repository = models.repository
    assert [(entry.name, entry.state, entry.reason) for entry in repository.index()] == [
        ("m", "UNAVAILABLE", "It is broken."),
        ("n", "UNAVAILABLE", "It is broken."),
        ("o", "UNAVAILABLE", "The model 'o' has no version 7; there are 1."),
    ]
    models.error = None
    await repository.load("m")
    with pytest.raises(ModelNotReady, match=r"'n' can't be served: It is broken\."):
        repository.check_ready()
    await repository.unload("n")
    models.specs["o"] = model("o")
    await repository.load("o")
    repository.check_ready()
    repository.close()


async def test_a_model_that_is_loaded_again_answers_all_the_while() -> None:
    models = Models(model("m"))
    repository = await models.start()
    old = repository.find("m")
    old.metrics.arrived(0.0)  # a request that is not answered yet
    models.go.clear()
    loading = asyncio.create_task(repository.load("m"))
    await asyncio.sleep(0.01)
    assert await number(repository.find("m")) == 0
    models.go.set()
    await loading
    assert await number(repository.find("m")) == 1
    assert models.changes == [("m", "1", "1"), ("m", None, "1")]
    assert (old.retired, await number(old), models.runtimes[0].closed) == (True, 0, False)
    assert repository.find("m").metrics.ready_seconds == old.metrics.ready_seconds, "it was warm all the time"
    old.metrics.answered(200, 0.1)
    await until_closed(models.runtimes[0])
    repository.close()


async def test_a_new_version_takes_over_and_the_one_before_goes() -> None:
    models = Models(model("m", "1", policy=Policy()))
    repository = await models.start()
    models.specs["m"] = model("m", "1", "2", policy=Policy())
    await repository.load("m")
    assert [number for _, number, _ in models.changes] == ["2", None, "1"]
    assert (await number(repository.find("m")), repository.versions("m")) == (1, ["2"])
    with pytest.raises(ModelNotFound, match="no version '1'"):
        repository.find("m", "1")
    await until_closed(models.runtimes[0])
    repository.close()


async def test_files_that_have_not_changed_are_not_loaded_again(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"1")
    models = Models(ModelSpec(Source("m", str(tmp_path))))
    repository = await models.start()
    await repository.load("m")
    assert len(models.runtimes) == 1
    (tmp_path / "model.onnx").write_bytes(b"22")
    await repository.load("m")
    assert len(models.runtimes) == 2
    repository.close()


async def test_a_load_that_fails_leaves_what_was_there_and_says_why() -> None:
    models = Models(model("m", policy=Policy()), model("n"))
    repository = await models.start()
    models.error = ModelError("It is broken.")
    with pytest.raises(ModelError, match="broken"):
        await repository.load("m")
    models.specs["m"] = model("m", "1", "2", policy=Policy())
    with pytest.raises(ModelError, match="broken"):
        await repository.load("m")
    assert await number(repository.find("m")) == 0
    assert repository.index() == [
        Entry("m", "1", "READY", "It is broken."),
        Entry("m", "2", "UNAVAILABLE", "It is broken."),
        Entry("n", "1", "READY"),
    ]
    assert repository.is_ready
    repository.close()


async def test_what_is_no_error_of_ours_is_told_by_its_type() -> None:
    models = Models(model("m"))
    models.error = ZeroDivisionError("division by zero")
    assert await models.repository.start(start_plan(models.specs.values())) == {
        "m": "ZeroDivisionError: division by zero"
    }


async def test_an_unloaded_model_is_gone_when_its_last_request_is_answered_and_can_be_loaded_again() -> None:
    models = Models(model("m"))
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
    assert repository.index() == [Entry("m", "1", "UNAVAILABLE", "it was unloaded.")]
    assert (repository.is_ready, repository.versions("m")) == (True, [])
    await repository.load("m")
    assert await number(repository.find("m")) == 1
    repository.close()


async def test_a_model_that_fails_to_close_holds_nobody_up(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = Models(model("m"), limits=BUDGET, sizes_bytes=200)
    repository = await models.start()
    await number(repository.find("m"))
    for runtime in models.runtimes:
        monkeypatch.setattr(runtime, "close", lambda: 1 / 0)
    await repository.unload("m")
    assert "The model failed to close" in caplog.text
    await repository.load("m")  # its memory counts no more
    assert await number(repository.find("m")) == 1
    monkeypatch.setattr(models.runtimes[1], "close", lambda: 1 / 0)
    repository.close()


async def test_counts_outlive_the_version_that_counted() -> None:
    models = Models(model("m"))
    repository = await models.start()
    await number(repository.find("m"))
    await repository.load("m")
    await until_closed(models.runtimes[0])
    await number(repository.find("m"))
    counted = models.metrics.registry.get_sample_value("everwarm_inference_seconds_count", {"model_name": "m"})
    assert counted == 2
    repository.close()


async def test_loads_by_request_can_be_forbidden() -> None:
    repository = await Models(model("m"), limits=replace(LIMITS, by_request=False)).start()
    for call in (repository.load, repository.unload):
        with pytest.raises(Forbidden, match="EVERWARM_MANAGEMENT"):
            await call("m")
    assert await number(repository.find("m")) == 0
    repository.close()


@pytest.mark.parametrize("call", ["load", "unload"])
async def test_a_model_that_is_not_listed_is_not_found(call: str) -> None:
    repository = await Models(model("m")).start()
    with pytest.raises(ModelNotFound, match="'x'"):
        await getattr(repository, call)("x")
    repository.close()


async def test_a_cold_model_is_loaded_once_for_all_who_ask_for_it() -> None:
    models = Models(model("m"), limits=BUDGET, sizes_bytes=100)
    repository = await models.start()
    assert (models.loads, repository.is_ready) == ([], True)
    assert repository.index() == [Entry("m", "1", "UNAVAILABLE", "its next request has it loaded.")]
    repository.check_model("m")
    models.go.clear()
    asked = [asyncio.create_task(number(repository.find("m", version))) for version in (None, "1", None)]
    await asyncio.sleep(0.01)
    assert models.metrics.in_flight == 3
    with pytest.raises(Overloaded, match="3 requests wait for the model 'm' to be loaded"):
        await repository.find("m").until_loaded()
    models.go.set()
    assert await asyncio.gather(*asked) == [0, 0, 0]
    assert models.loads == [("m", "1")]
    repository.close()


@pytest.mark.parametrize(
    ("wait_seconds", "left_seconds", "error"), [(0.02, 10.0, ModelNotReady), (10.0, 0.02, DeadlineExceeded)]
)
async def test_nobody_waits_for_a_cold_model_longer_than_he_may(
    wait_seconds: float, left_seconds: float, error: type[Exception]
) -> None:
    models = Models(model("m"), limits=replace(BUDGET, wait_seconds=wait_seconds))
    repository = await models.start()
    models.go.clear()
    with pytest.raises(error):
        await number(repository.find("m"), arrival(time.perf_counter() + left_seconds))
    models.go.set()
    repository.close()


async def test_a_cold_model_that_fails_tells_all_who_wait_and_is_tried_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = Models(model("m"), limits=BUDGET)
    repository = await models.start()
    models.error = ModelError("The network is down.")
    asked = [number(repository.find("m")) for _ in range(2)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(each) for each in outcomes] == ["The model 'm' can't be loaded: The network is down."] * 2
    for question in (repository.find, repository.check_model):
        with pytest.raises(ModelNotReady, match="not loaded: The network is down"):
            question("m")
    assert repository.is_ready, "it does not belong to the start"
    models.error = None
    now = time.monotonic()
    monkeypatch.setattr(repositories.time, "monotonic", lambda: now + repositories.RETRY_SECONDS + 1)
    assert await number(repository.find("m")) == 0
    repository.close()


async def test_the_least_recently_used_model_leaves_when_another_one_is_asked_for() -> None:
    models = Models(model("a"), model("b"), model("c"), limits=BUDGET, sizes_bytes=100)
    repository = await models.start()
    for name in "aba":
        await number(repository.find(name))
    await number(repository.find("c"))
    await until_closed(models.runtimes[1])
    assert {entry.name: entry.state for entry in repository.index()} == {
        "a": "READY",
        "b": "UNAVAILABLE",
        "c": "READY",
    }
    assert await number(repository.find("b")) == 3, "it comes back when it is asked for"
    repository.close()


async def test_a_model_in_use_or_pinned_never_leaves() -> None:
    models = Models(
        model("a", pinned=True), model("b"), model("c"), limits=replace(BUDGET, wait_seconds=1.0), sizes_bytes=100
    )
    repository = await models.start()
    await number(repository.find("a"))
    busy = repository.find("b")
    await number(busy)
    await number(repository.find("c"))  # its size is not known before, so it comes, and then there are too many
    await until_closed(models.runtimes[1])
    busy = repository.find("b")
    busy.metrics.arrived(0.0)
    await busy.until_loaded()
    with pytest.raises(ModelNotReady, match="all in use or pinned"):
        await number(repository.find("c"))
    assert [runtime.number for runtime in models.runtimes if not runtime.closed] == [0, 3]
    busy.metrics.answered(200, 0.1)
    repository.close()


async def test_a_model_larger_than_the_budget_is_refused() -> None:
    models = Models(model("m"), limits=BUDGET, sizes_bytes=300)
    repository = await models.start()
    await number(repository.find("m"))
    await repository.unload("m")
    with pytest.raises(ModelError, match="needs 300 bytes, and the budget for all models is 250"):
        await repository.load("m")
    repository.close()


async def test_a_model_that_is_unloaded_while_requests_wait_for_it_tells_them() -> None:
    models = Models(model("m"), limits=BUDGET)
    repository = await models.start()
    plane = repository.find("m")  # its load begins with the next turn of the loop
    await repository.unload("m")
    with pytest.raises(ModelNotReady, match="was unloaded"):
        await plane.until_loaded()
    assert models.loads == []
    repository.close()
