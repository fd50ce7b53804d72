import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_server.batching.cost import Cost, Gaps


def fitted(per_row: float, per_batch: float, sizes: list[int], noise: float = 0.0) -> Cost:
    cost, rng = Cost(), random.Random(1)
    for rows in sizes:
        cost.add(rows, (per_row * rows + per_batch) * (1 + noise * (rng.random() - 0.5)))
    return cost


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_line_through_batches_of_several_sizes_is_found(noise: float) -> None:
    cost = fitted(0.001, 0.005, [1, 8, 32, 16, 4] * 20, noise)
    assert cost.per_row_seconds == pytest.approx(0.001, rel=0.001 + noise)
    assert cost.per_batch_seconds == pytest.approx(0.005, rel=0.001 + 2 * noise)
    assert cost.seconds(20) == pytest.approx(0.025, rel=0.001 + noise)


def test_before_the_first_batch_nothing_is_known_and_nothing_costs() -> None:
    assert (Cost().is_known, Cost().seconds(100)) == (False, 0.0)


def test_from_one_size_all_of_the_cost_is_the_batchs_own() -> None:
    cost = fitted(0.001, 0.004, [4] * 10)
    assert (cost.per_row_seconds, cost.seconds(4), cost.seconds(400)) == (
        0.0,
        pytest.approx(0.008),
        pytest.approx(0.008),
    )


def test_no_part_is_ever_negative() -> None:
    falling, steep = Cost(), Cost()
    for rows, seconds in [(1, 0.010), (10, 0.002)] * 5:
        falling.add(rows, seconds)
    for rows, seconds in [(10, 0.010), (20, 0.050)] * 5:
        steep.add(rows, seconds)
    assert (falling.per_row_seconds, steep.per_batch_seconds) == (0.0, 0.0)
    assert min(falling.per_batch_seconds, steep.per_row_seconds) > 0


def test_what_a_model_costs_now_replaces_what_it_cost() -> None:
    cost = fitted(0.001, 0.005, [1, 2, 4, 8] * 50)
    for rows in [1, 2, 4, 8] * 100:
        cost.add(rows, 0.002 * rows + 0.001)
    assert cost.seconds(8) == pytest.approx(0.017, rel=0.02)


@given(
    rows=st.integers(1, 20),
    gap=st.floats(1e-4, 0.1),
    a=st.floats(0, 0.01),
    b=st.floats(1e-4, 0.1),
)
def test_waiting_pays_if_and_only_if_all_rows_are_done_sooner_on_the_whole(
    rows: int, gap: float, a: float, b: float
) -> None:
    cost = Cost()
    cost.per_row_seconds, cost.per_batch_seconds = a, b
    at_once = rows * cost.seconds(rows) + cost.seconds(rows) + cost.seconds(1)
    together = (rows + 1) * (gap + cost.seconds(rows + 1))
    if abs(at_once - together) > 1e-9:
        assert cost.waiting_pays(rows, gap) == (together < at_once)


def test_gaps_are_the_mean_time_between_arrivals() -> None:
    gaps = Gaps()
    gaps.arrived(5.0)
    assert gaps.seconds == float("inf")
    for now in itertools.islice(itertools.count(6.0, 2.0), 300):
        gaps.arrived(now)
    assert gaps.seconds == pytest.approx(2.0, rel=0.01)
