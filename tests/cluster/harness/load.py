"""A bounded load: clients that each send the next request when the last was answered, in a thread of their own.

In: where to, what, how many at once, for how long at most. Out: the status codes, counted, and what failed otherwise.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
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
