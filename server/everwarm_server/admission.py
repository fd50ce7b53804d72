"""Calls in; at most `slots` of them run at once, in threads, the next wait in order, the rest are refused."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from everwarm_server.errors import Overloaded

T = TypeVar("T")


class Client(Protocol):
    """Who sent a request."""

    gone: bool
    """Whether the client has closed its connection."""
    when_gone: Callable[[], None] | None
    """Called when the client closes its connection; whoever waits sets it and takes it back."""


class ClientGone(Exception):
    """The client closed its connection before its request ran, so it never did."""


class _Ticket(Generic[T]):
    """A call, and the future of its result. Whoever claims it first, a thread or the one who gives up, has it."""

    __slots__ = ("_free", "call", "done")

    def __init__(self, call: Callable[[], T], done: "asyncio.Future[T]") -> None:
        self.call = call
        self.done = done
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
        self._tickets: queue.SimpleQueue[_Ticket[Any] | None] = queue.SimpleQueue()
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

    async def run(self, call: Callable[[], T], client: Client) -> T:
        """The result of a call, which raises what the call raises.

        Whoever is cancelled, or whose client leaves, before its turn gives up its place, and the call never runs.

        Raises:
            Overloaded: too many wait already.
            ClientGone: the client left before the call ran.
        """
        if client.gone:
            raise ClientGone
        if self._inside >= self._limit:
            raise Overloaded(f"{self.waiting} requests wait for this replica already; try again later.")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        ticket = _Ticket(call, done)
        self._inside += 1
        self._tickets.put(ticket)

        def give_up() -> None:
            if ticket.claim():
                self._inside -= 1
                if not done.done():
                    done.set_exception(ClientGone())

        client.when_gone = give_up
        try:
            return await done
        except asyncio.CancelledError:
            give_up()
            raise
        finally:
            client.when_gone = None

    def close(self) -> None:
        """Let each thread end when what waits is done."""
        for _ in range(self._slots):
            self._tickets.put(None)

    def _work(self) -> None:
        while (ticket := self._tickets.get()) is not None:
            if ticket.claim():
                result, error = None, None
                try:
                    result = ticket.call()
                except BaseException as raised:  # noqa: BLE001 - the one who waits gets it
                    error = raised
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                    ticket.done.get_loop().call_soon_threadsafe(self._finish, ticket, result, error)
                del result, error
            del ticket  # it holds a request, and the next may be hours away

    def _finish(self, ticket: _Ticket[Any], result: Any, error: BaseException | None) -> None:
        self._inside -= 1
        if ticket.done.done():
            return
        if error is None:
            ticket.done.set_result(result)
        else:
            ticket.done.set_exception(error)
