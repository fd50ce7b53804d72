import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Generator

import pytest

from everwarm_server.admission import Admission, ClientGone
from everwarm_server.errors import DeadlineExceeded, InferenceFailed, InvalidInput, Overloaded
from everwarm_server.streaming import AHEAD, Streaming


class FakeClient:
    gone = False
    when_gone: Callable[[], None] | None = None


class Counter:
    """Answers 0, 1, 2, ...; after some of them it waits to be let go."""

    def __init__(self, count: int, pause_after: int | None = None, error: BaseException | None = None) -> None:
        self.count, self.pause_after, self.error = count, pause_after, error
        self.go, self.closed = threading.Event(), threading.Event()
        self.given = 0

    def __call__(self) -> Generator[int, None, None]:
        try:
            for i in range(self.count):
                if i == self.pause_after:
                    assert self.go.wait(10)
                self.given += 1
                yield i
            if self.error is not None:
                raise self.error
        finally:
            self.closed.set()

    async def until_closed(self) -> None:
        assert await asyncio.to_thread(self.closed.wait, 10)


def started(
    model: Counter,
    admission: Admission | None = None,
    client: FakeClient | None = None,
    deadline_seconds: float = math.inf,
) -> Streaming[int]:
    streaming: Streaming[int] = Streaming(admission or Admission(1, 10), client or FakeClient(), deadline_seconds)
    streaming.start(model)
    return streaming


async def read(streaming: Streaming[int]) -> list[int]:
    return [answer async for answer in streaming.answers()]


async def test_answers_come_in_order_and_free_the_slot_at_the_end() -> None:
    admission = Admission(1, 10)
    streaming = started(Counter(100), admission)
    assert not admission.has_free_slot
    assert await read(streaming) == list(range(100))
    assert admission.has_free_slot
    assert 0 < streaming.seconds < time.perf_counter() - streaming.start_seconds


async def test_an_answer_is_read_before_the_next_is_made() -> None:
    model = Counter(2, pause_after=1)
    async with contextlib.aclosing(started(model).answers()) as answers:
        assert await anext(answers) == 0
        model.go.set()
        assert await anext(answers) == 1


async def test_a_model_is_at_most_some_answers_ahead_of_its_reader() -> None:
    model = Counter(10 * AHEAD, pause_after=AHEAD)
    async with contextlib.aclosing(started(model).answers()) as answers:
        assert await anext(answers) == 0
        model.go.set()
        for _ in range(20):
            await asyncio.to_thread(lambda: None)  # whatever the thread could do, it has had the time for
        assert model.given <= AHEAD + 2
        assert [answer async for answer in answers] == list(range(1, 10 * AHEAD))


@pytest.mark.parametrize(
    ("raised", "seen", "sentence"),
    [
        (InvalidInput("No."), InvalidInput, "No."),
        (ZeroDivisionError("secret"), InferenceFailed, "The model failed: ZeroDivisionError."),
        (SystemExit(3), InferenceFailed, "The model failed: SystemExit."),
    ],
)
async def test_what_the_model_raises_comes_after_its_answers(
    raised: BaseException, seen: type[Exception], sentence: str
) -> None:
    answers = started(Counter(2, error=raised)).answers()
    assert [await anext(answers), await anext(answers)] == [0, 1]
    with pytest.raises(seen) as caught:
        await anext(answers)
    assert str(caught.value) == sentence


async def test_a_reader_that_stops_stops_the_model_at_its_next_answer() -> None:
    admission, model = Admission(1, 10), Counter(1000, pause_after=1)
    async with contextlib.aclosing(started(model, admission).answers()) as answers:
        await anext(answers)
    model.go.set()
    await model.until_closed()
    assert model.given == 2


async def test_a_model_that_waits_for_room_is_stopped_too() -> None:
    model = Counter(1000)
    async with contextlib.aclosing(started(model).answers()) as answers:
        await anext(answers)
    await model.until_closed()
    assert model.given <= AHEAD + 2


async def test_a_client_that_leaves_ends_the_stream_at_once() -> None:
    client, model = FakeClient(), Counter(1000, pause_after=1)
    async with contextlib.aclosing(started(model, client=client).answers()) as answers:
        await anext(answers)
        assert client.when_gone is not None
        client.when_gone()
        with pytest.raises(ClientGone):
            await anext(answers)
    model.go.set()
    await model.until_closed()


async def test_that_the_thread_stops_for_a_client_is_not_taken_for_the_end_of_its_answers() -> None:
    client, model = FakeClient(), Counter(1000, pause_after=1)
    streaming = started(model, client=client)
    async with contextlib.aclosing(streaming.answers()) as answers:
        await anext(answers)
        assert client.when_gone is not None
        client.when_gone()
        streaming._channel.end()  # as the thread does, before the reader has had its turn
        with pytest.raises(ClientGone):
            await anext(answers)
    model.go.set()


async def test_a_client_that_leaves_before_its_turn_never_has_one() -> None:
    admission, first, second, client = Admission(1, 10), Counter(1, pause_after=0), Counter(1), FakeClient()
    busy = started(first, admission)
    waiting = started(second, admission, client)
    assert client.when_gone is not None
    client.when_gone()
    with pytest.raises(ClientGone):
        await read(waiting)
    first.go.set()
    assert await read(busy) == [0]
    assert (second.given, waiting.start_seconds) == (0, 0.0)


async def test_a_deadline_ends_the_stream_and_stops_the_model() -> None:
    model = Counter(1000, pause_after=1)
    answers = started(model, deadline_seconds=time.perf_counter() + 0.05).answers()
    assert await anext(answers) == 0
    with pytest.raises(DeadlineExceeded):
        await anext(answers)
    model.go.set()
    await model.until_closed()


async def test_a_deadline_that_is_over_before_its_turn_leaves_the_queue() -> None:
    admission, first, second = Admission(1, 10), Counter(1, pause_after=0), Counter(1)
    busy = started(first, admission)
    with pytest.raises(DeadlineExceeded):
        await read(started(second, admission, deadline_seconds=time.perf_counter() + 0.05))
    first.go.set()
    assert await read(busy) == [0]
    assert second.given == 0


async def test_a_full_queue_refuses_at_once() -> None:
    admission, first = Admission(1, 0), Counter(1, pause_after=0)
    busy = started(first, admission)
    with pytest.raises(Overloaded):
        started(Counter(1), admission)
    first.go.set()
    assert await read(busy) == [0]
