from collections.abc import Callable

import pytest

from everwarm_server.batching.learned import CEILING, DOUBLE_AFTER, FIRST, LATE, WINDOW, LearnedRows


def run(learned: LearnedRows, seconds: Callable[[int], float], batches: int) -> list[int]:
    """The maximum after each full batch."""
    found = []
    for _ in range(batches):
        learned.computed(learned.max_rows, seconds(learned.max_rows))
        found.append(learned.max_rows)
    return found


def test_it_doubles_until_a_batch_is_late_and_settles_just_below_what_the_objective_allows() -> None:
    learned = LearnedRows(batch_seconds=0.050)
    sizes = run(learned, lambda rows: 0.010 + 0.001 * rows, 5000)  # 40 rows take 50 ms
    assert sizes[DOUBLE_AFTER - 1] == 2 * FIRST
    assert max(sizes) == 64
    assert all(36 <= size <= 41 for size in sizes[2000:])


@pytest.mark.parametrize("late_one_in", [50, 500])
def test_the_p99_decides_so_one_late_batch_in_many_is_no_reason_to_shrink(late_one_in: int) -> None:
    learned, number = LearnedRows(batch_seconds=0.050), 0

    def seconds(rows: int) -> float:
        nonlocal number
        number += 1
        return 1.0 if number % late_one_in == 0 else 0.0001 * rows

    sizes = run(learned, seconds, 4000)
    assert (sizes[-1] > 100) == (late_one_in == 500)


def test_batches_that_were_not_full_say_nothing_while_they_are_in_time() -> None:
    learned = LearnedRows(batch_seconds=0.050)
    for _ in range(10 * WINDOW):
        learned.computed(1, 0.001)
    assert learned.max_rows == FIRST


def test_small_batches_that_are_late_shrink_it_below_them() -> None:
    learned = LearnedRows(batch_seconds=0.050)
    run(learned, lambda _: 0.001, 40)
    for _ in range(LATE):
        learned.computed(20, 0.060)
    assert learned.max_rows == 18


def test_a_model_that_is_always_late_gets_one_row_at_a_time() -> None:
    learned = LearnedRows(batch_seconds=0.050)
    assert run(learned, lambda _: 1.0, 100)[-1] == 1


def test_it_has_a_ceiling() -> None:
    learned = LearnedRows(batch_seconds=0.050)
    assert run(learned, lambda _: 0.001, 500)[-1] == CEILING
