import asyncio
import threading
from collections.abc import Callable

import pytest

from everwarm_server.admission import Admission, ClientGone
from everwarm_server.errors import Overloaded


class FakeClient:
    gone = False
    when_gone: Callable[[], None] | None = None


class Gate:
    """A call that runs until it is let go."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self._go = threading.Event()

    def __call__(self) -> str:
        self.started.set()
        assert self._go.wait(10)
        return "done"

    async def until_started(self) -> None:
        assert await asyncio.to_thread(self.started.wait, 10)

    def let_go(self) -> None:
        self._go.set()


async def occupied(admission: Admission) -> tuple[Gate, "asyncio.Task[str]"]:
    gate = Gate()
    task = asyncio.create_task(admission.run(gate, FakeClient()))
    await gate.until_started()
    return gate, task


async def test_a_call_gives_its_result_and_frees_its_slot() -> None:
    admission = Admission(slots=1, queue_size=0)
    assert await admission.run(lambda: 7, FakeClient()) == 7
    assert (admission.running, admission.waiting) == (0, 0)
    admission.close()


async def test_a_call_that_raises_frees_its_slot() -> None:
    admission = Admission(slots=1, queue_size=0)
    for error in (ValueError("why"), SystemExit(3)):

        def fail(error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)) as raised:
            await admission.run(fail, FakeClient())
        assert raised.value is error
        assert admission.running == 0
    admission.close()


async def test_beyond_the_queue_requests_are_refused_and_those_within_run_in_order() -> None:
    admission = Admission(slots=1, queue_size=3)
    gate, first = await occupied(admission)
    order: list[int] = []
    waiting = [asyncio.create_task(admission.run(lambda n=n: order.append(n), FakeClient())) for n in range(3)]
    await asyncio.sleep(0)
    assert (admission.running, admission.waiting) == (1, 3)
    with pytest.raises(Overloaded) as refused:
        await admission.run(lambda: order.append(99), FakeClient())
    assert refused.value.retry_after_seconds >= 1
    gate.let_go()
    await asyncio.gather(first, *waiting)
    assert order == [0, 1, 2]
    assert (admission.running, admission.waiting) == (0, 0)
    admission.close()


async def test_as_many_run_at_once_as_there_are_slots() -> None:
    admission = Admission(slots=2, queue_size=1)
    (one, first), (two, second) = await occupied(admission), await occupied(admission)
    third = asyncio.create_task(admission.run(lambda: "third", FakeClient()))
    await asyncio.sleep(0)
    assert (admission.running, admission.waiting) == (2, 1)
    two.let_go()
    assert await third == "third"
    one.let_go()
    assert await asyncio.gather(first, second) == ["done", "done"]
    admission.close()


@pytest.mark.parametrize("how", ["client leaves", "task is cancelled"])
async def test_whoever_gives_up_while_waiting_frees_its_place_and_never_runs(how: str) -> None:
    admission = Admission(slots=1, queue_size=1)
    gate, first = await occupied(admission)
    ran: list[str] = []
    client = FakeClient()
    left = asyncio.create_task(admission.run(lambda: ran.append("left"), client))
    await asyncio.sleep(0)
    if how == "client leaves":
        assert client.when_gone is not None
        client.when_gone()
    else:
        left.cancel()
    with pytest.raises((ClientGone, asyncio.CancelledError)):
        await left
    assert (admission.running, admission.waiting) == (1, 0)
    patient = asyncio.create_task(admission.run(lambda: ran.append("patient"), FakeClient()))
    await asyncio.sleep(0)
    gate.let_go()
    await asyncio.gather(first, patient)
    assert ran == ["patient"]
    assert client.when_gone is None
    admission.close()


async def test_a_client_that_left_before_it_asked_is_not_run() -> None:
    admission, client, ran = Admission(slots=1, queue_size=1), FakeClient(), list[int]()
    client.gone = True
    with pytest.raises(ClientGone):
        await admission.run(lambda: ran.append(1), client)
    assert (ran, admission.running) == ([], 0)
    admission.close()


async def test_a_client_that_leaves_during_its_call_changes_nothing() -> None:
    admission = Admission(slots=1, queue_size=0)
    gate, client = Gate(), FakeClient()
    task = asyncio.create_task(admission.run(gate, client))
    await gate.until_started()
    assert client.when_gone is not None
    client.when_gone()
    assert admission.running == 1
    gate.let_go()
    assert await task == "done"
    assert admission.running == 0
    admission.close()


async def test_a_cancelled_call_holds_its_slot_until_its_thread_is_free() -> None:
    admission = Admission(slots=1, queue_size=1)
    gate, task = await occupied(admission)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert admission.running == 1
    following = asyncio.create_task(admission.run(lambda: "next", FakeClient()))
    gate.let_go()
    assert await following == "next"
    assert admission.running == 0
    admission.close()
