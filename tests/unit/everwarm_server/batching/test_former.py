import math
from collections.abc import Hashable
from dataclasses import dataclass

import pytest

from everwarm_server.batching.former import ALONE, DELAY, FULL, IDLE, Former
from everwarm_server.batching.tenants import Item


@dataclass
class Given:
    """Rules that a test sets."""

    max_rows: int = 4
    delay_seconds: float = 0.0

    def patience_seconds(self, rows: int) -> float:
        del rows
        return self.delay_seconds


class Row(Item):
    """An item with a name."""

    __slots__ = ("name",)

    def __init__(
        self,
        name: str,
        rows: int = 1,
        bucket: Hashable | None = "b",
        *,
        tenant: str = "",
        stream: Hashable | None = None,
        arrived: float = 0.0,
        deadline: float = math.inf,
    ) -> None:
        super().__init__(arrived, deadline, tenant)
        self.name, self.rows, self.bucket, self.stream = name, rows, bucket, stream


def former(max_rows: int = 4, delay_seconds: float = 0.0) -> Former[Row]:
    return Former(Given(max_rows, delay_seconds))


def taken(held: Former[Row], now: float = 0.0) -> tuple[str, str] | None:
    """The names of a batch, one letter each, and why it was closed."""
    batch = held.take(now)
    return None if batch is None else ("".join(item.name for item in batch.items), batch.reason)


def drained(held: Former[Row], now: float = 0.0) -> list[str]:
    found = []
    while (batch := held.take(now)) is not None:
        held.done(batch.items)
        found.append("".join(item.name for item in batch.items))
    return found


def test_whoever_is_free_takes_what_waits_up_to_the_maximum() -> None:
    held = former(max_rows=3)
    assert taken(held) is None
    for name in "abcde":
        held.add(Row(name))
    assert (held.count, held.rows) == (5, 5)
    assert [taken(held), taken(held), taken(held)] == [("abc", FULL), ("de", IDLE), None]
    assert (held.count, held.rows, held.of_tenant("")) == (0, 0, 0)


@pytest.mark.parametrize(
    ("rows", "batches"),
    [
        ([2, 2, 2], ["ab", "c"]),
        ([3, 2, 1], ["a", "bc"]),  # what does not fit is not overtaken by what does
        ([9, 1], ["a", "b"]),  # larger than the maximum: alone
        ([1, 9, 1], ["a", "b", "c"]),
    ],
)
def test_rows_are_counted_not_requests(rows: list[int], batches: list[str]) -> None:
    held = former(max_rows=4)
    for name, count in zip("abc", rows, strict=False):
        held.add(Row(name, count))
    assert drained(held) == batches


def test_buckets_are_never_mixed_and_none_waits_for_another() -> None:
    held = former()
    for name, bucket in zip("abcdef", ["x", "y", "x", None, None, "y"], strict=True):
        held.add(Row(name, bucket=bucket))
    assert [taken(held) for _ in range(5)] == [("ac", IDLE), ("bf", IDLE), ("d", ALONE), ("e", ALONE), None]


def test_the_earliest_deadline_goes_first_and_what_has_none_goes_last() -> None:
    held = former(max_rows=2)
    for name, deadline in zip("abcd", [math.inf, 9.0, 5.0, math.inf], strict=True):
        held.add(Row(name, deadline=deadline))
    assert drained(held) == ["cb", "ad"]


def test_who_names_no_deadline_is_not_overtaken_for_ever() -> None:
    held = former(max_rows=1)
    held.add(Row("p", arrived=0.0))
    for number in range(100):
        held.add(Row("d", arrived=0.1 * number, deadline=0.1 * number + 1.0))
    order = "".join(drained(held, now=0.5))
    assert order.index("p") == 90, "before those that are due ten seconds after it came"


def test_what_is_over_its_deadline_is_given_back_and_not_computed() -> None:
    held = former()
    for name, deadline in zip("abc", [1.0, 3.0, 2.0], strict=True):
        held.add(Row(name, deadline=deadline))
    assert taken(held, now=2.0) == ("b", IDLE)
    assert [item.name for item in held.expired()] == ["a", "c"]
    assert (held.expired(), held.count) == ([], 0)


def test_expire_gives_up_what_is_late_and_tells_the_next_deadline() -> None:
    held = former()
    for name, deadline in zip("abc", [1.0, 3.0, math.inf], strict=True):
        held.add(Row(name, deadline=deadline))
    assert held.expire(1.0) == 3.0
    assert held.expire(5.0) == math.inf
    assert [item.name for item in held.expired()] == ["a", "b"]
    assert drained(held) == ["c"]


def test_patience_waits_for_a_full_batch_but_not_longer_than_its_first_item_may() -> None:
    held = former(max_rows=3, delay_seconds=5.0)
    held.add(Row("a", arrived=10.0))
    assert (taken(held, 10.0), held.due_seconds()) == (None, 15.0)
    held.add(Row("b", arrived=12.0))
    assert (taken(held, 14.9), held.due_seconds()) == (None, 15.0)
    assert taken(held, 15.0) == ("ab", DELAY)
    for name in "cdef":
        held.add(Row(name, arrived=20.0))
    assert taken(held, 20.0) == ("cde", FULL)
    assert (taken(held, 20.0), held.due_seconds()) == (None, 25.0)


def test_patience_leaves_half_of_the_tightest_deadline_for_the_computation() -> None:
    held = former(delay_seconds=5.0)
    held.add(Row("a", arrived=10.0))
    held.add(Row("b", arrived=10.0, deadline=12.0))
    assert held.due_seconds() == 11.0
    assert taken(held, 11.0) == ("ba", DELAY)


def test_in_a_hurry_nothing_is_waited_for() -> None:
    held = former(delay_seconds=5.0)
    held.add(Row("a"))
    held.hurry = True
    assert taken(held) == ("a", IDLE)


def test_while_one_bucket_waits_to_be_full_another_is_taken() -> None:
    held = former(max_rows=2, delay_seconds=5.0)
    for name, bucket in zip("abcd", ["x", "y", "y", None], strict=True):
        held.add(Row(name, bucket=bucket))
    assert [taken(held), taken(held), taken(held)] == [("bc", FULL), ("d", ALONE), None]


def test_who_gives_up_leaves_and_hurts_no_neighbour() -> None:
    held = former()
    rows = [Row(name) for name in "abc"]
    for row in rows:
        held.add(row)
    assert (held.remove(rows[1]), held.remove(rows[1])) == (True, False)
    assert (held.count, held.rows) == (2, 2)
    assert taken(held) == ("ac", IDLE)
    assert not held.remove(rows[0])


def test_tenants_share_by_rows_whoever_came_first_or_with_more() -> None:
    held = former(max_rows=1)
    for number in range(6):
        held.add(Row("a", tenant="greedy"))
        if number == 3:
            held.add(Row("b", tenant="modest"))
            held.add(Row("b", tenant="modest"))
    assert "".join(drained(held)) == "ababaaaa"


def test_a_tenant_with_large_requests_gets_fewer_of_them() -> None:
    held = former(max_rows=2)
    for _ in range(4):
        held.add(Row("A", rows=2, bucket="x", tenant="large"))
        held.add(Row("b", rows=1, bucket="y", tenant="small"))
    assert "".join(drained(held)) == "AbbAbbAA"


def test_a_tenant_that_was_away_has_saved_up_nothing_and_owes_nothing() -> None:
    held = former(max_rows=1)
    for _ in range(10):
        held.add(Row("a", tenant="a"))
    assert [taken(held) for _ in range(6)] == [("a", FULL)] * 6
    held.add(Row("b", tenant="b"))
    held.add(Row("b", tenant="b"))
    assert "".join(drained(held)) == "baba" + "aa"


def test_a_batch_is_filled_from_all_tenants_in_turn() -> None:
    held = former(max_rows=4)
    for name, tenant in zip("aaaaabb", ["a"] * 5 + ["b"] * 2, strict=True):
        held.add(Row(name, tenant=tenant))
    assert drained(held) == ["abba", "aaa"]


def test_a_stream_keeps_its_order_whatever_its_deadlines() -> None:
    held = former(max_rows=1)
    for name, deadline in zip("abc", [9.0, 5.0, 7.0], strict=True):
        held.add(Row(name, stream=1, deadline=deadline))
    batches = []
    while (batch := held.take(0.0)) is not None:
        assert held.take(0.0) is None, "the next frame waits until this one has ended"
        held.done(batch.items)
        batches.append(batch.items[0].name)
    assert batches == ["a", "b", "c"]


def test_frames_that_follow_each_other_share_a_batch_but_not_two_batches_at_once() -> None:
    held = former(max_rows=2)
    for name in "abc":
        held.add(Row(name, stream=1))
    held.add(Row("x"))
    first, second = held.take(0.0), held.take(0.0)
    assert first is not None
    assert second is not None
    assert [[item.name for item in batch.items] for batch in (first, second)] == [["a", "b"], ["x"]]
    assert held.take(0.0) is None
    held.done(first.items)
    assert taken(held) == ("c", IDLE)


def test_a_frame_of_another_bucket_or_over_its_deadline_does_not_stop_its_stream() -> None:
    held = former()
    for name, bucket, deadline in [("a", "x", 9.0), ("b", "x", 1.0), ("c", "y", 9.0), ("d", "x", 9.0)]:
        held.add(Row(name, bucket=bucket, stream="s", deadline=deadline))
    assert drained(held, now=2.0) == ["a", "c", "d"]
    assert [item.name for item in held.expired()] == ["b"]


def test_streams_of_two_tenants_are_two_even_by_the_same_name() -> None:
    held = former(max_rows=1)
    held.add(Row("a", stream=1, tenant="a"))
    held.add(Row("b", stream=1, tenant="b"))
    assert [taken(held), taken(held)] == [("a", FULL), ("b", FULL)]


def test_when_the_head_of_a_stream_gives_up_the_next_frame_goes() -> None:
    held = former()
    rows = [Row(name, stream=1) for name in "abc"]
    for row in rows:
        held.add(row)
    assert held.remove(rows[0])
    assert held.remove(rows[2])
    assert taken(held) == ("b", IDLE)


def test_what_comes_before_an_item_is_its_tenants_share() -> None:
    held = former()
    for _ in range(10):
        held.add(Row("a", tenant="a"))
    for deadline in (5.0, 9.0):
        held.add(Row("b", rows=2, tenant="b", deadline=deadline))
    assert held.rows_before(Row("n", tenant="c")) == 2
    assert held.rows_before(Row("n", tenant="b", deadline=6.0)) == 5
    assert held.rows_before(Row("n", tenant="a")) == 14


def test_many_that_give_up_leave_nothing_behind() -> None:
    held = former()
    held.add(Row("first", deadline=1e9))
    for _ in range(1000):
        row = Row("gone", deadline=2e9)
        held.add(row)
        held.remove(row)
    (tenant,) = held._tenants.by_turn()
    assert len(tenant.heaps["b"]) < 200
    assert drained(held) == ["first"]


def test_tenants_that_come_once_are_not_remembered_for_ever() -> None:
    held = former(max_rows=1)
    held.add(Row("old", rows=10**9, tenant="patient"))
    for number in range(5000):
        held.add(Row("n", tenant=f"t{number}"))
        held.take(0.0)
    assert len(held._tenants._tags) <= 1024
