"""What waits of each tenant, and whose turn it is: fair between tenants by rows, and within one who is due first.

Goyal, Vin, Cheng: Start-time Fair Queueing, SIGCOMM 1996: every tenant has a start tag, whoever has the smallest is
served next, and what it was served is added to its tag. So of two tenants that both wait, neither gets ahead of the
other by more than the most that each is served at once; and by one batch more, since others of the same bucket fill a
batch out of their turn, for which they pay by their tag. A tenant that comes (back) starts at the virtual time, the
start tag last served: it neither saves up what it did not use nor pays for what the others used alone.
"""

import heapq
import math
from collections.abc import Hashable
from typing import Any, Final

PATIENT_SECONDS: Final = 10.0  # after its arrival who names no deadline, or a later one, is taken to be due
COMPACT_ENTRIES: Final = 64  # fewer stale entries of heaps are not worth looking for
REMEMBERED_TENANTS: Final = 1024  # whose tags are kept while they have nothing here


class Item:
    """One request, or a part of one, that waits.

    Attributes:
        rows: what it counts for.
        bucket: what can be computed together has equal ones; None: this one is computed alone.
        tenant: whose it is.
        stream: within a tenant, items with equal ones are taken, and end, in the order they came; None: no matter.
        arrived_seconds: when it came.
        deadline_seconds: when it is of no more use, on the same clock.
        number: the order in which items came; set by the former.
        waits: whether it still waits; set by the former.
    """

    __slots__ = ("arrived_seconds", "bucket", "deadline_seconds", "number", "rows", "stream", "tenant", "waits")

    def __init__(
        self,
        arrived_seconds: float,
        deadline_seconds: float = math.inf,
        tenant: str = "",
    ) -> None:
        self.rows = 1
        self.bucket: Hashable | None = None
        self.tenant = tenant
        self.stream: Hashable | None = None
        self.arrived_seconds = arrived_seconds
        self.deadline_seconds = deadline_seconds
        self.number = 0
        self.waits = False

    @property
    def due_seconds(self) -> float:
        """When its turn should have come. Who is patient is not overtaken for ever by who is not."""
        return min(self.deadline_seconds, self.arrived_seconds + PATIENT_SECONDS)

    def is_before(self, other: "Item") -> bool:
        """Whether it is due earlier, or as early and came first."""
        return (self.due_seconds, self.number) < (other.due_seconds, other.number)


class Tenant:
    """The items of one tenant that may be taken."""

    __slots__ = ("_stale", "heaps", "ready", "start_tag")

    def __init__(self, start_tag: float) -> None:
        self.start_tag = start_tag
        self.ready = 0  # items in the heaps that still wait
        self._stale = 0  # entries of others
        self.heaps: dict[Hashable | None, list[tuple[float, int, Any]]] = {}

    def add(self, item: Item) -> None:
        """It may be taken from now on."""
        heapq.heappush(self.heaps.setdefault(item.bucket, []), (item.due_seconds, item.number, item))
        self.ready += 1

    def first(self, bucket: Hashable | None) -> Any:
        """The item of a bucket that is due first, the oldest among equals; None if there is none."""
        heap = self.heaps.get(bucket)
        while heap:
            if heap[0][2].waits:
                return heap[0][2]
            heapq.heappop(heap)
            self._stale -= 1
        self.heaps.pop(bucket, None)
        return None

    def left(self) -> None:
        """One of its items waits no more. Its entry goes when it comes to the top, or when too many are stale."""
        self.ready -= 1
        self._stale += 1
        if self._stale <= COMPACT_ENTRIES or self._stale <= self.ready:
            return
        self._stale = 0
        for bucket, heap in list(self.heaps.items()):
            kept = [entry for entry in heap if entry[2].waits]
            if kept:
                heapq.heapify(kept)
                self.heaps[bucket] = kept
            else:
                del self.heaps[bucket]


class Tenants:
    """All tenants with items that may be taken, and the tags of those that had some lately."""

    def __init__(self) -> None:
        self._active: dict[str, Tenant] = {}
        self._tags: dict[str, float] = {}  # of tenants without items that are ahead of the virtual time
        self._virtual_time = 0.0

    def __len__(self) -> int:
        """Tenants with items that may be taken."""
        return len(self._active)

    def add(self, item: Item) -> None:
        """An item may be taken from now on."""
        tenant = self._active.get(item.tenant)
        if tenant is None:
            tag = max(self._virtual_time, self._tags.pop(item.tenant, 0.0))
            tenant = self._active[item.tenant] = Tenant(tag)
        tenant.add(item)

    def left(self, item: Item) -> None:
        """An item that might have been taken waits no more, since it was taken or given up."""
        tenant = self._active[item.tenant]
        tenant.left()
        if tenant.ready == 0:
            del self._active[item.tenant]
            self._remember(item.tenant, tenant.start_tag)

    def _remember(self, name: str, tag: float) -> None:
        if not self._active:  # nobody competes any more
            self._virtual_time = max(self._virtual_time, tag, *self._tags.values())
            self._tags.clear()
            return
        self._tags[name] = tag
        if len(self._tags) > REMEMBERED_TENANTS:
            ahead = [(name, tag) for name, tag in self._tags.items() if tag > self._virtual_time]
            self._tags = dict(ahead[-REMEMBERED_TENANTS // 2 :])

    def by_turn(self) -> list[Tenant]:
        """The tenants, whose turn it is first."""
        found = list(self._active.values())
        if len(found) > 1:
            found.sort(key=lambda tenant: tenant.start_tag)
        return found

    def served(self, tenant: Tenant, rows: int) -> None:
        """A tenant's item was taken."""
        self._virtual_time = max(self._virtual_time, tenant.start_tag)
        tenant.start_tag += rows

    def ahead_rows(self, item: Item) -> int:
        """Rows of items of the same tenant that may be taken and are due no later."""
        tenant = self._active.get(item.tenant)
        if tenant is None:
            return 0
        entries = (entry for heap in tenant.heaps.values() for entry in heap)
        return sum(e[2].rows for e in entries if e[2].waits and e[0] <= item.due_seconds)
