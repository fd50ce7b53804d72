"""Jobs in from the event loop; threads that take them batch by batch; what came of each batch back on the loop.

A thread that is done takes the next batch by itself, without asking the loop: that saves the hand-overs of the
interpreter's lock that make up a quarter of a small request. While all threads are idle the loop makes the batch, at
the end of its turn, so that what arrived together is computed together. Nobody polls: idle threads wait for a queue.
"""

import asyncio
import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from everwarm_server.batching.compute import Computed, Job
from everwarm_server.batching.former import Batch, Former, Rules

TIMER_SECONDS: Final = 0.001  # uvloop's timers know no less
_J = TypeVar("_J", bound=Job)


class Events(Protocol[_J]):
    """What the loop is told. All of it on its own thread."""

    def ended(self, batch: Batch[_J], computed: Computed) -> None:
        """A batch is computed."""

    def expired(self, jobs: Sequence[_J]) -> None:
        """Jobs waited until their deadline was over."""


class Workers(Generic[_J]):
    """The threads of one model, and what waits for them. Its methods belong to the event loop.

    Args:
        slots: threads.
        rules: of the batches.
        compute: computes a batch on a thread; never raises.
        events: who is told on the loop.

    Attributes:
        former: what waits; for looking at its counts.
        idle: threads that compute nothing.
    """

    def __init__(self, slots: int, rules: Rules, compute: Callable[[Batch[_J]], Computed], events: Events[_J]) -> None:
        self.idle = slots
        self._slots = slots
        self._compute = compute
        self._events = events
        self._lock = threading.Lock()
        self.former: Former[_J] = Former(rules)
        self._batches: queue.SimpleQueue[Batch[_J] | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._will_dispatch = False
        self._has_deadlines = False
        self._timer: asyncio.TimerHandle | None = None
        self._wake_seconds = math.inf
        for index in range(slots):
            threading.Thread(target=self._work, name=f"everwarm-inference-{index}", daemon=True).start()

    @property
    def running(self) -> int:
        """Batches that have a thread."""
        return self._slots - self.idle

    def rows_before(self, job: _J) -> int:
        """Rows that are computed before a job that would come now."""
        with self._lock:
            return self.former.rows_before(job)

    def add(self, job: _J) -> None:
        """Compute a job; with others, if it has a bucket."""
        with self._lock:
            self.former.add(job)
            idle = self.idle
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        if job.deadline_seconds < math.inf:
            self._has_deadlines = True
            if job.deadline_seconds < self._wake_seconds:
                self._wake_at(job.deadline_seconds, time.perf_counter())
        if not idle or self._will_dispatch:
            return
        if job.bucket is None:
            self._dispatch()
        else:
            self._will_dispatch = True
            self._loop.call_soon(self._dispatch)

    def remove(self, job: _J) -> bool:
        """Give a job up; false: it does not wait here any more."""
        with self._lock:
            waited = self.former.remove(job)
        if waited:
            self._go_on()
        return waited

    def close(self) -> None:
        """Let each thread end when what waits is done."""
        with self._lock:
            self.former.hurry = True
        self._go_on()
        for _ in range(self._slots):
            self._batches.put(None)

    def _go_on(self) -> None:
        if self.idle and self.former.count and not self._will_dispatch:
            self._dispatch()

    def _dispatch(self) -> None:
        """Give what may be taken to idle threads; wake again for what may be later."""
        self._will_dispatch = False
        now = time.perf_counter()
        with self._lock:
            wake = self.former.expire(now) if self._has_deadlines else math.inf
            self._has_deadlines = wake < math.inf
            while self.idle and (batch := self.former.take(now)) is not None:
                self.idle -= 1
                self._batches.put(batch)
            if self.idle:
                wake = min(wake, self.former.due_seconds())
            expired = self.former.expired()
        self._wake_at(wake, now)
        if expired:
            self._events.expired(expired)

    def _wake_at(self, seconds: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake_seconds = seconds
        if seconds < math.inf and self._loop is not None:
            self._timer = self._loop.call_later(max(TIMER_SECONDS, seconds - now), self._dispatch)

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            following: Batch[_J] | None = batch
            del batch  # it holds requests, and the next may be hours away
            while following is not None:
                following = self._compute_and_take(following)

    def _compute_and_take(self, batch: Batch[_J]) -> Batch[_J] | None:
        computed = self._compute(batch)
        with self._lock:
            self.former.done(batch.items)
            following = self.former.take(time.perf_counter())
            if following is None:
                self.idle += 1
            # Told before another thread can take the next of a stream, and so before it can end.
            self._tell(batch, computed, self.former.expired())
        return following

    def _tell(self, batch: Batch[_J], computed: Computed, expired: Sequence[_J]) -> None:
        if self._loop is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._ended, batch, computed, expired)

    def _ended(self, batch: Batch[_J], computed: Computed, expired: Sequence[_J]) -> None:
        if expired:
            self._events.expired(expired)
        self._events.ended(batch, computed)
        self._go_on()  # what waits for more, or was freed by a stream
