"""Requests in, the next batch out. Sans-I/O: no threads, no clock; time is an argument, in seconds of any one clock.

Work-conserving: whoever is free takes what waits, up to the maximum; only with patience (see `Rules`) an idle
instance waits for more. Rows are counted, not requests. What differs in its bucket (shapes, datatypes, parameters) is
never in one batch. Whose turn it is: tenants.py. What is over its deadline is given back instead of being computed.

The requests of one stream (the frames of a video) are taken in the order in which they came. While one of them is
computed those behind it wait, but some that follow each other may be in one batch.
"""

import heapq
import math
from collections import deque
from collections.abc import Hashable, Iterable
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from everwarm_server.batching.tenants import Item, Tenant, Tenants

FULL, IDLE, DELAY, ALONE = "full", "idle", "delay", "alone"  # why a batch was closed
REASONS = (FULL, IDLE, DELAY, ALONE)
_T = TypeVar("_T", bound=Item)


class Rules(Protocol):
    """How large batches are, and what they wait for. May change from batch to batch."""

    @property
    def max_rows(self) -> int:
        """Rows in one batch at most; a single item may have more."""

    def patience_seconds(self, rows: int) -> float:
        """How long after its first item came a batch of so many rows waits for more while an instance is idle."""


class Batch(NamedTuple, Generic[_T]):
    """What is computed together.

    Attributes:
        items: in the order of their rows.
        rows: of all together.
        reason: one of REASONS.
    """

    items: list[_T]
    rows: int
    reason: str


class _Bucket:
    __slots__ = ("rows", "since_seconds")

    def __init__(self, since_seconds: float) -> None:
        self.rows = 0
        self.since_seconds = since_seconds


class _Stream(Generic[_T]):
    __slots__ = ("running", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[_T] = deque()
        self.running = 0


class Former(Generic[_T]):
    """Holds what waits. Not safe for threads.

    Attributes:
        count: items that wait.
        rows: of all of them.
        hurry: whether nothing is waited for any more.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.hurry = False
        self.count = self.rows = 0
        self._by_tenant: dict[str, int] = {}
        self._number = 0
        self._tenants = Tenants()
        self._buckets: dict[Hashable, _Bucket] = {}
        self._streams: dict[tuple[str, Hashable], _Stream[_T]] = {}
        self._expired: list[_T] = []

    def of_tenant(self, tenant: str) -> int:
        """Items of a tenant that wait."""
        return self._by_tenant.get(tenant, 0)

    def rows_before(self, item: _T) -> int:
        """Rows that are computed before an item that would come now, if the other tenants want as much as its own."""
        tenants = len(self._tenants) + (not self.of_tenant(item.tenant))
        return min(self.rows, (self._tenants.ahead_rows(item) + item.rows) * tenants - item.rows)

    def add(self, item: _T) -> None:
        """It waits from now on."""
        self._number += 1
        item.number, item.waits = self._number, True
        self.rows += item.rows
        self.count += 1
        self._by_tenant[item.tenant] = self._by_tenant.get(item.tenant, 0) + 1
        if item.stream is not None:
            stream = self._streams.setdefault((item.tenant, item.stream), _Stream())
            stream.waiting.append(item)
            if stream.running or len(stream.waiting) > 1:
                return
        self._may_be_taken(item)

    def _may_be_taken(self, item: _T) -> None:
        self._tenants.add(item)
        if item.bucket is None:
            return
        bucket = self._buckets.get(item.bucket)
        if bucket is None:
            bucket = self._buckets[item.bucket] = _Bucket(item.arrived_seconds)
        bucket.rows += item.rows
        bucket.since_seconds = min(bucket.since_seconds, item.arrived_seconds)

    def remove(self, item: _T) -> bool:
        """Give an item up; false: it does not wait here any more."""
        if not item.waits:
            return False
        stream = None if item.stream is None else self._streams[item.tenant, item.stream]
        if stream is None:
            self._leaves(item)
        elif stream.waiting[0] is item and not stream.running:
            stream.waiting.popleft()
            self._leaves(item)
            self._next_of(item, stream)
        else:
            stream.waiting.remove(item)
            self._waits_no_more(item)
        return True

    def _leaves(self, item: _T) -> None:
        """Out of what may be taken."""
        self._waits_no_more(item)
        self._tenants.left(item)
        if item.bucket is not None:
            bucket = self._buckets[item.bucket]
            bucket.rows -= item.rows
            if not bucket.rows:
                del self._buckets[item.bucket]

    def _waits_no_more(self, item: _T) -> None:
        item.waits = False
        self.rows -= item.rows
        self.count -= 1
        left = self._by_tenant[item.tenant] - 1
        if left:
            self._by_tenant[item.tenant] = left
        else:
            del self._by_tenant[item.tenant]

    def _next_of(self, item: _T, stream: _Stream[_T]) -> None:
        if stream.running:
            return
        if stream.waiting:
            self._may_be_taken(stream.waiting[0])
        else:
            del self._streams[item.tenant, item.stream]

    def done(self, items: Iterable[_T]) -> None:
        """Items that were taken have ended: their streams go on."""
        for item in items:
            if item.stream is not None:
                stream = self._streams[item.tenant, item.stream]
                stream.running -= 1
                self._next_of(item, stream)

    def expired(self) -> list[_T]:
        """What take() and expire() found over its deadline since this was last asked."""
        found, self._expired = self._expired, []
        return found

    def expire(self, now_seconds: float) -> float:
        """Give up what may be taken and is over its deadline; the next deadline, infinite if there is none."""
        while True:
            earliest, known = math.inf, len(self._expired)
            for tenant in self._tenants.by_turn():
                for bucket in list(tenant.heaps):
                    first = self._unexpired(tenant, bucket, now_seconds)
                    if first is not None:
                        earliest = min(earliest, first.deadline_seconds)
            if len(self._expired) == known:  # else the next of a stream may have come where this had looked before
                return earliest

    def _unexpired(self, tenant: Tenant, bucket: Hashable | None, now_seconds: float) -> _T | None:
        """The first item of a bucket of a tenant; those before it that are over their deadline are given up."""
        while True:
            first: _T | None = tenant.first(bucket)
            if first is None or first.deadline_seconds > now_seconds:
                return first
            self.remove(first)
            self._expired.append(first)

    def take(self, now_seconds: float) -> Batch[_T] | None:
        """The next batch; None: nothing that may be taken waits, or it is worth waiting for more."""
        known = -1
        while known < len(self._expired):  # the next of a stream may come where this has looked before
            known = len(self._expired)
            batch = self._next(now_seconds)
            if batch is not None:
                return batch
        return None

    def _next(self, now_seconds: float) -> Batch[_T] | None:
        for tenant in self._tenants.by_turn():
            head: _T | None = None
            for bucket in list(tenant.heaps):
                item = self._unexpired(tenant, bucket, now_seconds)
                if item is None or (head is not None and not item.is_before(head)):
                    continue
                if self._due_seconds(bucket) <= now_seconds:
                    head = item
            if head is not None:
                return self._filled(head, tenant, now_seconds)
        return None

    def due_seconds(self) -> float:
        """When take() has something to give that waits for more; infinite: nothing does."""
        return min(map(self._due_seconds, self._buckets), default=math.inf)

    def _due_seconds(self, key: Hashable | None) -> float:
        if key is None or self.hurry:
            return -math.inf
        bucket = self._buckets[key]
        if bucket.rows >= self.rules.max_rows:
            return -math.inf
        patience_seconds = self.rules.patience_seconds(bucket.rows)
        if patience_seconds <= 0:
            return -math.inf
        firsts = (tenant.first(key) for tenant in self._tenants.by_turn())
        deadline_seconds = min((item.deadline_seconds for item in firsts if item is not None), default=math.inf)
        # Half of what is left is for the computation.
        return min(bucket.since_seconds + patience_seconds, (bucket.since_seconds + deadline_seconds) / 2)

    def _filled(self, head: _T, tenant: Tenant, now_seconds: float) -> Batch[_T]:
        key, filling = head.bucket, _Filling()
        if key is None:
            self._take(head, tenant, filling, now_seconds)
            return Batch(filling.items, filling.rows, ALONE)
        patient = not self.hurry and self.rules.patience_seconds(self._buckets[key].rows) > 0
        self._take(head, tenant, filling, now_seconds)
        turns = [(one.start_tag, n, one) for n, one in enumerate(self._tenants.by_turn())]
        while turns and filling.rows < self.rules.max_rows:
            _, n, one = turns[0]
            item = self._unexpired(one, key, now_seconds)
            if item is not None and filling.rows + item.rows <= self.rules.max_rows:
                self._take(item, one, filling, now_seconds)
                heapq.heapreplace(turns, (one.start_tag, n, one))
            else:
                filling.is_full |= item is not None
                heapq.heappop(turns)
        if patient and key in self._buckets:
            self._first_came_anew(key)
        is_full = filling.is_full or filling.rows >= self.rules.max_rows
        return Batch(filling.items, filling.rows, FULL if is_full else DELAY if patient else IDLE)

    def _take(self, item: _T, tenant: Tenant, filling: "_Filling", now_seconds: float) -> None:
        """One item, and those of its stream that follow it and fit."""
        rows_before = filling.rows
        filling.add(item)
        if item.stream is not None:
            stream = self._streams[item.tenant, item.stream]
            stream.waiting.popleft()
            stream.running += 1
            if item.bucket is not None:
                self._followers(item, stream, filling, now_seconds)
        self._tenants.served(tenant, filling.rows - rows_before)
        self._leaves(item)

    def _followers(self, item: _T, stream: _Stream[_T], filling: "_Filling", now_seconds: float) -> None:
        while stream.waiting and stream.waiting[0].bucket == item.bucket:
            follower = stream.waiting[0]
            if follower.deadline_seconds <= now_seconds:
                self.remove(follower)
                self._expired.append(follower)
                continue
            if filling.rows + follower.rows > self.rules.max_rows:
                filling.is_full = True
                return
            stream.waiting.popleft()
            stream.running += 1
            self._waits_no_more(follower)
            filling.add(follower)

    def _first_came_anew(self, key: Hashable) -> None:
        items = (entry[2] for tenant in self._tenants.by_turn() for entry in tenant.heaps.get(key, ()))
        self._buckets[key].since_seconds = min(item.arrived_seconds for item in items if item.waits)


class _Filling:
    """A batch that is being filled."""

    __slots__ = ("is_full", "items", "rows")

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.rows = 0
        self.is_full = False

    def add(self, item: Item) -> None:
        self.items.append(item)
        self.rows += item.rows
