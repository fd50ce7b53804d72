import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_server.placement import PROBATION, Placement

LIMIT = 0.0003
SHORT, LONG = LIMIT / 10, LIMIT * 10


def moved_here(size: int = 1000) -> Placement:
    placement = Placement(LIMIT)
    for _ in range(PROBATION):
        placement.ran_in_thread(size, SHORT, SHORT)
    assert placement.here(size)
    return placement


def probation(placement: Placement, size: int = 1000) -> int:
    """Short inferences that it takes to move to the loop."""
    count = 0
    while not placement.here(size):
        placement.ran_in_thread(size, SHORT, SHORT)
        count += 1
    return count


def test_a_size_runs_in_a_thread_until_it_is_known_to_be_short() -> None:
    assert probation(Placement(LIMIT)) == PROBATION


def test_a_long_inference_starts_the_probation_again() -> None:
    placement = Placement(LIMIT)
    for _ in range(PROBATION - 1):
        placement.ran_in_thread(1000, SHORT, SHORT)
    placement.ran_in_thread(1000, LONG, LONG)
    assert probation(placement) == PROBATION


def test_other_sizes_are_not_known_by_one() -> None:
    assert not moved_here(size=1000).here(1_000_000)


def test_waits_for_the_interpreter_are_forgiven_but_not_those_of_a_model_that_waits_for_others() -> None:
    busy, waits = Placement(LIMIT), Placement(LIMIT)
    busy.ran_in_thread(1000, SHORT, SHORT)
    for _ in range(100):
        busy.ran_in_thread(1000, LONG, SHORT)
        waits.ran_in_thread(1000, LONG, SHORT)
    assert (busy.here(1000), waits.here(1000)) == (True, False)


def test_one_that_was_interrupted_by_another_process_changes_nothing() -> None:
    placement = moved_here()
    placement.ran_here(1000, 0.005)
    assert placement.here(1000)


@pytest.mark.parametrize("seconds", [[LONG] * 3, [1.5]])
def test_what_becomes_long_goes_back_for_twice_as_long(seconds: list[float]) -> None:
    placement = moved_here()
    for one in seconds:
        assert placement.here(1000)
        placement.ran_here(1000, one)
    assert not placement.here(1000)
    assert probation(placement) == 2 * PROBATION


def test_a_long_good_time_makes_the_next_probation_short_again() -> None:
    placement = moved_here()
    for _ in range(3):
        placement.ran_here(1000, 1.5)
        probation(placement)
    for _ in range(1000):
        placement.ran_here(1000, SHORT)
    placement.ran_here(1000, 1.5)
    assert probation(placement) == 2 * PROBATION


def test_without_a_limit_nothing_runs_here_nor_after_never_again() -> None:
    off, failed = Placement(0.0), moved_here()
    failed.never_again()
    for placement in (off, failed):
        for _ in range(100):
            placement.ran_in_thread(1000, 0.0, 0.0)
        assert not placement.here(1000)


@given(st.integers(1, 9))
def test_a_model_that_is_very_long_each_few_inferences_soon_stays_in_the_thread(every: int) -> None:
    placement = Placement(LIMIT)
    very_long_here = 0
    for number in range(20_000):
        seconds = 1.5 if number % every == 0 else SHORT
        if placement.here(1000):
            very_long_here += seconds > 1
            placement.ran_here(1000, seconds)
        else:
            placement.ran_in_thread(1000, seconds, seconds)
    assert very_long_here <= 1
