"""Which replica gets the next request: the least busy one with a free slot. Who finds none waits in order of arrival.

This is what Knative's activator does for a revision with a concurrency limit. No sockets here.
"""

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field


class QueueFull(Exception):
    """Too many requests wait already."""


class WaitedTooLong(Exception):
    """No slot became free before the request's deadline."""


@dataclass(eq=False, slots=True)
class Backend:
    """A replica as the gateway sees it; `busy` counts the requests it has now, `retired` ones never come back."""

    url: str
    busy: int = 0
    retired: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self) -> None:
        """One more request."""
        self.busy += 1
        self.idle.clear()

    def give(self) -> None:
        """One request less."""
        self.busy -= 1
        if self.busy == 0:
            self.idle.set()

    async def drained(self, wait_seconds: float) -> None:
        """Wait until it has no request, or for `wait_seconds`."""
        if self.busy > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.idle.wait(), wait_seconds)


class Dispatcher:
    """Slots of ready replicas, and the requests that wait for one. Used from one event loop."""

    def __init__(self, concurrency: int, queue_size: int) -> None:
        self._concurrency = concurrency
        self._queue_size = queue_size
        self._backends: list[Backend] = []
        self._waiting: deque[asyncio.Future[Backend]] = deque()

    @property
    def waiting(self) -> int:
        """Requests that hold for a slot."""
        return sum(not future.done() for future in self._waiting)

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The replicas that take requests now."""
        return tuple(self._backends)

    def add(self, backend: Backend) -> None:
        """Let a replica take requests; those that wait get its slots at once."""
        if backend not in self._backends:
            self._backends.append(backend)
            self._hand_out()

    def remove(self, backend: Backend) -> None:
        """Give the replica nothing new; what it has goes on. Unknown ones are no error."""
        if backend in self._backends:
            self._backends.remove(backend)

    async def acquire(self, wait_seconds: float) -> Backend:
        """Take a slot, waiting up to `wait_seconds` for one; `release` must follow.

        Raises:
            QueueFull: `queue_size` requests wait already.
            WaitedTooLong: none became free in time.
        """
        free = self._least_busy()
        if free is not None and not self.waiting:
            free.take()
            return free
        if self.waiting >= self._queue_size:
            raise QueueFull
        future: asyncio.Future[Backend] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            async with asyncio.timeout(wait_seconds):
                return await future
        except BaseException as error:
            self._give_up(future)
            if isinstance(error, TimeoutError):
                raise WaitedTooLong from None
            raise

    def release(self, backend: Backend) -> None:
        """Give a slot back; the request that waits longest gets it."""
        backend.give()
        self._hand_out()

    def _give_up(self, future: asyncio.Future[Backend]) -> None:
        """Forget a waiting request; a slot that it was given in the same instant goes to the next one."""
        if future.done() and not future.cancelled():
            self.release(future.result())
        elif future in self._waiting:
            self._waiting.remove(future)

    def _hand_out(self) -> None:
        while self._waiting:
            if self._waiting[0].done():
                self._waiting.popleft()
                continue
            free = self._least_busy()
            if free is None:
                return
            free.take()
            self._waiting.popleft().set_result(free)

    def _least_busy(self) -> Backend | None:
        free = [backend for backend in self._backends if backend.busy < self._concurrency]
        return min(free, key=lambda backend: backend.busy, default=None)
