"""A model that yields in a thread in; its answers, one by one as they come, out on the event loop.

The thread waits while its reader is behind, and stops at the next answer once nobody reads.
"""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial
from typing import Any, Final, Generic, TypeVar

from everwarm_server.admission import Admission, Client, ClientGone, Ticket
from everwarm_server.errors import DeadlineExceeded, InferenceFailed, ServingError

AHEAD: Final = 8  # items that wait for their reader: one frame of video has the size of many tokens
_LOG: Final = logging.getLogger(__name__)
_T = TypeVar("_T")


class Abandoned(Exception):
    """Nobody reads any more."""


class Channel(Generic[_T]):
    """One writer in a thread, one reader on the loop that made it.

    Args:
        ahead: items that the writer may be ahead of the reader.
    """

    def __init__(self, ahead: int = AHEAD) -> None:
        self._loop = asyncio.get_running_loop()
        self._room = threading.Semaphore(ahead)
        self._items: deque[_T] = deque()
        self._changed = asyncio.Event()
        self._abandoned = False
        self._ended = False
        self._error: BaseException | None = None

    def write_all(self, items: Generator[_T, None, None]) -> None:
        """Hand over each item of a generator, on any thread; closes it when nobody reads on.

        Raises:
            Exception: whatever the iterator raised.
        """
        try:
            for item in items:
                self._write(item)
        except Abandoned:
            return
        finally:
            items.close()

    def _write(self, item: _T) -> None:
        self._room.acquire()  # not a `with`: the reader gives it back
        if self._abandoned:
            raise Abandoned
        try:
            self._loop.call_soon_threadsafe(self._add, item)
        except RuntimeError:  # the loop is closed
            raise Abandoned from None

    def _add(self, item: _T) -> None:
        self._items.append(item)
        self._changed.set()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more comes; the reader gets the error, if there is one, after what came before it. On the loop."""
        if not self._ended:  # the first end counts: a client that left, and then the thread that had to stop for it
            self._ended, self._error = True, error
            self._changed.set()

    def abandon(self, error: BaseException | None = None) -> None:
        """Stop the writer at its next item, and the reader at once. On the loop."""
        if not self._abandoned:
            self._abandoned = True
            self._items.clear()
            self._room.release()  # it may wait for room
            self.end(error)

    async def read(self, deadline_seconds: float) -> AsyncGenerator[_T, None]:
        """The items as they come. Close it (contextlib.aclosing) to stop the writer.

        Args:
            deadline_seconds: when they are of no more use, on the clock of time.perf_counter().

        Raises:
            DeadlineExceeded: that time came first.
            Exception: what the channel was ended with.
        """
        try:
            while True:
                while self._items:
                    item = self._items.popleft()
                    self._room.release()
                    yield item
                if self._ended:
                    break
                self._changed.clear()
                await self._until_changed(deadline_seconds)
        finally:
            error = self._error
            self.abandon(error)
        if error is not None:
            raise error

    async def _until_changed(self, deadline_seconds: float) -> None:
        left_seconds = deadline_seconds - time.perf_counter()
        try:
            await asyncio.wait_for(self._changed.wait(), left_seconds if left_seconds < 1e9 else None)
        except TimeoutError:
            raise DeadlineExceeded("The deadline of this request came before the end of its answer.") from None


class Streaming(Generic[_T]):
    """One request to a model that streams: it takes a slot from its turn to its last answer.

    Args:
        admission: the way to the slots.
        client: who asked.
        deadline_seconds: when its answers are of no more use, on the clock of time.perf_counter().
        tenant: who shares the replica fairly with the others.

    Attributes:
        start_seconds: when its turn came, by time.perf_counter(); 0: not yet.
        seconds: how long it had the slot; 0: it still has.
    """

    def __init__(
        self, admission: Admission, client: Client, deadline_seconds: float = math.inf, tenant: str = ""
    ) -> None:
        self._admission = admission
        self._client = client
        self._deadline_seconds = deadline_seconds
        self._tenant = tenant
        self._channel: Channel[_T] = Channel()
        self._ticket: Ticket | None = None
        self.start_seconds = self.seconds = 0.0

    def start(self, answers: Callable[[], Generator[_T, None, None]]) -> None:
        """Wait for a thread and let it iterate over what `answers()` makes.

        Raises:
            Overloaded, TooManyRequests, DeadlineExceeded: it may not wait; see admission.py.
            ClientGone: the client has left.
        """
        self._ticket = Ticket(
            partial(self._run, answers), self._client, self._ended, time.perf_counter(), self._deadline_seconds,
            self._tenant,
        )  # fmt: skip
        self._admission.enter(self._ticket)
        self._client.when_gone = self._client_left

    def _run(self, answers: Callable[[], Generator[_T, None, None]]) -> None:
        self.start_seconds = time.perf_counter()
        try:
            self._channel.write_all(answers())
        except ServingError:
            raise
        except BaseException as error:
            _LOG.exception("The model failed")
            raise InferenceFailed(f"The model failed: {type(error).__name__}.") from error
        finally:
            self.seconds = time.perf_counter() - self.start_seconds

    def _ended(self, result: Any) -> None:
        self._channel.end(result if isinstance(result, BaseException) else None)

    def _client_left(self) -> None:
        self._stop(ClientGone())

    def _stop(self, error: BaseException | None = None) -> None:
        self._channel.abandon(error)
        if self._ticket is not None:
            self._admission.give_up(self._ticket)

    async def answers(self) -> AsyncGenerator[_T, None]:
        """The answers; close it to stop the model.

        Raises:
            DeadlineExceeded: the deadline came first.
            ClientGone: the client left.
            ServingError: what the model raised.
        """
        try:
            async with contextlib.aclosing(self._channel.read(self._deadline_seconds)) as items:
                async for item in items:
                    yield item
        finally:
            self._stop()
