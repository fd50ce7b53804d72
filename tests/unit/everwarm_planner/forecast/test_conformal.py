"""The upper end of a forecast holds as often as it says, whatever the noise is like."""

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_planner.forecast import conformal
from everwarm_planner.forecast.conformal import Scores

NOISES: dict[str, Callable[[random.Random], float]] = {
    "normal": lambda source: source.gauss(0, 2),
    "heavy-tailed": lambda source: source.paretovariate(1.5),
    "biased": lambda source: source.gauss(40, 8),
    "bursts": lambda source: 300.0 if source.random() < 0.08 else source.random(),
}


@pytest.mark.parametrize("part", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_it_covers_what_it_says(noise: str, part: float) -> None:
    source, scores, covered = random.Random(1), Scores(), 0
    for number in range(6000):
        score = NOISES[noise](source)
        if number >= 1000:
            covered += score <= scores.quantile(part)
        scores = scores.add(score)
    assert covered / 5000 == pytest.approx(part, abs=0.025) or (noise == "bursts" and covered / 5000 > part)


def test_old_scores_lose_their_weight() -> None:
    scores = Scores()
    for _ in range(4320):
        scores = scores.add(100.0)
    for _ in range(4320):
        scores = scores.add(1.0)
    assert scores.quantile(0.85) == pytest.approx(1.0, abs=0.2)
    assert scores.quantile(0.9) == pytest.approx(100.0, rel=0.1)


def test_weights_never_overflow() -> None:
    scores = Scores()
    for _ in range(100_000):
        scores = scores.add(2.0)
    assert math.isfinite(scores.total)
    assert scores.quantile(0.99) == pytest.approx(2.0, rel=0.1)


def test_nothing_known_adds_nothing() -> None:
    assert Scores().quantile(0.99) == 0.0


@given(st.lists(st.floats(-1e5, 1e5), min_size=1, max_size=50), st.floats(0.5, 0.999))
def test_a_higher_part_is_never_a_lower_score(values: list[float], part: float) -> None:
    scores = Scores()
    for value in values:
        scores = scores.add(value)
    assert scores.quantile(part) <= scores.quantile(part + (1 - part) / 2)
    assert scores.quantile(1.0 - 1e-12) >= min(max(values), 1e4) - 0.1 * abs(max(values)) - 0.2


def test_the_scale_is_the_noise_of_counts_and_never_zero() -> None:
    assert conformal.scale(60.0) == pytest.approx(1.0)
    assert conformal.scale(0.0) == pytest.approx(1 / 60)
