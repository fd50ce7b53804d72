"""What is planned to be late moves until what is late is what the objective allows."""

import math

import pytest

from everwarm_planner.calibration import Calibration

SLOW = Calibration(start=1.0, least=0.01, most=10.0, slowness_seconds=3600.0, reserve=0.0)


def test_with_nothing_late_it_grows_e_fold_in_its_slowness() -> None:
    allowance = 1.0
    for _ in range(240):
        allowance = SLOW.step(allowance, 0.0, 0.05, 15.0, 1.0)
    assert allowance == pytest.approx(math.e)


@pytest.mark.parametrize(
    ("late", "passed", "weight", "expected"),
    [
        pytest.param(0.05, 15.0, 1.0, 1.0, id="what is allowed leaves it"),
        pytest.param(0.10, 15.0, 1.0, math.exp(-15 / 3600), id="twice that: down as fast as nothing is up"),
        pytest.param(1.0, 60.0, 1.0, math.exp(-19 * 60 / 3600), id="a burst that was all late"),
        pytest.param(0.10, 15.0, 2.0, math.exp(-30 / 3600), id="requests count, not minutes"),
        pytest.param(0.10, 15.0, 9.0, math.exp(-60 / 3600), id="within reason"),
        pytest.param(0.0, 9999.0, 1.0, math.exp(60 / 3600), id="a hole is no time in which nothing was late"),
        pytest.param(0.0, -5.0, 1.0, 1.0, id="time that runs backwards"),
        pytest.param(1.0, 60.0, 4.0, 0.281, id="however late"),
    ],
)
def test_one_step(late: float, passed: float, weight: float, expected: float) -> None:
    assert SLOW.step(1.0, late, 0.05, passed, weight) == pytest.approx(expected, rel=0.01)


def test_it_stays_within_its_bounds() -> None:
    low = high = 1.0
    for _ in range(10_000):
        low, high = SLOW.step(low, 1.0, 0.01, 60.0, 1.0), SLOW.step(high, 0.0, 0.01, 60.0, 1.0)
    assert (low, high) == (0.01, 10.0)


@pytest.mark.parametrize("objective", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("bias", [0.2, 1.0, 5.0])
def test_it_comes_to_what_is_allowed_however_wrong_the_theory_is(objective: float, bias: float) -> None:
    """A world in which `bias` times as many are late as were planned, for two days."""
    calibration, allowed = Calibration(), 1 - objective
    allowance, late_sum = calibration.start, 0.0
    for minute in range(2 * 1440):
        late = min(1.0, bias * allowance * allowed)
        allowance = calibration.step(allowance, late, allowed, 60.0, 1.0)
        late_sum += late if minute >= 1440 else 0.0
    assert late_sum / 1440 == pytest.approx(allowed * (1 - calibration.reserve), rel=0.05)
