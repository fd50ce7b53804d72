import itertools
import random

import pytest

from everwarm_cli.up.bursts import Phase, arrivals, phases


def test_the_same_seed_gives_the_same_pattern() -> None:
    first, second = (list(itertools.islice(phases(random.Random(3)), 9)) for _ in range(2))
    assert first == second
    assert [phase.name for phase in first] == ["quiet", "burst"] * 4 + ["quiet"]


def test_bursts_saturate_one_replica_and_quiet_does_not() -> None:
    for phase in itertools.islice(phases(random.Random(3)), 20):
        assert 4.0 <= phase.seconds <= 24.0
        assert (phase.replicas > 1) == (phase.name == "burst")


def test_arrivals_have_the_phases_mean_rate() -> None:
    times = list(arrivals(Phase("burst", 1000.0, 1.5), 20.0, random.Random(5)))
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < 1000.0
    assert len(times) == pytest.approx(30_000, rel=0.03)
