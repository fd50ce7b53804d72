"""A replica is kept for as long as a start costs: never more than twice the least that it could have cost."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_planner import release
from everwarm_planner.release import Asked


@pytest.mark.parametrize(
    ("at", "replicas", "asked"),
    [
        (30.0, 4, ((0.0, 5), (30.0, 4))),
        (30.0, 5, ((30.0, 5),)),
        (30.0, 1, ((0.0, 5), (20.0, 3), (30.0, 1))),
        (60.0, 1, ((20.0, 3), (60.0, 1))),
        (500.0, 0, ((500.0, 0),)),
        (-10.0, 2, ((-10.0, 2),)),
    ],
)
def test_the_first_that_is_remembered_is_the_most_of_the_window(at: float, replicas: int, asked: Asked) -> None:
    before: Asked = ((0.0, 5), (20.0, 3))
    assert release.ask(before, at, replicas, keep_seconds=60.0) == asked


@pytest.mark.parametrize(
    ("start", "billing", "least", "keep"),
    [(30.0, 0.0, 60.0, 60.0), (120.0, 0.0, 60.0, 120.0), (30.0, 60.0, 60.0, 90.0)],
)
def test_it_is_kept_for_what_a_start_costs(start: float, billing: float, least: float, keep: float) -> None:
    assert release.keep_seconds(start, billing, least) == keep


@given(st.lists(st.integers(0, 4), min_size=1, max_size=120), st.integers(1, 20))
def test_it_costs_at_most_twice_what_a_clairvoyant_pays(needs: list[int], start: int) -> None:
    """By the second; a start costs as much as `start` seconds of idleness (level by level, the ski rental)."""
    asked: Asked = ()
    floors = []
    for second, need in enumerate(needs):
        asked = release.ask(asked, float(second), need, keep_seconds=float(start))
        floors.append(asked[0][1])

    def cost(kept: list[bool]) -> int:
        starts = sum(now and not before for before, now in zip([False, *kept], kept, strict=False))
        return sum(kept) + start * starts

    for level in range(1, max(needs) + 1):
        needed = [need >= level for need in needs]
        if not any(needed):
            continue
        clairvoyant = needed[:]
        busy = [second for second, need in enumerate(needed) if need]
        for before, after in itertools.pairwise(busy):
            if after - before - 1 <= start:  # bridging costs no more than a start
                clairvoyant[before:after] = [True] * (after - before)
        assert cost([floor >= level for floor in floors]) <= 2 * cost(clairvoyant)
