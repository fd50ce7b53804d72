"""Calls in; at most `slots` of them run at once, in threads, the next wait in order, the rest are refused."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeAlias

from everwarm_server.errors import Overloaded

Done: TypeAlias = Callable[[Any], None]


class Client(Protocol):
    """Who sent a request."""

    gone: bool
    """Whether the client has closed its connection."""
    when_gone: Callable[[], None] | None
    """Called when the client closes its connection; whoever waits sets it and takes it back."""


class ClientGone(Exception):
    """The client closed its connection before its request ran, so it never did."""


class Ticket:
    """A call that waits or runs. Whoever claims it first, a thread or the one who gives up, has it."""

    __slots__ = ("_free", "call", "client", "done", "loop")

    def __init__(self, call: Callable[[], Any], client: Client, done: Done, loop: asyncio.AbstractEventLoop) -> None:
        self.call = call
        self.client = client
        self.done = done
        self.loop = loop
        self._free = [True]

    def claim(self) -> bool:
        """Take it; true for one caller, whatever its thread: list.pop() is atomic."""
        try:
            return self._free.pop()
        except IndexError:
            return False


class Admission:
    """A bounded queue, first in, first out, before a number of threads. Its methods belong to the event loop.

    What waits lies in the threads' own queue: a thread that is done takes the next call without asking the loop, which
    saves the hand-overs of the interpreter's lock that made up a quarter of a small request. ThreadPoolExecutor would
    add a future with a condition to each call, and keep the process alive while a model is stuck.
    """

    def __init__(self, slots: int, queue_size: int) -> None:
        self._slots = slots
        self._limit = slots + queue_size
        self._inside = 0
        self._tickets: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        for index in range(slots):
            threading.Thread(target=self._work, name=f"everwarm-inference-{index}", daemon=True).start()

    @property
    def running(self) -> int:
        """Calls that have a slot."""
        return min(self._inside, self._slots)

    @property
    def waiting(self) -> int:
        """Calls that wait for one."""
        return max(0, self._inside - self._slots)

    @property
    def has_free_slot(self) -> bool:
        """Whether a call would run at once; the loop's thread may then run one itself."""
        return self._inside < self._slots

    def check(self, more: int = 0) -> None:
        """See that another call may come, where `more` calls wait elsewhere.

        Raises:
            Overloaded: too many wait already.
        """
        if self._inside + more >= self._limit:
            raise Overloaded(f"{self.waiting + more} requests wait for this replica already; try again later.")

    def submit(self, call: Callable[[], Any], client: Client, done: Done) -> Ticket:
        """Let a thread make a call; `done` is called once on the loop with its result, or with what it raised.

        If the client leaves before its turn the call never runs, and `done` gets ClientGone.

        Raises:
            Overloaded: too many wait already.
            ClientGone: the client has left.
        """
        if client.gone:
            raise ClientGone
        self.check()
        ticket = Ticket(call, client, done, asyncio.get_running_loop())
        self._inside += 1
        client.when_gone = partial(self.give_up, ticket)
        self._tickets.put(ticket)
        return ticket

    def give_up(self, ticket: Ticket) -> None:
        """Leave the queue; does nothing for a call that runs or has run."""
        if ticket.claim():
            self._end(ticket, ClientGone())

    def close(self) -> None:
        """Let each thread end when what waits is done."""
        for _ in range(self._slots):
            self._tickets.put(None)

    def _work(self) -> None:
        while (ticket := self._tickets.get()) is not None:
            if ticket.claim():
                try:
                    result = ticket.call()
                except BaseException as error:  # noqa: BLE001 - the one who waits gets it
                    result = error
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                    ticket.loop.call_soon_threadsafe(self._end, ticket, result)
                del result
            del ticket  # it holds a request, and the next may be hours away

    def _end(self, ticket: Ticket, result: Any) -> None:
        self._inside -= 1
        ticket.client.when_gone = None
        ticket.done(result)
