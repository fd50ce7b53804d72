"""The path of requests through batches, on real threads: who is computed with whom, and what each of them gets."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from everwarm_server.admission import Client, ClientGone, QueueLimits
from everwarm_server.batching.learned import DOUBLE_AFTER, FIRST
from everwarm_server.batching.options import Options
from everwarm_server.batching.trial import TRIALS
from everwarm_server.dataplane import Arrival, DataPlane
from everwarm_server.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    Overloaded,
    TooManyRequests,
)
from everwarm_server.gradient import INITIAL
from everwarm_server.protocol.tensors import (
    Array,
    InferRequest,
    InferResponse,
    ModelMetadata,
    Parameters,
    Tensor,
    TensorSpec,
)
from everwarm_server.telemetry.metrics import Metrics

METADATA = ModelMetadata("m", "1", "fake", (TensorSpec("x", "FP32", (-1, -1)),), (TensorSpec("y", "FP32", (-1, -1)),))
ON = Options(mode="on", max_rows=8)
GATE, POISON, UNWANTED = -1.0, 666.0, 777.0


class FakeClient:
    def __init__(self) -> None:
        self.gone = False
        self.when_gone: Callable[[], None] | None = None

    def leave(self) -> None:
        self.gone = True
        if self.when_gone is not None:
            self.when_gone()


class Doubling:
    """Doubles its rows; notes the first column of each call. A row of GATE waits, POISON fails, UNWANTED is refused."""

    device = "cpu"
    only_computes = True
    takes_parameters = True
    streams = False
    weights_bytes = 0
    metadata = METADATA

    def __init__(self, change: Callable[[Array], Array] = lambda y: y) -> None:
        self.calls: list[list[float]] = []
        self.parameters: list[dict[str, Any]] = []
        self.started, self._go = threading.Event(), threading.Semaphore(0)
        self._change = change
        self.seconds = 0.0

    def infer(self, inputs: Mapping[str, Array], parameters: Parameters) -> Mapping[str, Array]:
        x = inputs["x"]
        self.calls.append(x[:, 0].tolist())
        self.parameters.append(dict(parameters))
        if (x == GATE).any():
            self.started.set()
            assert self._go.acquire(timeout=10)
        if self.seconds:
            time.sleep(self.seconds)
        if (x == POISON).any():
            raise ZeroDivisionError("secret detail")
        if (x == UNWANTED).any():
            raise InvalidInput("I want none of these.")
        return {"y": self._change(x * 2)}

    def stream(self, inputs: Mapping[str, Array], parameters: Parameters) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        self._go.release(100)

    def let_go(self) -> None:
        """Let one call go on that waits at the gate, or will."""
        self._go.release()


class Served:
    """A model behind a data plane whose one thread is kept busy until `let_go`, so that requests wait together."""

    def __init__(
        self,
        options: Options = ON,
        *,
        slots: int = 1,
        queue_size: int = 100,
        limits: QueueLimits | None = None,
        model: Doubling | None = None,
    ) -> None:
        self.model = model or Doubling()
        metrics = Metrics(0.0)
        self.registry = metrics.registry
        extra = {} if limits is None else {"limits": limits}
        self.plane = DataPlane("m", slots, queue_size, metrics.model("m", slots), batching=options, **extra)
        self.plane.serve(self.model)
        self.answers: list[asyncio.Task[Any]] = []

    async def busy(self) -> None:
        self.ask(GATE)
        assert await asyncio.to_thread(self.model.started.wait, 10)

    def ask(self, *firsts: float, columns: int = 2, client: Client | None = None, **more: Any) -> asyncio.Task[Any]:
        """One request of some rows that begin so; its task is kept, to be gathered in order."""
        x = np.zeros((len(firsts), columns), np.float32)
        x[:, 0] = firsts
        parameters = more.pop("parameters", {})
        request = InferRequest((Tensor("x", "FP32", x),), id=str(firsts[0]), parameters=parameters)
        arrival = Arrival(time.perf_counter(), time.time(), None, **more)
        task = asyncio.create_task(self.plane.infer(request, arrival, client or FakeClient()))
        self.answers.append(task)
        return task

    async def settled(self) -> None:
        """What was asked has come to the queue."""
        for _ in range(3):
            await asyncio.sleep(0)

    async def told(self) -> list[Any]:
        """What each got after the first, which kept the thread busy: its first column, or its error."""
        self.model.let_go()
        got = await asyncio.wait_for(asyncio.gather(*self.answers, return_exceptions=True), 10)
        self.plane.close()
        return [first_column(one) if isinstance(one, InferResponse) else one for one in got[1:]]

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"everwarm_{name}", {"model_name": "m", **labels})


def first_column(response: InferResponse) -> list[float]:
    (y,) = response.outputs
    assert response.id is not None
    assert (y.name, y.datatype) == ("y", "FP32")
    return [float(value) for value in y.data[:, 0]]


def kinds(results: list[Any]) -> list[Any]:
    return [type(one) if isinstance(one, BaseException) else one for one in results]


async def test_what_waits_together_is_computed_together_and_each_gets_its_own_rows() -> None:
    served = Served()
    await served.busy()
    served.ask(1.0)
    served.ask(2.0, 3.0)
    served.ask(4.0)
    await served.settled()
    assert served.metric("queue_rows") == 4
    assert await served.told() == [[2.0], [4.0, 6.0], [8.0]]
    assert served.model.calls == [[GATE], [1.0, 2.0, 3.0, 4.0]]
    assert served.metric("batch_rows_sum") == 5
    assert served.metric("batches_total", reason="idle") == 2


async def test_a_batch_has_no_more_rows_than_the_maximum() -> None:
    served = Served(Options(mode="on", max_rows=3))
    await served.busy()
    for number in range(1, 8):
        served.ask(float(number))
    assert await served.told() == [[2.0 * number] for number in range(1, 8)]
    assert served.model.calls[1:] == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0]]
    assert served.metric("batches_total", reason="full") == 2


async def test_shapes_and_parameters_are_never_merged() -> None:
    served = Served()
    await served.busy()
    served.ask(1.0, parameters={"tone": "a"})
    served.ask(2.0, parameters={"tone": "b"})
    served.ask(3.0, columns=3)
    served.ask(4.0, parameters={"tone": "a"})
    assert await served.told() == [[2.0], [4.0], [6.0], [8.0]]
    assert served.model.calls[1:] == [[1.0, 4.0], [2.0], [3.0]]
    assert served.model.parameters[1:] == [{"tone": "a"}, {"tone": "b"}, {}]


async def test_who_leaves_before_the_batch_is_not_computed_and_its_neighbours_are_answered() -> None:
    served, client = Served(), FakeClient()
    await served.busy()
    served.ask(1.0)
    served.ask(2.0, client=client)
    cancelled = served.ask(3.0)
    served.ask(4.0)
    await served.settled()
    client.leave()
    cancelled.cancel()
    await served.settled()
    assert kinds(await served.told()) == [[2.0], ClientGone, asyncio.CancelledError, [8.0]]
    assert served.model.calls[1:] == [[1.0, 4.0]]


async def test_who_leaves_during_the_batch_changes_nothing_for_its_neighbours() -> None:
    served = Served()
    await served.busy()
    served.ask(1.0)
    leaving = served.ask(GATE)
    served.ask(3.0)
    await served.settled()
    served.model.started.clear()
    served.model.let_go()
    assert await asyncio.to_thread(served.model.started.wait, 10)
    leaving.cancel()
    await served.settled()
    assert kinds(await served.told()) == [[2.0], asyncio.CancelledError, [6.0]]
    assert served.model.calls[1:] == [[1.0, GATE, 3.0]]


@pytest.mark.parametrize(
    ("bad", "kind", "sentence"),
    [
        (POISON, InferenceFailed, "The model 'm' failed: ZeroDivisionError."),
        (UNWANTED, InvalidInput, "I want none of these."),
    ],
)
async def test_one_poisoned_row_fails_alone(bad: float, kind: type[Exception], sentence: str) -> None:
    served = Served()
    await served.busy()
    for first in (1.0, 2.0, 3.0, 4.0, 5.0, bad, 7.0, 8.0):
        served.ask(first)
    results = await served.told()
    assert kinds(results) == [[2.0], [4.0], [6.0], [8.0], [10.0], kind, [14.0], [16.0]]
    assert str(results[5]) == sentence
    assert len(served.model.calls) == 1 + 1 + 2 * 3, "2 log2(8) more calls"


async def test_a_thread_survives_whatever_goes_wrong_with_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served()
    monkeypatch.setattr("everwarm_server.batching.rows.joined", lambda _: 1 / 0)
    await served.busy()
    served.ask(1.0)
    served.ask(2.0)
    await served.settled()
    served.model.let_go()
    await asyncio.wait(served.answers)
    served.ask(3.0)
    assert kinds(await served.told()) == [ZeroDivisionError, ZeroDivisionError, [6.0]]


async def test_a_model_that_must_not_be_asked_again_fails_for_all_of_the_batch() -> None:
    served = Served(Options(mode="on", max_rows=8, retry=False))
    await served.busy()
    for first in (1.0, POISON, 3.0):
        served.ask(first)
    assert kinds(await served.told()) == [InferenceFailed] * 3
    assert len(served.model.calls) == 2


async def test_a_model_that_gives_no_row_for_each_is_asked_one_by_one_from_then_on() -> None:
    served = Served(model=Doubling(change=lambda y: y[:1]))
    await served.busy()
    for first in (1.0, 2.0):
        served.ask(first)
    assert await served.told() == [[2.0], [4.0]]
    assert served.model.calls[1:] == [[1.0, 2.0], [1.0], [2.0]]
    assert served.metric("batch_max_rows") == 0


async def test_a_request_with_more_rows_than_the_maximum_is_computed_in_parts() -> None:
    served = Served(Options(mode="on", max_rows=3))
    await served.busy()
    served.ask(*[float(number) for number in range(1, 8)])
    served.ask(9.0)
    assert await served.told() == [[2.0 * number for number in range(1, 8)], [18.0]]
    assert served.model.calls[1:] == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 9.0]]


async def test_parts_run_at_once_where_there_are_threads() -> None:
    served = Served(Options(mode="on", max_rows=2), slots=3)
    served.ask(0.0)
    served.ask(*[float(number) for number in range(6)])
    assert await served.told() == [[0.0, 2.0, 4.0, 6.0, 8.0, 10.0]]


async def test_a_part_that_fails_fails_the_request_and_its_other_parts_are_not_computed() -> None:
    served = Served(Options(mode="on", max_rows=1))
    await served.busy()
    served.model.seconds = 0.005  # a thread takes the next part before the loop has heard of a failure
    served.ask(1.0, POISON, *range(3, 50))
    served.ask(60.0)
    assert kinds(await served.told()) == [InferenceFailed, [120.0]]
    assert len(served.model.calls) < 20


async def test_without_a_maximum_of_its_own_a_large_request_stays_whole() -> None:
    served = Served(Options(mode="on"))
    await served.busy()
    served.ask(*[float(number) for number in range(1, 200)])
    assert await served.told() == [[2.0 * number for number in range(1, 200)]]
    assert len(served.model.calls) == 2


async def test_who_waits_past_its_deadline_is_told_so_at_once_and_not_computed() -> None:
    served = Served()
    await served.busy()
    served.ask(1.0)
    late = served.ask(2.0, deadline_seconds=time.perf_counter() + 0.02)
    with pytest.raises(DeadlineExceeded, match="passed while it waited"):
        await asyncio.wait_for(asyncio.shield(late), 5)
    assert kinds(await served.told()) == [[2.0], DeadlineExceeded]
    assert served.model.calls[1:] == [[1.0]]
    assert served.metric("expired_requests_total") == 1


async def test_who_would_miss_its_deadline_is_refused_before_it_waits() -> None:
    served = Served(Options(mode="on", max_rows=1))
    served.model.seconds = 0.03
    served.ask(0.0)
    for number in range(1, 4):
        served.ask(float(number))
    await asyncio.wait_for(asyncio.gather(*served.answers), 10)  # what a row costs is known now
    await served.busy()
    for number, tenant in enumerate("abcd"):
        served.ask(float(number), tenant=tenant)
    tight = served.ask(9.0, deadline_seconds=time.perf_counter() + 0.06)
    served.ask(10.0, deadline_seconds=time.perf_counter() + 60)
    with pytest.raises(DeadlineExceeded, match=r"would wait 0\.1") as refused:
        await tight
    assert refused.value.retry_after_seconds == 1.0
    assert kinds((await served.told())[-2:]) == [DeadlineExceeded, [20.0]]
    assert served.metric("refused_requests_total", reason="deadline") == 1


async def test_a_request_that_comes_too_late_is_not_even_looked_at() -> None:
    served = Served()
    served.ask(0.0)
    served.ask(1.0, deadline_seconds=time.perf_counter() - 1)
    assert kinds(await served.told()) == [DeadlineExceeded]


async def test_one_tenant_cannot_fill_the_queue_and_gets_429_where_others_get_in() -> None:
    served = Served(queue_size=10, limits=QueueLimits(tenant_share=0.5))
    await served.busy()
    greedy = [served.ask(1.0, tenant="greedy") for _ in range(8)]
    modest = served.ask(2.0, tenant="modest")
    await served.settled()
    refused = [task for task in greedy if task.done()]
    assert len(refused) == 3, "five wait, five places are free"
    with pytest.raises(TooManyRequests, match="5 of your requests wait"):
        await refused[0]
    assert not modest.done()
    results = await served.told()
    assert kinds(results).count(TooManyRequests) == 3
    assert results[-1] == [4.0]


async def test_without_a_tenant_the_whole_queue_may_be_filled_and_then_all_are_told_how_long_to_wait() -> None:
    served = Served(Options(mode="on", max_rows=1), queue_size=3)
    served.model.seconds = 0.01
    served.ask(0.0)
    await asyncio.wait_for(served.answers[0], 10)
    await served.busy()
    for number in range(4):
        served.ask(float(number))
    await served.settled()
    with pytest.raises(Overloaded, match="3 requests wait") as refused:
        await served.answers[-1]
    assert not isinstance(refused.value, TooManyRequests)
    assert refused.value.retry_after_seconds == 1.0
    await served.told()
    assert served.metric("refused_requests_total", reason="queue_full") == 1


async def test_tenants_take_turns_in_batches() -> None:
    served = Served(Options(mode="on", max_rows=2))
    await served.busy()
    for number in range(1, 5):
        served.ask(float(number), tenant="a")
    served.ask(9.0, tenant="b")
    await served.told()
    assert served.model.calls[1:] == [[1.0, 9.0], [2.0, 3.0], [4.0]]


@pytest.mark.parametrize("mode", ["on", "off"])
async def test_frames_of_a_stream_are_answered_in_order_on_any_number_of_threads(mode: Any) -> None:
    served = Served(Options(mode=mode, max_rows=2), slots=4)
    served.model.seconds = 0.001
    order: list[float] = []
    for number in range(12):
        task = served.ask(float(number), parameters={"sequence_id": 5})
        task.add_done_callback(lambda _, number=number: order.append(float(number)))
    await served.told()
    assert order == [float(number) for number in range(12)]
    assert [row for call in served.model.calls for row in call] == order


async def fed(served: Served, rounds: int) -> None:
    """Twice the number of requests at once, again and again."""
    for _ in range(rounds):
        tasks = [served.ask(1.0), served.ask(2.0), served.ask(3.0)]
        await asyncio.wait_for(asyncio.gather(*tasks), 10)


async def test_auto_batches_once_trials_show_that_it_gives_the_same_and_pays() -> None:
    served = Served(Options())
    served.model.seconds = 0.002
    await fed(served, 2 * TRIALS + 2)
    assert served.metric("batch_max_rows") == 64
    before = len(served.model.calls)
    await fed(served, 1)
    assert served.model.calls[before:] in ([[1.0, 2.0, 3.0]], [[1.0], [2.0, 3.0]])
    assert all(len(answers) == 1 for answers in await served.told())


async def test_auto_leaves_a_model_alone_that_looks_at_all_rows_at_once() -> None:
    served = Served(Options(), model=Doubling(change=lambda y: y - y.mean()))
    served.model.seconds = 0.002
    await fed(served, 3 * TRIALS)
    assert served.metric("batch_max_rows") == 0
    assert max(map(len, served.model.calls[10:])) == 1


@pytest.mark.parametrize("trait", ["only_computes", "metadata"])
async def test_auto_never_tries_a_model_that_nobody_vouches_for_or_whose_rows_are_fixed(
    trait: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = ModelMetadata("m", "1", "fake", METADATA.inputs, (TensorSpec("y", "FP32", (1, -1)),))
    monkeypatch.setattr(Doubling, trait, False if trait == "only_computes" else fixed)
    served = Served(Options())
    served.model.seconds = 0.002
    await fed(served, TRIALS)
    assert max(map(len, served.model.calls)) == 1


async def test_the_time_in_the_model_is_shared_by_rows_so_that_it_adds_up_to_what_the_thread_was_busy() -> None:
    served = Served()
    served.model.seconds = 0.02
    await served.busy()
    for number in range(1, 5):
        served.ask(float(number))
    await served.told()
    assert served.metric("inference_seconds_count") == 5
    busy = served.metric("batch_seconds_sum")
    assert busy is not None
    assert served.metric("inference_seconds_sum") == pytest.approx(busy, rel=0.05)


async def test_patience_waits_for_a_batch_to_fill_and_then_no_longer() -> None:
    served = Served(Options(mode="on", max_rows=3, max_delay_seconds=0.05))
    started = time.perf_counter()
    served.ask(0.0)
    served.ask(1.0)
    await asyncio.sleep(0.01)
    assert served.model.calls == []
    assert await served.told() == [[2.0]]
    assert served.model.calls == [[0.0, 1.0]]
    assert 0.04 < time.perf_counter() - started < 5


async def test_closing_does_not_wait_for_batches_to_fill() -> None:
    served = Served(Options(mode="on", max_rows=3, max_delay_seconds=10.0))
    served.ask(0.0)
    served.ask(1.0)
    await served.settled()
    served.plane.close()
    assert await served.told() == [[2.0]]


async def test_the_largest_batch_is_learned_from_the_objective_and_larger_requests_are_split() -> None:
    served = Served(Options(mode="on", slo_seconds=10.0))
    assert served.metric("batch_max_rows") == FIRST
    for _ in range(DOUBLE_AFTER):
        served.ask(*range(1, FIRST + 1))
    await asyncio.wait_for(asyncio.gather(*served.answers), 10)
    assert served.metric("batch_max_rows") == 2 * FIRST
    served.ask(*range(1, 20))
    assert (await served.told())[-1] == [2.0 * number for number in range(1, 20)]
    assert max(map(len, served.model.calls)) <= 4 * FIRST


async def test_while_latency_rises_requests_beyond_the_learned_limit_are_refused() -> None:
    served = Served(Options(mode="off"), limits=QueueLimits(adaptive=True))
    await served.busy()
    for number in range(INITIAL + 5):
        served.ask(float(number))
    await served.settled()
    refused = [task for task in served.answers if task.done()]
    assert len(refused) == 6, "the one that is computed is inside, too"
    with pytest.raises(Overloaded, match=f"{INITIAL} requests are here already"):
        await refused[0]
    await served.told()
    assert served.metric("refused_requests_total", reason="limit") == 6
    assert served.metric("admission_limit") == INITIAL
