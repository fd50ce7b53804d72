"""Knative's parts put together: reports each second, a poke at zero, and decisions every two."""

import pytest

from everwarm_planner.policies import kpa
from everwarm_planner.policies.kpa_loop import Loop

SETTINGS = kpa.Settings.of_concurrency(1)


def test_a_poke_counts_as_one_request_in_flight_and_is_taken_off_the_next_report() -> None:
    loop = Loop(SETTINGS, 10, 0)
    loop.report(1.0, 0.0, 0)
    assert loop.decide(2.0, 0, 0, 0) == 0
    loop.poke(2.5)
    assert loop.decide(2.5, 0, 0, 0) == 2
    loop.report(3.0, 0.5, 0)
    loop.report(4.0, 0.0, 2)
    # One request in flight for half of the two seconds since: 0.5 on average, as if the poke had not been.
    assert loop.decide(4.0, 2, 2, 0) == 2
    assert loop._stable.values[-3:] == (1.0, 0.0, 0.0)


def test_the_floor_is_a_minimum_and_the_maximum_binds() -> None:
    loop = Loop(SETTINGS, 5, 1)
    for second in range(1, 61):
        loop.report(second, 1.0, 3)
    assert loop.decide(60.0, 3, 3, 3) == 3
    assert loop.decide(62.0, 3, 3, 9) == 5


@pytest.mark.parametrize(("ready", "expected"), [(0, 1), (1, 1)])
def test_without_a_report_nothing_changes(ready: int, expected: int) -> None:
    assert Loop(SETTINGS, 5, ready).decide(2.0, ready, 1, 0) == expected
