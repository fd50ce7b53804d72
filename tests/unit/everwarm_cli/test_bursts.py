import itertools
import random

import pytest

from everwarm_cli.up.bursts import Phase, arrivals, phases


def test_the_same_seed_gives_the_same_pattern() -> None:
    first, second = (list(itertools.islice(phases(random.Random(3)), 9)) for _ in range(2))
    assert first == second
    assert [phase.name for phase in first] == ["quiet", "burst"] * 4 + ["quiet"]


def test_three_bursts_of_which_the_last_needs_two_replicas_and_then_a_silence() -> None:
    cycle = list(itertools.islice(phases(random.Random(3)), 1, 13))
    assert [phase.replicas for phase in cycle] == [0.6, 0.0, 0.6, 0.0, 1.1, 0.0] * 2
    silences = [phase.seconds for phase in cycle[5::6]]
    assert all(72.0 <= seconds <= 88.0 for seconds in silences)
    others = [phase.seconds for index, phase in enumerate(cycle) if index % 6 != 5]
    assert all(13.5 <= seconds <= 16.5 for seconds in others)


def test_nothing_arrives_in_a_quiet_phase() -> None:
    assert list(arrivals(Phase("quiet", 10.0, 0.0), 20.0, random.Random(5))) == []


def test_arrivals_have_the_phases_mean_rate() -> None:
    times = list(arrivals(Phase("burst", 1000.0, 1.5), 20.0, random.Random(5)))
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < 1000.0
    assert len(times) == pytest.approx(30_000, rel=0.03)
