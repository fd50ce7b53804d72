"""Slots and waiting requests; the deadlines that pass here are milliseconds."""

import asyncio

import pytest

from everwarm_cli.up.dispatch import Backend, Dispatcher, QueueFull, WaitedTooLong


async def waiting(dispatcher: Dispatcher, count: int) -> list[asyncio.Task[Backend]]:
    tasks = [asyncio.create_task(dispatcher.acquire(10)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_the_least_busy_replica_gets_the_request() -> None:
    dispatcher, a, b = Dispatcher(2, 10), Backend("a"), Backend("b")
    dispatcher.add(a)
    dispatcher.add(b)
    assert [(await dispatcher.acquire(1)).url for _ in range(4)] == ["a", "b", "a", "b"]
    assert (a.busy, b.busy) == (2, 2)


async def test_no_replica_gets_more_than_its_concurrency_and_the_rest_wait_in_order() -> None:
    dispatcher, a = Dispatcher(1, 10), Backend("a")
    dispatcher.add(a)
    first, second, third = await waiting(dispatcher, 3)
    assert (first.done(), second.done(), third.done(), dispatcher.waiting) == (True, False, False, 2)
    dispatcher.release(a)
    await asyncio.wait([second], timeout=1)
    assert (second.done(), third.done(), a.busy, dispatcher.waiting) == (True, False, 1, 1)
    third.cancel()


async def test_requests_wait_for_the_first_replica() -> None:
    dispatcher, a = Dispatcher(2, 10), Backend("a")
    tasks = await waiting(dispatcher, 3)
    assert dispatcher.waiting == 3
    dispatcher.add(a)
    await asyncio.wait(tasks[:2], timeout=1)
    assert ([task.done() for task in tasks], a.busy) == ([True, True, False], 2)
    tasks[2].cancel()


async def test_who_waits_too_long_is_told_and_leaves_no_trace() -> None:
    dispatcher, a = Dispatcher(1, 10), Backend("a")
    with pytest.raises(WaitedTooLong):
        await dispatcher.acquire(0.01)
    dispatcher.add(a)
    assert (dispatcher.waiting, a.busy) == (0, 0)


async def test_a_deadline_that_has_passed_gives_up_at_once() -> None:
    with pytest.raises(WaitedTooLong):
        await Dispatcher(1, 10).acquire(-1)


async def test_a_full_queue_refuses() -> None:
    dispatcher = Dispatcher(1, 2)
    tasks = await waiting(dispatcher, 2)
    with pytest.raises(QueueFull):
        await dispatcher.acquire(1)
    for task in tasks:
        task.cancel()


async def test_a_slot_that_was_given_to_who_just_left_goes_to_the_next() -> None:
    dispatcher, a = Dispatcher(1, 10), Backend("a")
    first, second = await waiting(dispatcher, 2)
    dispatcher.add(a)  # the slot is first's, but first has not run since
    first.cancel()
    assert await second is a
    assert (a.busy, dispatcher.waiting) == (1, 0)


async def test_a_removed_replica_gets_nothing_new_and_drains() -> None:
    dispatcher, a = Dispatcher(2, 10), Backend("a")
    dispatcher.add(a)
    await dispatcher.acquire(1)
    dispatcher.remove(a)
    dispatcher.remove(a)
    (task,) = await waiting(dispatcher, 1)
    drained = asyncio.create_task(a.drained(60))
    await asyncio.sleep(0)
    assert not drained.done()
    dispatcher.release(a)
    await drained
    assert (task.done(), a.busy, dispatcher.backends) == (False, 0, ())
    task.cancel()


async def test_a_drain_ends_at_its_limit() -> None:
    backend = Backend("a")
    backend.take()
    await backend.drained(0.01)
    assert (backend.busy, backend.idle.is_set()) == (1, False)
