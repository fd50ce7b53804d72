import asyncio
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from everwarm_server import turns
from everwarm_server.admission import Admission, ClientGone, Ticket
from everwarm_server.batching.compute import Run
from everwarm_server.errors import DeadlineExceeded, InferenceFailed, Overloaded, TooManyRequests
from everwarm_server.placement import PROBATION, Placement
from everwarm_server.turns import Turns

QUICK, OTHER = 100, 1_000_000  # sizes of inputs: known to be quick, and not known


class FakeClient:
    gone = False
    when_gone: Callable[[], None] | None = None


class Calls:
    """Submits calls and notes in which order, and in which thread, they ran, and what came of them."""

    def __init__(self, slots: int = 1, queue_size: int = 10) -> None:
        self.admission = Admission(slots, queue_size)
        placement = Placement(0.01)
        for _ in range(PROBATION):
            placement.ran_in_thread(QUICK, 1e-5, 1e-5)
        self.turns = Turns(self.admission, placement)
        self.ran: list[tuple[Any, bool]] = []
        self.got: dict[Any, Any] = {}

    def submit(
        self,
        name: Any,
        size: int = QUICK,
        client: FakeClient | None = None,
        work: Callable[[], None] | None = None,
        tenant: str = "",
        deadline: float = math.inf,
        stream: str | None = None,
    ) -> None:
        def call() -> Run:
            self.ran.append((name, threading.current_thread() is threading.main_thread()))
            run = Run()
            run.start = time.perf_counter()
            try:
                if work is not None:
                    work()
            except RuntimeError as error:
                run.error = InferenceFailed("failed")
                run.error.__cause__ = error
            run.end = time.perf_counter()
            return run

        def done(outcome: Any) -> None:
            assert name not in self.got
            self.got[name] = outcome

        ticket = Ticket(call, client or FakeClient(), done, time.perf_counter(), deadline, tenant)
        ticket.input_bytes, ticket.stream = size, stream
        self.turns.submit(ticket)

    async def until(self, count: int) -> None:
        for _ in range(10_000):
            if len(self.got) == count:
                return
            await asyncio.sleep(0.001)
        pytest.fail(f"only {self.got} came")


async def test_what_arrived_together_is_inferred_in_one_turn_before_any_is_answered() -> None:
    calls = Calls()
    for number in range(5):
        calls.submit(number)
    assert calls.ran == []
    await asyncio.sleep(0)
    assert calls.ran == [(number, True) for number in range(5)]
    assert list(calls.got) == [0, 1, 2, 3, 4]
    calls.admission.close()


async def test_a_turn_ends_after_its_time_and_the_loop_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    calls = Calls()
    for number in range(3):
        calls.submit(number)
    seen = []
    for _ in range(3):
        await asyncio.sleep(0)
        seen.append(len(calls.got))
    assert seen == [1, 2, 3]
    calls.admission.close()


async def test_first_come_is_first_run_wherever_it_runs() -> None:
    calls = Calls()
    for number, size in enumerate([QUICK, OTHER, QUICK, OTHER, QUICK]):
        calls.submit(number, size)
    await calls.until(5)
    assert [name for name, _ in calls.ran] == [0, 1, 2, 3, 4]
    assert [here for _, here in calls.ran][:2] == [True, False]
    calls.admission.close()


async def test_never_more_run_at_once_than_there_are_slots() -> None:
    calls = Calls(slots=1)
    running, most = [0], [0]

    def work() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.0005)
        running[0] -= 1

    for number in range(10):
        calls.submit(number, OTHER if number % 3 == 0 else QUICK, work=work)
        await asyncio.sleep(0)
    await calls.until(10)
    assert most == [1]
    calls.admission.close()


async def test_what_waits_for_a_turn_counts_for_the_queue() -> None:
    calls = Calls(slots=1, queue_size=2)
    for number in range(3):
        calls.submit(number)
    with pytest.raises(Overloaded):
        calls.submit(3)
    await calls.until(3)
    calls.submit(4)
    await calls.until(4)
    calls.admission.close()


async def test_a_client_that_left_before_the_turn_is_not_run() -> None:
    calls, client = Calls(), FakeClient()
    calls.submit(0, client=client)
    calls.submit(1)
    client.gone = True
    await calls.until(2)
    assert calls.ran == [(1, True)]
    assert isinstance(calls.got[0], ClientGone)
    calls.admission.close()


async def test_a_model_that_needs_a_loop_of_its_own_is_asked_again_in_a_thread() -> None:
    calls = Calls()

    def work() -> None:
        if threading.current_thread() is threading.main_thread():
            raise RuntimeError("asyncio.run() cannot be called from a running event loop")

    calls.submit(0, work=work)
    calls.submit(1)
    await calls.until(2)
    assert (calls.ran, calls.got[0].error) == ([(0, True), (0, False), (1, False)], None)
    calls.admission.close()


async def test_another_failure_is_the_answer() -> None:
    def work() -> None:
        raise RuntimeError("why")

    calls = Calls()
    calls.submit(0, work=work)
    await calls.until(1)
    assert (calls.ran, str(calls.got[0].error)) == ([(0, True)], "failed")
    calls.admission.close()


async def test_one_tenant_cannot_fill_the_turn_where_others_wait_for_room() -> None:
    calls = Calls(slots=1, queue_size=9)
    for number in range(8):
        calls.submit(number, tenant="greedy")
    with pytest.raises(TooManyRequests, match="8 of your requests wait"):
        calls.submit("too many", tenant="greedy")
    calls.submit("modest", tenant="modest")
    await calls.until(9)
    calls.submit("later", tenant="greedy")
    await calls.until(10)
    calls.admission.close()


async def test_a_deadline_that_passed_before_the_turn_is_told_and_the_call_not_run() -> None:
    calls = Calls()
    calls.submit(0, deadline=time.perf_counter())
    calls.submit(1)
    await calls.until(2)
    assert calls.ran == [(1, True)]
    assert isinstance(calls.got[0], DeadlineExceeded)
    calls.admission.close()


async def test_the_frames_of_a_stream_all_wait_for_threads_so_that_none_overtakes_another() -> None:
    calls = Calls(slots=2)
    for number, size in enumerate([OTHER, QUICK, QUICK]):
        calls.submit(number, size, stream="camera")
    await calls.until(3)
    assert calls.ran == [(0, False), (1, False), (2, False)]
    calls.admission.close()
