"""Requests that want to run in; at most `slots` of them run, the next wait in order, the rest are refused.

For one event loop: nothing here is locked.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from everwarm_server.errors import Overloaded

ClientLeaves: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
"""Returns when the client has closed its connection."""


class ClientGone(Exception):
    """The client closed its connection before its request ran, so it never did."""


class Admission:
    """A bounded queue, first in, first out, before a number of slots."""

    def __init__(self, slots: int, queue_size: int) -> None:
        self._slots = slots
        self._queue_size = queue_size
        self._running = 0
        # Ordered, and a place in the middle can be given up at once.
        self._waiting: dict[asyncio.Future[None], None] = {}

    @property
    def running(self) -> int:
        """Requests that hold a slot."""
        return self._running

    @property
    def waiting(self) -> int:
        """Requests that wait for one."""
        return len(self._waiting)

    def try_enter(self) -> bool:
        """Take a slot if one is free and nobody waits; `leave` must follow."""
        if self._running < self._slots and not self._waiting:
            self._running += 1
            return True
        return False

    async def enter(self, client_leaves: ClientLeaves) -> None:
        """Wait for a slot and take it; `leave` must follow. Whoever is cancelled or leaves gives up its place.

        Raises:
            Overloaded: too many wait already.
            ClientGone: the client left meanwhile.
        """
        if self.try_enter():
            return
        if len(self._waiting) >= self._queue_size:
            raise Overloaded(f"{len(self._waiting)} requests wait for this replica already; try again later.")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        watcher = asyncio.ensure_future(client_leaves())
        watcher.add_done_callback(lambda _: None if turn.done() else turn.set_exception(ClientGone()))
        try:
            await turn
            if watcher.done():
                raise ClientGone
        except BaseException:
            # The turn may have come in the very step in which the client left.
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()
            raise
        finally:
            self._waiting.pop(turn, None)
            watcher.cancel()

    def leave(self) -> None:
        """Give the slot to the first who waits, or free it."""
        while self._waiting:
            turn = next(iter(self._waiting))
            del self._waiting[turn]
            if not turn.done():
                turn.set_result(None)
                return
        self._running -= 1
