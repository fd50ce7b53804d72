"""Requests in; those that may wait for one of `slots` threads, fairly between tenants; the rest are refused at once.

Why one may be refused, and what it is told:

- the queue is full (503), or fuller of its tenant than of room for others (429): `QUEUE_FULL`, `TENANT`;
- it would wait, by what batches cost, until after its deadline (504): `DEADLINE`;
- latency rises above what it was, and as many are inside as keep it (503; off by default): `LIMIT`.

`Retry-After` is how long what waits will take, by the measured cost of batches.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from everwarm_server.batching.compute import Computed, Run
from everwarm_server.batching.former import Batch
from everwarm_server.batching.options import Options
from everwarm_server.batching.policy import Batching
from everwarm_server.batching.workers import Workers
from everwarm_server.errors import DeadlineExceeded, Overloaded, TooManyRequests
from everwarm_server.gradient import Gradient
from everwarm_server.tickets import Client, ClientGone, Done, Part, Parts, Ticket, late

__all__ = ["Admission", "Client", "ClientGone", "Done", "Observer", "QueueLimits", "Ticket"]

QUEUE_FULL: Final = "queue_full"
TENANT: Final = "tenant"
DEADLINE: Final = "deadline"
LIMIT: Final = "limit"
REFUSALS: Final = (QUEUE_FULL, TENANT, DEADLINE, LIMIT)
LONGEST_RETRY_SECONDS: Final = 60.0
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Who may be in the queue of one model.

    Attributes:
        tenant_share: of the queue that one tenant may fill while no other is here. As others come it may fill less:
            of what is free, share / (1 - share) times as much (Choudhury and Hahne: Dynamic queue length thresholds,
            IEEE/ACM Transactions on Networking 1998). Requests without a tenant are not held to it.
        adaptive: whether the number inside is learned from latency.
    """

    tenant_share: float = 0.8
    adaptive: bool = False


DEFAULT_LIMITS: Final = QueueLimits()


class Observer(Protocol):
    """Who counts what happens here."""

    def refused(self, reason: str) -> None:
        """A request was refused, by one of REFUSALS."""

    def expired(self) -> None:
        """A request waited until after its deadline."""

    def batch(self, rows: int, reason: str, seconds: float) -> None:
        """A batch was computed."""


class Nobody:
    """Counts nothing."""

    def refused(self, reason: str) -> None:
        """See Observer."""

    def expired(self) -> None:
        """See Observer."""

    def batch(self, rows: int, reason: str, seconds: float) -> None:
        """See Observer."""


class Admission:
    """The way to the threads of one model. Its methods belong to the event loop.

    Attributes:
        finished: called with each ticket that had a thread, and its result, before its own `done`.
    """

    def __init__(
        self,
        slots: int,
        queue_size: int,
        batching: Batching | None = None,
        observer: Observer | None = None,
        limits: QueueLimits = DEFAULT_LIMITS,
    ) -> None:
        self.batching = batching or Batching(Options(mode="off"))
        self.gradient = Gradient(slots, slots + queue_size) if limits.adaptive else None
        self._queue_size = queue_size
        self._limits = limits
        self._slots = slots
        self._inside = 0
        self._observer: Observer = observer or Nobody()
        self.finished: Callable[[Ticket, Any], None] = lambda *_: None
        self._workers: Workers[Ticket] = Workers(slots, self.batching, self._compute, self)

    @property
    def running(self) -> int:
        """Batches that are computed."""
        return self._workers.running

    @property
    def waiting(self) -> int:
        """Requests, and parts of some, that wait."""
        return self._workers.former.count

    @property
    def waiting_rows(self) -> int:
        """Rows of all that wait."""
        return self._workers.former.rows

    @property
    def has_free_slot(self) -> bool:
        """Whether a call would run at once; the loop's thread may then run one itself."""
        return self._workers.idle > 0 and not self._workers.former.count

    def check(self, more: int = 0) -> None:
        """See that another call may come, where `more` calls wait elsewhere.

        Raises:
            Overloaded: too many wait already.
        """
        workers = self._workers
        waiting = workers.former.count + more
        if waiting - workers.idle >= self._queue_size:
            self._refuse(QUEUE_FULL)
            raise Overloaded(
                f"{waiting} requests wait for this replica already; try again later.", self._retry_seconds()
            )

    def check_ticket(self, ticket: Ticket) -> None:
        """See that a request may wait.

        Raises:
            Overloaded, TooManyRequests, DeadlineExceeded: it may not.
        """
        self.check()
        if self._workers.idle and not self._workers.former.count:
            return
        if ticket.tenant:
            self.check_tenant(ticket.tenant)
        if self.gradient is not None and self._inside >= self.gradient.limit:
            self._refuse(LIMIT)
            raise Overloaded(
                f"{self._inside} requests are here already, and more would make all of them slow; try again later.",
                self._retry_seconds(),
            )
        if ticket.deadline_seconds < math.inf:
            self._check_deadline(ticket)

    def check_tenant(self, tenant: str, here: int = 0, more: int = 0) -> None:
        """See that another call of a tenant may come, where `more` calls wait elsewhere, `here` of them its own.

        Raises:
            TooManyRequests: too many of its calls wait already.
        """
        share, own = self._limits.tenant_share, self._workers.former.of_tenant(tenant) + here
        free = self._queue_size + self._workers.idle - self._workers.former.count - more
        if own * (1 - share) > free * share - 1e-9:
            self._refuse(TENANT)
            raise TooManyRequests(
                f"{own} of your requests wait for this replica already, and the rest of its queue is for others; try "
                "again later.",
                self._retry_seconds(),
            )

    def _check_deadline(self, ticket: Ticket) -> None:
        # While a thread is idle nobody comes here, so an estimate that was too high is corrected.
        waits_seconds = self.batching.busy_seconds(self._workers.rows_before(ticket)) / self._slots
        if time.perf_counter() + waits_seconds + self.batching.cost.seconds(ticket.rows) > ticket.deadline_seconds:
            self._refuse(DEADLINE)
            raise DeadlineExceeded(
                f"This request would wait {waits_seconds:.3g} s for its turn and miss its deadline; try again later.",
                self._retry_seconds(),
            )

    def _refuse(self, reason: str) -> None:
        self._observer.refused(reason)

    def _retry_seconds(self) -> float:
        seconds = self.batching.busy_seconds(self._workers.former.rows) / self._slots
        return min(max(1.0, seconds), LONGEST_RETRY_SECONDS)

    def submit(self, call: Callable[[], Any], client: Client, done: Done) -> Ticket:
        """Let a thread make a call; `done` is called once on the loop with its result, or with what it raised.

        If the client leaves before its turn the call never runs, and `done` gets ClientGone.

        Raises:
            Overloaded: too many wait already.
            ClientGone: the client has left.
        """
        ticket = Ticket(call, client, done, time.perf_counter())
        self.enter(ticket)
        return ticket

    def enter(self, ticket: Ticket) -> None:
        """Let a request, or its parts if it has any, wait for a thread.

        Raises:
            Overloaded, TooManyRequests, DeadlineExceeded: it may not; see the module.
            ClientGone: the client has left.
        """
        if ticket.client.gone:
            raise ClientGone
        self.batching.prepare(ticket)
        self.check_ticket(ticket)
        self._inside += 1
        self.batching.arrived(ticket.arrived_seconds)
        pieces = self.batching.pieces(ticket)
        if pieces:
            Parts(ticket, self.give_up, self.finish).make(pieces, self.batching.infer)
        ticket.client.when_gone = partial(self.give_up, ticket)
        for one in ticket.parts or (ticket,):
            self._workers.add(one)

    def give_up(self, ticket: Ticket) -> None:
        """Leave the queue; does nothing for a call that runs or has run."""
        for one in tuple(ticket.parts) or (ticket,):
            if self._workers.remove(one):
                self._end(one, ClientGone())

    def close(self) -> None:
        """Let each thread end when what waits is done."""
        self._workers.close()

    def _compute(self, batch: Batch[Ticket]) -> Computed:
        try:
            computed = self.batching.compute(batch)
            for ticket, result in zip(batch.items, computed.results, strict=True):
                if isinstance(ticket, Part) and isinstance(result, Run):
                    ticket.computed(result)
            return computed
        except BaseException as error:  # noqa: BLE001 - those who wait get it, and the thread lives on
            return Computed([error] * len(batch.items), 0.0, 1)

    def ended(self, batch: Batch[Ticket], computed: Computed) -> None:
        """A batch is computed; told by the workers."""
        self.batching.computed(batch, computed, self._workers.former.count)
        if batch.items[0].bucket is not None:
            self._observer.batch(batch.rows, batch.reason, computed.seconds)
        for ticket, result in zip(batch.items, computed.results, strict=True):
            self._end(ticket, result)

    def expired(self, jobs: Sequence[Ticket]) -> None:
        """Some waited too long; told by the workers."""
        for ticket in jobs:
            self._observer.expired()
            self._end(ticket, late())

    def _end(self, ticket: Ticket, result: Any) -> None:
        if isinstance(ticket, Part):
            ticket.done(result)
        else:
            self.finish(ticket, result)

    def finish(self, ticket: Ticket, result: Any) -> None:
        """A request is over, or all its parts are: whoever waits gets the result."""
        if self.gradient is not None and isinstance(result, Run):
            self.gradient.ended(result.end - ticket.arrived_seconds, self._inside, result.end)
        self._inside -= 1
        ticket.client.when_gone = None
        self.finished(ticket, result)
        try:
            ticket.done(result)
        except Exception:  # noqa: BLE001 - the others of its batch wait for theirs
            _LOG.exception("An answer could not be given")
