"""A request that waits or is computed, with the client that waits for it; or one part of a request with many rows."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

from everwarm_server.batching.compute import Infer, Job, Run, Whole
from everwarm_server.errors import DeadlineExceeded
from everwarm_server.protocol.tensors import Array

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
Done: TypeAlias = Callable[[Any], None]


class Client(Protocol):
    """Who sent a request."""

    gone: bool
    """Whether the client has closed its connection."""
    when_gone: Callable[[], None] | None
    """Called when the client closes its connection; whoever waits sets it and takes it back."""


class ClientGone(Exception):
    """The client closed its connection before its request ran, so it never did."""


def late() -> DeadlineExceeded:
    """What is said to whom a deadline passed in the queue."""
    return DeadlineExceeded("The deadline of this request passed while it waited for its turn.")


class Ticket(Job):
    """One request. `done` is called once, on the loop: with its result, or with what it raised.

    Attributes:
        parts: what it is computed as, if not whole.
    """

    __slots__ = ("client", "done", "input_bytes", "parts")

    def __init__(
        self,
        call: Callable[[], Any],
        client: Client,
        done: Done,
        arrived_seconds: float,
        deadline_seconds: float = math.inf,
        tenant: str = "",
    ) -> None:
        # Not by super().__init__(): this is done for each request, and the number is the former's to set.
        self.call, self.client, self.done = call, client, done
        self.arrived_seconds, self.deadline_seconds, self.tenant = arrived_seconds, deadline_seconds, tenant
        self.inputs, self.parameters, self.input_bytes = _NOTHING, _NOTHING, 0
        self.rows, self.bucket, self.stream, self.waits = 1, None, None, False
        self.parts: Sequence[Part] = ()

    def unwanted(self, now_seconds: float) -> BaseException | None:
        """Why nobody waits for the result any more; None: somebody does."""
        if self.client.gone:
            return ClientGone()
        return late() if self.deadline_seconds <= now_seconds else None


class Part(Ticket):
    """Some rows of a request."""

    __slots__ = ("_parts", "_place")

    def __init__(self, parts: "Parts", place: slice, inputs: Mapping[str, Array], infer: Infer) -> None:
        of = parts.of
        call = partial(infer, inputs, of.parameters)
        super().__init__(call, of.client, parts.ended, of.arrived_seconds, of.deadline_seconds, of.tenant)
        self.rows, self.bucket, self.stream = place.stop - place.start, of.bucket, of.stream
        self.inputs, self.parameters = inputs, of.parameters
        self._parts, self._place = parts, place

    def computed(self, run: Run) -> None:
        """Its outputs are there: put them where they belong. On a worker's thread."""
        if run.error is None:
            self._parts.whole.put(self._place, run)


class Parts:
    """Gathers what came of the parts of one request, on the loop. The first failure is that of the request.

    Args:
        of: the request.
        give_up: takes its parts that still wait out of the queue.
        finish: is given it and its result when all parts have ended.
    """

    def __init__(self, of: Ticket, give_up: Callable[[Ticket], None], finish: Callable[[Ticket, Any], None]) -> None:
        self.of = of
        self.whole = Whole(of.rows)
        self._give_up = give_up
        self._finish = finish
        self._left = 0
        self._busy_seconds = 0.0
        self._run: Run | None = None
        self._failed: Any = None

    def make(self, pieces: Sequence[tuple[slice, dict[str, Array]]], infer: Infer) -> None:
        """Make the parts of these rows."""
        self.of.parts = [Part(self, place, inputs, infer) for place, inputs in pieces]
        self._left = len(self.of.parts)

    def ended(self, result: Any) -> None:
        """One of them has ended."""
        self._left -= 1
        if not isinstance(result, Run) or result.error is not None:
            is_first = self._failed is None
            self._failed = result if is_first else self._failed
            if is_first and self._left:
                self._give_up(self.of)  # ends those that wait, and so comes here again
                return
        else:
            self._merge(result)
        if not self._left:
            self.of.parts = ()
            self._finish(self.of, self._run if self._failed is None else self._failed)

    def _merge(self, part: Run) -> None:
        run = self._run = self._run or part
        self._busy_seconds += (part.end - part.start) * part.share
        run.start, run.end = min(run.start, part.start), max(run.end, part.end)
        if not self._left:
            run.share = self._busy_seconds / max(run.end - run.start, 1e-9)
