"""Whatever comes, leaves, ends and how time goes: nothing is lost, doubled, mixed, overfull, late or out of order."""

import math
from collections import Counter
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from everwarm_server.batching.former import Batch, Former
from everwarm_server.batching.tenants import Item


class Rules:
    def __init__(self, max_rows: int, delay_seconds: float) -> None:
        self.max_rows = max_rows
        self._delay_seconds = delay_seconds

    def patience_seconds(self, rows: int) -> float:
        del rows
        return self._delay_seconds


class FormerMachine(RuleBasedStateMachine):
    @initialize(max_rows=st.integers(1, 5), delay=st.sampled_from([0.0, 0.0, 3.0]))
    def start(self, max_rows: int, delay: float) -> None:
        self.former: Former[Any] = Former(Rules(max_rows, delay))
        self.max_rows, self.delay = max_rows, delay
        self.now = 0.0
        self.waiting: list[Item] = []  # in the order they came
        self.running: list[Batch[Any]] = []
        self.fates: Counter[int] = Counter()  # of each item, by id: taken, removed or expired

    @rule(
        rows=st.integers(1, 7),
        bucket=st.sampled_from(["x", "y", None]),
        tenant=st.sampled_from(["", "a", "b"]),
        stream=st.sampled_from([None, None, 1, 2]),
        lifetime=st.sampled_from([math.inf, math.inf, 1.0, 4.0]),
    )
    def add(self, rows: int, bucket: str | None, tenant: str, stream: int | None, lifetime: float) -> None:
        item = Item(self.now, self.now + lifetime, tenant)
        item.rows, item.bucket, item.stream = rows, bucket, stream
        self.former.add(item)
        self.waiting.append(item)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.waiting))
        assert self.former.remove(item)
        assert not self.former.remove(item)
        self._leaves(item)

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0]))
    def time_goes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        next_deadline = self.former.expire(self.now)
        assert next_deadline > self.now
        self._expired()

    @rule()
    def take(self) -> None:
        batch = self.former.take(self.now)
        self._expired()
        if batch is None:
            assert self._eligible() == [] or self.delay, "work-conserving"
            return
        items = batch.items
        assert batch.rows == sum(item.rows for item in items)
        assert batch.rows <= self.max_rows or len(items) == 1
        assert len({item.bucket for item in items}) == 1
        assert len(items) == 1 or items[0].bucket is not None
        for item in items:
            assert item.deadline_seconds > self.now
            self._in_order_of_its_stream(item)
            self._leaves(item)
        self.running.append(batch)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def ends(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(self.running))
        self.running.remove(batch)
        self.former.done(batch.items)

    def _in_order_of_its_stream(self, item: Item) -> None:
        if item.stream is None:
            return
        before = [o for o in self.waiting if (o.tenant, o.stream) == (item.tenant, item.stream)]
        assert before[0] is item
        for batch in self.running:
            assert all((o.tenant, o.stream) != (item.tenant, item.stream) for o in batch.items)

    def _eligible(self) -> list[Item]:
        busy = {(o.tenant, o.stream) for batch in self.running for o in batch.items if o.stream is not None}
        return [item for item in self.waiting if (item.tenant, item.stream) not in busy]

    def _expired(self) -> None:
        for item in self.former.expired():
            assert item.deadline_seconds <= self.now
            self._leaves(item)

    def _leaves(self, item: Item) -> None:
        self.waiting.remove(item)
        self.fates[id(item)] += 1
        assert self.fates[id(item)] == 1
        self._kept = [*getattr(self, "_kept", []), item]  # so that no id comes twice

    @invariant()
    def counts_are_right(self) -> None:
        if not hasattr(self, "former"):
            return
        assert self.former.count == len(self.waiting)
        assert self.former.rows == sum(item.rows for item in self.waiting)
        for tenant in ("", "a", "b"):
            assert self.former.of_tenant(tenant) == sum(item.tenant == tenant for item in self.waiting)

    def teardown(self) -> None:
        """In a hurry and with all that runs ended, all that waits comes out."""
        if not hasattr(self, "former"):
            return
        self.former.hurry = True
        while True:
            for batch in self.running:
                self.former.done(batch.items)
            self.running.clear()
            self.take()
            if not self.running:
                break
        assert self.waiting == []
        assert (self.former.count, self.former.rows) == (0, 0)
        assert self.former._streams == {}
        assert self.former._buckets == {}


TestFormer = FormerMachine.TestCase
TestFormer.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
)
