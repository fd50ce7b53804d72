import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from everwarm_server.admission import Admission, ClientGone, Ticket
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


class Outcome:
    """What a call gave, once."""

    def __init__(self, admission: Admission, call: Callable[[], Any], client: FakeClient | None = None) -> None:
        self._got: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.client = client or FakeClient()
        self.ticket: Ticket = admission.submit(call, self.client, self._got.set_result)

    async def get(self) -> Any:
        return await asyncio.wait_for(self._got, 10)


async def occupied(admission: Admission) -> tuple[Gate, Outcome]:
    gate = Gate()
    outcome = Outcome(admission, gate)
    await gate.until_started()
    return gate, outcome


async def test_a_call_gives_its_result_and_frees_its_slot() -> None:
    admission = Admission(slots=1, queue_size=0)
    assert admission.has_free_slot
    outcome = Outcome(admission, lambda: 7)
    assert not admission.has_free_slot
    assert await outcome.get() == 7
    assert (admission.running, admission.waiting, admission.has_free_slot) == (0, 0, True)
    admission.close()


async def test_a_call_that_raises_gives_its_error_and_frees_its_slot() -> None:
    admission = Admission(slots=1, queue_size=0)
    for error in (ValueError("why"), SystemExit(3)):

        def fail(error: BaseException = error) -> None:
            raise error

        assert await Outcome(admission, fail).get() is error
        assert admission.running == 0
    admission.close()


async def test_beyond_the_queue_requests_are_refused_and_those_within_run_in_order() -> None:
    admission = Admission(slots=1, queue_size=3)
    gate, first = await occupied(admission)
    order: list[int] = []
    waiting = [Outcome(admission, lambda n=n: order.append(n)) for n in range(3)]
    assert (admission.running, admission.waiting) == (1, 3)
    with pytest.raises(Overloaded) as refused:
        Outcome(admission, lambda: order.append(99))
    assert refused.value.retry_after_seconds >= 1
    gate.let_go()
    for outcome in (first, *waiting):
        await outcome.get()
    assert order == [0, 1, 2]
    assert (admission.running, admission.waiting) == (0, 0)
    admission.close()


async def test_as_many_run_at_once_as_there_are_slots() -> None:
    admission = Admission(slots=2, queue_size=1)
    (one, first), (two, second) = await occupied(admission), await occupied(admission)
    third = Outcome(admission, lambda: "third")
    assert (admission.running, admission.waiting) == (2, 1)
    two.let_go()
    assert await third.get() == "third"
    one.let_go()
    assert [await first.get(), await second.get()] == ["done", "done"]
    admission.close()


@pytest.mark.parametrize("how", ["client leaves", "it is told to"])
async def test_whoever_gives_up_while_waiting_frees_its_place_and_never_runs(how: str) -> None:
    admission = Admission(slots=1, queue_size=1)
    gate, first = await occupied(admission)
    ran: list[str] = []
    left = Outcome(admission, lambda: ran.append("left"))
    if how == "client leaves":
        assert left.client.when_gone is not None
        left.client.when_gone()
    else:
        admission.give_up(left.ticket)
    assert isinstance(await left.get(), ClientGone)
    assert (admission.running, admission.waiting) == (1, 0)
    assert left.client.when_gone is None
    patient = Outcome(admission, lambda: ran.append("patient"))
    gate.let_go()
    await first.get()
    await patient.get()
    assert ran == ["patient"]
    admission.close()


async def test_a_client_that_left_before_it_asked_is_not_run() -> None:
    admission, client, ran = Admission(slots=1, queue_size=1), FakeClient(), list[int]()
    client.gone = True
    with pytest.raises(ClientGone):
        Outcome(admission, lambda: ran.append(1), client)
    assert (ran, admission.running) == ([], 0)
    admission.close()


async def test_whoever_gives_up_during_its_call_changes_nothing() -> None:
    admission = Admission(slots=1, queue_size=0)
    gate, outcome = await occupied(admission)
    assert outcome.client.when_gone is not None
    outcome.client.when_gone()
    admission.give_up(outcome.ticket)
    assert admission.running == 1
    gate.let_go()
    assert await outcome.get() == "done"
    assert admission.running == 0
    admission.close()
