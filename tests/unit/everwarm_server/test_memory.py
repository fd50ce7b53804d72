import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_server.memory import Resident, leaving


def residents(*described: tuple[int, float, bool]) -> list[Resident[int]]:
    return [Resident(index, size, used, may_leave) for index, (size, used, may_leave) in enumerate(described)]


@pytest.mark.parametrize(
    ("present", "needed", "expected"),
    [
        ([], 10, []),
        ([], 101, None),
        ([(50, 1.0, True)], 50, []),
        ([(50, 2.0, True), (50, 1.0, True)], 1, [1]),
        ([(50, 2.0, True), (50, 1.0, True)], 60, [1, 0]),
        ([(50, 2.0, True), (50, 1.0, False)], 10, [0]),
        ([(50, 2.0, False), (50, 1.0, False)], 10, None),
        ([(50, 2.0, True), (50, 1.0, False)], 60, None),
        ([(0, 1.0, True), (90, 2.0, True)], 20, [1]),  # whoever takes nothing makes no room
        ([(150, 1.0, True)], 0, [0]),
    ],
)
def test_the_least_recently_used_leave(
    present: list[tuple[int, float, bool]], needed: int, expected: list[int] | None
) -> None:
    assert leaving(residents(*present), needed, 100) == expected


@given(
    st.lists(st.tuples(st.integers(0, 60), st.floats(0, 100), st.booleans()), max_size=7),
    st.integers(0, 120),
)
def test_they_are_enough_none_too_many_and_none_that_must_stay(
    described: list[tuple[int, float, bool]], needed: int
) -> None:
    present = residents(*described)
    leavers = leaving(present, needed, 100)
    staying_bytes = sum(each.size_bytes for each in present if not each.may_leave)
    assert (leavers is None) == (staying_bytes + needed > 100)
    if leavers is None:
        return
    assert all(present[index].may_leave for index in leavers)
    left_bytes = sum(each.size_bytes for each in present if each.what not in leavers)
    assert left_bytes + needed <= 100
    if leavers:
        assert left_bytes + needed + present[leavers[-1]].size_bytes > 100
    used = [present[index].used_seconds for index in leavers]
    assert all(before <= after for before, after in itertools.pairwise(used))
