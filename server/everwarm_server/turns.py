"""Inferences in, each run where it belongs: quick ones on the event loop, a turn of them at once, others in threads.

A turn is what arrived since the loop last looked at its connections. Its requests are decoded one after the other, then
inferred one after the other, then answered: so the code and the weights of each step are still in the CPU's caches from
the request before. One request from start to end, and then the next, takes 1.6 times as much CPU for an MLP of 800 kB.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from everwarm_server.admission import Admission, Client, ClientGone, Done, Ticket
from everwarm_server.placement import Placement

TURN_SECONDS: Final = 0.003  # then connections are looked at again, probes among them


class Run:
    """What an inference gave, and when it started and ended by time.perf_counter()."""

    __slots__ = ("cpu_seconds", "end", "error", "outputs", "start")

    def __init__(self) -> None:
        self.outputs: Mapping[str, Any] = {}
        self.error: Exception | None = None
        self.start = self.end = self.cpu_seconds = 0.0


class _Waiting:
    """A call that waits for its turn."""

    __slots__ = ("call", "client", "done", "input_bytes")

    def __init__(self, call: Callable[[], Run], input_bytes: int, client: Client, done: Done) -> None:
        self.call, self.input_bytes, self.client, self.done = call, input_bytes, client, done


class Turns:
    """Runs the calls of one model; first come, first run. Belongs to the event loop's thread."""

    def __init__(self, admission: Admission, placement: Placement) -> None:
        self._admission = admission
        self._placement = placement
        self._waiting: deque[_Waiting] = deque()

    def submit(self, call: Callable[[], Run], input_bytes: int, client: Client, done: Done) -> Ticket | None:
        """Run a call; `done` is called once on the loop, with its Run or with ClientGone or Overloaded.

        Returns:
            A ticket for giving up, if the call waits for a thread.

        Raises:
            Overloaded: too many wait already.
            ClientGone: the client has left.
        """
        if not self._waiting and not self._placement.here(input_bytes):
            return self._in_thread(call, input_bytes, client, done)
        self._admission.check(len(self._waiting))
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        self._waiting.append(_Waiting(call, input_bytes, client, done))
        return None

    def _turn(self) -> None:
        end = time.perf_counter() + TURN_SECONDS
        ran: list[tuple[_Waiting, Run]] = []
        while self._waiting and (not ran or ran[-1][1].end < end):
            one = self._waiting.popleft()
            run = self._run(one)
            if run is not None:
                ran.append((one, run))
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        for one, run in ran:
            one.done(run)

    def _run(self, one: _Waiting) -> Run | None:
        if one.client.gone:
            one.done(ClientGone())
            return None
        if self._admission.has_free_slot and self._placement.here(one.input_bytes):
            run = one.call()
            if not _wanted_own_loop(run.error):
                self._placement.ran_here(one.input_bytes, run.end - run.start)
                return run
            self._placement.never_again()
        try:
            self._in_thread(one.call, one.input_bytes, one.client, one.done)
        except Exception as error:  # noqa: BLE001 - the one who waits gets it
            one.done(error)
        return None

    def _in_thread(self, call: Callable[[], Run], input_bytes: int, client: Client, done: Done) -> Ticket:
        def timed() -> Run:
            cpu_seconds = time.thread_time()
            run = call()
            run.cpu_seconds = time.thread_time() - cpu_seconds
            return run

        def ended(run: Any) -> None:
            if isinstance(run, Run):
                self._placement.ran_in_thread(input_bytes, run.end - run.start, run.cpu_seconds)
            done(run)

        return self._admission.submit(timed, client, ended)


def _wanted_own_loop(error: Exception | None) -> bool:
    """Whether a model failed on the loop's thread because it runs an event loop itself, which it may in another."""
    return error is not None and isinstance(error.__cause__, RuntimeError) and "event loop" in str(error.__cause__)
