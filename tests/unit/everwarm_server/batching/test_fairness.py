"""Start-time fair queueing's bound, with batches that others fill: none gets ahead by more than three of them."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from everwarm_server.batching.former import Former
from everwarm_server.batching.tenants import Item


class Rules:
    max_rows = 8

    def patience_seconds(self, rows: int) -> float:
        del rows
        return 0.0


def item(rows: int, bucket: str, tenant: str) -> Item:
    made = Item(0.0, tenant=tenant)
    made.rows, made.bucket = rows, bucket
    return made


@given(
    sizes=st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(1, 8), st.sampled_from("xy")), min_size=2),
    batches=st.integers(10, 40),
)
@settings(max_examples=200, deadline=None)
def test_tenants_that_always_want_more_get_as_much(sizes: dict[str, tuple[int, str]], batches: int) -> None:
    former: Former[Item] = Former(Rules())
    got = dict.fromkeys(sizes, 0)
    for tenant, (rows, bucket) in sizes.items():
        for _ in range(8):
            former.add(item(rows, bucket, tenant))
    for _ in range(batches):
        batch = former.take(0.0)
        assert batch is not None
        former.done(batch.items)
        for one in batch.items:
            got[one.tenant] += one.rows
            former.add(item(one.rows, str(one.bucket), one.tenant))
        for less, more in pairwise(sorted(got.values())):
            assert more - less <= 3 * Rules.max_rows
