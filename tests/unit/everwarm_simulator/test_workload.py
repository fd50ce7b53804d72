"""Arrivals and durations: their means and spreads, that a seed repeats them, and that holes are no silence."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from everwarm_simulator import arrivals, workload
from everwarm_simulator.distributions import Deterministic, Distribution, Exponential, Lognormal, Seconds, Uniform
from everwarm_simulator.workload import Workload


def seeded(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    "distribution", [Deterministic(0.2), Exponential(0.2), Lognormal(0.2, 0.47), Uniform(0.1, 0.3)], ids=repr
)
def test_durations_have_the_mean_and_the_variation_that_they_say(distribution: Distribution) -> None:
    drawn = distribution.draw(seeded(), 200_000)
    assert drawn.mean() == pytest.approx(distribution.mean_seconds, rel=0.01)
    assert drawn.var() / drawn.mean() ** 2 == pytest.approx(distribution.squared_variation, rel=0.03, abs=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Deterministic(0.0),
        lambda: Exponential(math.inf),
        lambda: Lognormal(1.0, 6.0),
        lambda: Lognormal(-1.0, 1.0),
        lambda: Uniform(2.0, 1.0),
    ],
)
def test_durations_that_can_not_be_are_refused(make: Callable[[], Distribution]) -> None:
    with pytest.raises(ValueError, match=r"must be|no durations"):
        make()


PATTERNS: dict[str, Callable[[np.random.Generator], Seconds]] = {
    "poisson": lambda g: arrivals.poisson(g, 20.0, 5000.0),
    "on-off": lambda g: arrivals.on_off(g, (50.0, 2.0), (20.0, 40.0), 5000.0),
    "rates": lambda g: arrivals.from_rates(g, np.full(500, 20.0), 10.0),
    "dispersed rates": lambda g: arrivals.from_rates(g, np.full(500, 20.0), 10.0, dispersion=4.4),
}


@pytest.mark.parametrize(
    ("pattern", "rate", "dispersion"),
    [("poisson", 20.0, 1.0), ("on-off", 18.0, 28.7), ("rates", 20.0, 1.0), ("dispersed rates", 20.0, 4.4)],
)
def test_arrivals_have_their_rate_and_their_dispersion(pattern: str, rate: float, dispersion: float) -> None:
    times = PATTERNS[pattern](seeded())
    assert len(times) / 5000 == pytest.approx(rate, rel=0.12)
    assert arrivals.index_of_dispersion(times, 5000.0) == pytest.approx(dispersion, rel=0.2)
    assert np.all(np.diff(times) >= 0)
    assert times[0] >= 0
    assert times[-1] < 5000


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_seed_repeats_its_arrivals(pattern: str) -> None:
    make = PATTERNS[pattern]
    assert np.array_equal(make(seeded(1)), make(seeded(1)))
    assert not np.array_equal(make(seeded(1)), make(seeded(2)))


def test_rates_that_were_not_measured_become_holes_and_a_rate_of_zero_does_not() -> None:
    rates = np.array([5.0, math.nan, math.nan, 0.0, 5.0, math.nan])
    load = workload.of_rates(seeded(), rates, 10.0, Deterministic(0.1))
    assert load.holes == ((10.0, 30.0), (50.0, 60.0))
    assert [load.in_hole(at) for at in (9.9, 10.0, 29.9, 30.0, 35.0, 59.0)] == [False, True, True, False, False, True]
    assert not np.any((load.arrivals >= 10) & (load.arrivals < 40))
    assert load.offered_load == pytest.approx(len(load.arrivals) * 0.1 / 30)


def test_a_horizon_that_is_no_whole_second_is_kept() -> None:
    load = workload.of_rates(seeded(), np.full(3, 1000.0), 0.5, Deterministic(0.1))
    assert load.horizon_seconds == 1.5
    assert len(load.arrivals) == pytest.approx(1500, rel=0.1)
    assert load.arrivals[-1] < 1.5


def test_no_arrivals_have_no_dispersion() -> None:
    assert math.isnan(arrivals.index_of_dispersion(np.empty(0), 100.0))


@pytest.mark.parametrize(
    ("rates", "dispersion"),
    [([1.0], 0.5), ([-1.0], 1.0), ([math.inf], 1.0)],
    ids=["dispersion", "negative", "infinite"],
)
def test_rates_that_can_not_be_are_refused(rates: list[float], dispersion: float) -> None:
    with pytest.raises(ValueError, match=r"dispersion|finite"):
        arrivals.from_rates(seeded(), np.array(rates), 1.0, dispersion)


@pytest.mark.parametrize(
    ("times", "services"),
    [([1.0], []), ([2.0, 1.0], [1.0, 1.0]), ([10.0], [1.0]), ([1.0], [0.0]), ([1.0], [math.nan]), ([-1.0], [1.0])],
    ids=["lengths", "order", "late", "no work", "nan", "early"],
)
def test_a_workload_whose_parts_do_not_fit_is_refused(times: list[float], services: list[float]) -> None:
    with pytest.raises(ValueError, match=r"arrivals"):
        Workload(np.array(times), np.array(services), 10.0)


def clients(rates: list[float], shapes: list[float], weibull: list[bool]) -> arrivals.Renewals:
    begins = 600.0 * np.arange(len(rates))
    return arrivals.Renewals(begins, np.array(rates), np.array(shapes), np.array(weibull), 600.0)


def test_clients_send_in_each_interval_what_was_measured() -> None:
    times = arrivals.from_clients(seeded(), clients([2.0, 0.0, 5.0], [0.3, 1.0, 0.5], [False, False, True]), 1800.0)
    assert np.bincount((times // 600).astype(int), minlength=3).tolist() == [1200, 0, 3000]
    assert np.all(np.diff(times) >= 0)


def test_a_fraction_of_a_request_is_drawn() -> None:
    counts = [
        len(arrivals.from_clients(np.random.default_rng(seed), clients([0.0005], [1.0], [False]), 600.0))
        for seed in range(400)
    ]
    assert set(counts) == {0, 1}
    assert np.mean(counts) == pytest.approx(0.3, abs=0.07)


@pytest.mark.parametrize("weibull", [False, True])
def test_gaps_of_a_small_shape_are_bursts(weibull: bool) -> None:
    def dispersion(shape: float) -> float:
        row = clients([10.0] * 10, [shape] * 10, [weibull] * 10)
        return arrivals.index_of_dispersion(arrivals.from_clients(seeded(), row, 6000.0), 6000.0)

    assert dispersion(1.0) == pytest.approx(1.0, abs=0.15)
    assert dispersion(0.4) > 1.5


def test_a_client_whose_gaps_are_all_zero_still_sends_what_it_sent() -> None:
    times = arrivals.from_clients(seeded(), clients([1.0], [1e-9], [False]), 600.0)
    assert len(times) == 600
