"""A bounded load: clients that each send the next request when the last was answered, in a thread of their own.

In: where to, what, how many at once, for how long at most. Out: the status codes, counted, and what failed otherwise.
`replay` sends at times that were fixed beforehand instead, whether or not earlier requests were answered.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass(slots=True)
class Outcome:
    """What came back so far; complete once the load has ended."""

    codes: Counter[int] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0


@contextmanager
def load(
    url: str, body: Mapping[str, Any], headers: Mapping[str, str], *, clients: int, at_most_seconds: float
) -> Iterator[Outcome]:
    """Sends `body` as JSON to `url` from `clients` at once until the block is left, or `at_most_seconds` passed."""
    outcome, stop = Outcome(), threading.Event()
    deadline = time.monotonic() + at_most_seconds

    async def one(client: httpx.AsyncClient) -> None:
        while not stop.is_set() and time.monotonic() < deadline:
            started = time.monotonic()
            try:
                answer = await client.post(url, json=body, headers=dict(headers))
            except httpx.HTTPError as error:
                outcome.errors.append(repr(error))
                await asyncio.sleep(0.1)
            else:
                outcome.codes[answer.status_code] += 1
                outcome.slowest_seconds = max(outcome.slowest_seconds, time.monotonic() - started)

    async def all_of_them() -> None:
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=clients)) as client:
            await asyncio.gather(*(one(client) for _ in range(clients)))

    thread = threading.Thread(target=asyncio.run, args=(all_of_them(),), name="load", daemon=True)
    thread.start()
    try:
        yield outcome
    finally:
        stop.set()
        thread.join(timeout=70)


@dataclass(slots=True)
class Replayed(Outcome):
    """What came back of a replay.

    Attributes:
        began_at: time.monotonic() at second 0 of the arrivals.
        late_seconds: how much later than planned a request was sent at most: this machine's own trouble.
    """

    began_at: float = 0.0
    late_seconds: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)

    def wait(self, at_most_seconds: float) -> None:
        """Wait until all is answered, or the time is over."""
        self.ended.wait(at_most_seconds)


@contextmanager
def replay(
    url: str, body: Mapping[str, Any], headers: Mapping[str, str], arrivals: Sequence[float]
) -> Iterator[Replayed]:
    """Sends `body` at each of `arrivals` (seconds from now on, sorted)."""
    outcome = Replayed(began_at=time.monotonic())

    async def one(client: httpx.AsyncClient) -> None:
        try:
            answer = await client.post(url, json=body, headers=dict(headers))
        except httpx.HTTPError as error:
            outcome.errors.append(repr(error))
        else:
            outcome.codes[answer.status_code] += 1

    async def all_of_them() -> None:
        unlimited = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        async with httpx.AsyncClient(timeout=60, limits=unlimited) as client, asyncio.TaskGroup() as group:
            for arrival in arrivals:
                wait_seconds = outcome.began_at + arrival - time.monotonic()
                await asyncio.sleep(max(0.0, wait_seconds))
                outcome.late_seconds = max(outcome.late_seconds, -wait_seconds)
                group.create_task(one(client))
        outcome.ended.set()

    thread = threading.Thread(target=asyncio.run, args=(all_of_them(),), name="replay", daemon=True)
    thread.start()
    yield outcome
    thread.join(timeout=70)
