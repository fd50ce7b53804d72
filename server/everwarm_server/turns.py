"""Inferences in, each run where it belongs: quick ones on the event loop, a turn of them at once, others in threads.

A turn is what arrived since the loop last looked at its connections. Its requests are decoded one after the other, then
inferred one after the other, then answered: so the code and the weights of each step are still in the CPU's caches from
the request before. One request from start to end, and then the next, takes 1.6 times as much CPU for an MLP of 800 kB.
"""

import asyncio
import math
import time
from collections import deque
from typing import Any, Final

from everwarm_server.admission import Admission, ClientGone, Ticket
from everwarm_server.batching.compute import Run
from everwarm_server.placement import Placement
from everwarm_server.tickets import late

TURN_SECONDS: Final = 0.003  # then connections are looked at again, probes among them


class Turns:
    """Runs the calls of one model; first come, first run. Belongs to the event loop's thread."""

    def __init__(self, admission: Admission, placement: Placement) -> None:
        self._admission = admission
        self._placement = placement
        self._waiting: deque[Ticket] = deque()
        self._by_tenant: dict[str, int] = {}
        admission.finished = self._ran_in_thread

    def submit(self, ticket: Ticket) -> None:
        """Run its call; `done` of the ticket is called once on the loop: see Admission.enter().

        Raises:
            Overloaded, TooManyRequests, DeadlineExceeded: it is refused.
            ClientGone: the client has left.
        """
        if ticket.stream is not None or (not self._waiting and not self._placement.here(ticket.input_bytes)):
            # The order of a stream is kept among those that wait for threads.
            self._admission.enter(ticket)
            return
        self._admission.check(len(self._waiting))
        if ticket.tenant:
            here = self._by_tenant.get(ticket.tenant, 0)
            self._admission.check_tenant(ticket.tenant, here, len(self._waiting))
            self._by_tenant[ticket.tenant] = here + 1
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        self._waiting.append(ticket)

    def _turn(self) -> None:
        end = time.perf_counter() + TURN_SECONDS
        ran: list[tuple[Ticket, Run]] = []
        while self._waiting and (not ran or ran[-1][1].end < end):
            ticket = self._waiting.popleft()
            run = self._run(ticket)
            if run is not None:
                ran.append((ticket, run))
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        else:
            self._by_tenant.clear()
        for ticket, run in ran:
            ticket.done(run)

    def _run(self, ticket: Ticket) -> Run | None:
        if ticket.tenant:
            self._by_tenant[ticket.tenant] -= 1
        if ticket.client.gone:
            ticket.done(ClientGone())
            return None
        if ticket.deadline_seconds < math.inf and ticket.deadline_seconds <= time.perf_counter():
            ticket.done(late())
            return None
        if self._admission.has_free_slot and self._placement.here(ticket.input_bytes):
            run: Run = ticket.call()
            if not _wanted_own_loop(run.error):
                self._placement.ran_here(ticket.input_bytes, run.end - run.start)
                return run
            self._placement.never_again()
        try:
            self._admission.enter(ticket)
        except Exception as error:  # noqa: BLE001 - the one who waits gets it
            ticket.done(error)
        return None

    def _ran_in_thread(self, ticket: Ticket, result: Any) -> None:
        if isinstance(result, Run):
            self._placement.ran_in_thread(ticket.input_bytes, result.end - result.start, result.cpu_seconds)


def _wanted_own_loop(error: Exception | None) -> bool:
    """Whether a model failed on the loop's thread because it runs an event loop itself, which it may in another."""
    return error is not None and isinstance(error.__cause__, RuntimeError) and "event loop" in str(error.__cause__)
