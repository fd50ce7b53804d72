"""Daily peaks -> how much memory to ask for, as the Vertical Pod Autoscaler would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_planner.memory_recommendation import MemoryPeaks, MemoryRecommendation, recommend

MI = 2**20
DAY = 86_400.0


def after(*peaks_mi: float) -> MemoryPeaks:
    peaks = MemoryPeaks()
    for day, peak in enumerate(peaks_mi):
        peaks = peaks.seen(day * DAY + 60.0, peak * MI / 2).seen(day * DAY + 120.0, peak * MI)
    return peaks


def test_before_anything_was_measured_there_is_nothing_to_say() -> None:
    assert recommend(MemoryPeaks(), 100) is None


@pytest.mark.parametrize(
    ("peaks", "wanted_mi"),
    [
        pytest.param(after(1000.0), 1150, id="one day, 15 % to spare"),
        pytest.param(after(100.0), 250, id="never less than upstream's least"),
        pytest.param(after(1000, 1000, 1000, 1000, 1000, 1000, 1000, 2000), 2300, id="a peak of today counts at once"),
        pytest.param(after(2000, 1000, 1000, 1000, 1000, 1000, 1000, 1000), 1150, id="one of last week does not"),
        pytest.param(after(9000, 1, 1, 1, 1, 1, 1, 1, 1), 250, id="what is older than eight days is forgotten"),
        pytest.param(after(1000.0).out_of_memory(200.0, 1000.0 * MI), 1380, id="what ran out gets a fifth more"),
        pytest.param(after(100.0).out_of_memory(200.0, 300.0 * MI), 460, id="and 100 Mi at least"),
    ],
)
def test_what_is_recommended(peaks: MemoryPeaks, wanted_mi: int) -> None:
    recommendation = recommend(peaks, None)
    assert recommendation is not None
    assert recommendation.request_bytes == wanted_mi * MI


def test_it_says_why() -> None:
    assert recommend(after(800.0, 1000.0), 4096 * MI) == MemoryRecommendation(
        1150 * MI,
        "The daily peaks of the last 2 days reach 1000 Mi nine times in ten: with 15 % to spare, ask for 1150 Mi "
        "instead of 4096 Mi.",
    )


@given(st.lists(st.tuples(st.floats(0, 1e9), st.floats(max_value=1e15) | st.just(float("inf"))), max_size=40))
def test_no_measurement_breaks_it_or_makes_it_grow(measurements: list[tuple[float, float]]) -> None:
    peaks = MemoryPeaks()
    for at, used in measurements:
        peaks = peaks.seen(at, used)
        assert len(peaks.peaks) <= 8
    recommendation = recommend(peaks, None)
    assert (recommendation is None) == (not peaks.peaks)
