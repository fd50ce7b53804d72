"""Erlang's formulas against published values and each other; the simulator checks what they approximate."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everwarm_planner import queueing
from everwarm_planner.queueing import Traffic


def of_load(load: float, variation: float = 1.0, dispersion: float = 1.0) -> Traffic:
    return Traffic(load / 0.2, 0.2, variation, dispersion)


@pytest.mark.parametrize(
    ("servers", "load", "probability"),
    [
        (1, 0.5, 0.5),  # M/M/1: the load itself
        (2, 1.0, 1 / 3),  # M/M/2 in closed form: 2 r^2 / (1 + r), r = 1/2
        (3, 2.0, 4 / 9),
        (13, 9.1, 0.16805),
        (5, 5.0, 1.0),  # no spare server: everybody waits
        (5, 7.0, 1.0),
        (1000, 0.0, 0.0),
    ],
)
def test_the_part_that_waits(servers: int, load: float, probability: float) -> None:
    assert queueing.waiting(of_load(load), servers).probability == pytest.approx(probability, rel=1e-3)


@pytest.mark.parametrize(("servers", "load"), [(13, 9.1), (100, 80.0), (2000, 1900.0), (2000, 1990.0)])
def test_the_part_that_waits_is_erlangs_sum_of_factorials(servers: int, load: float) -> None:
    logarithms = [count * math.log(load) - math.lgamma(count + 1) for count in range(servers + 1)]
    terms = [math.exp(logarithm - max(logarithms)) for logarithm in logarithms]
    all_busy = terms[-1] * servers / (servers - load)
    expected = all_busy / (math.fsum(terms[:-1]) + all_busy)
    assert queueing.waiting(of_load(load), servers).probability == pytest.approx(expected, rel=1e-9)


def test_m_m_1_in_closed_form() -> None:
    waiting = queueing.waiting(Traffic(4.0, 0.2), 1)
    assert waiting.mean_seconds == pytest.approx(0.8 / (5 - 4))
    assert waiting.exceeds(1.0) == pytest.approx(0.8 * math.exp(-1.0))
    assert waiting.exceeds(-1e-9) == 1.0
    assert waiting.quantile(0.95) == pytest.approx(math.log(0.8 / 0.05))
    assert waiting.quantile(0.1) == 0.0


def test_the_latency_quantile_is_where_the_rest_exceeds_it() -> None:
    waiting = queueing.waiting(of_load(9.1, variation=0.25), 13)
    latency = waiting.latency_quantile(0.95)
    assert waiting.latency_exceeds(latency) <= 0.05 < waiting.latency_exceeds(0.99 * latency)
    assert queueing.waiting(of_load(13.0), 13).latency_quantile(0.5) == math.inf


def test_an_unstable_queue_waits_for_ever() -> None:
    waiting = queueing.waiting(of_load(4.0), 4)
    assert (waiting.mean_seconds, waiting.exceeds(1e9), waiting.quantile(0.5)) == (math.inf, 1.0, math.inf)
    assert waiting.latency_exceeds(1e9) == 1.0


def test_constant_arrivals_and_work_never_wait_longer_than_zero() -> None:
    assert queueing.waiting(of_load(1.5, 0.0, 0.0), 2).exceeds(0.0) == 0.0


def test_the_service_time_is_lognormal_with_the_mean_that_was_measured() -> None:
    traffic = of_load(1.0, variation=math.expm1(0.47**2))
    assert traffic.service_quantile(0.5) == pytest.approx(0.2 * math.exp(-(0.47**2) / 2))
    assert traffic.service_quantile(0.95) == pytest.approx(0.2 * math.exp(1.6449 * 0.47 - 0.47**2 / 2), rel=1e-4)
    idle = queueing.waiting(traffic, 100)
    assert idle.latency_exceeds(traffic.service_quantile(0.75)) == pytest.approx(0.25, abs=1 / 64)


@pytest.mark.parametrize(
    ("traffic", "latency_seconds", "servers"),
    [
        (Traffic(0.0, 0.2), 0.3, 0),
        (Traffic(40.0, 0.05, 0.25), 0.38, 3),
        (Traffic(64.5, 0.2, 0.25), 0.6, 14),
        (Traffic(64.5, 0.2, 0.25, dispersion=4.4), 0.6, 16),
        (Traffic(1.0, 0.2), 0.15, None),  # the service alone is longer, too often
        (Traffic(1e9, 0.2), 1.0, None),  # more servers than anybody has
    ],
)
def test_the_least_servers(traffic: Traffic, latency_seconds: float, servers: int | None) -> None:
    assert queueing.least_servers(traffic, latency_seconds) == servers


traffics = st.builds(Traffic, st.floats(0.01, 2000), st.floats(0.001, 1), st.floats(0, 4), st.floats(0, 10))


@settings(deadline=None)
@given(traffics, st.floats(0.01, 10), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_least_servers_meet_the_objective_and_one_fewer_does_not(
    traffic: Traffic, latency_seconds: float, part: float
) -> None:
    servers = queueing.least_servers(traffic, latency_seconds, part)
    if servers is None:
        assert queueing.waiting(traffic, 100_000).latency_exceeds(latency_seconds) > 1 - part
        return
    assert queueing.waiting(traffic, servers).latency_exceeds(latency_seconds) <= 1 - part
    fewer = servers - 1
    assert fewer == 0 or queueing.waiting(traffic, fewer).latency_exceeds(latency_seconds) > 1 - part


@settings(deadline=None)
@given(traffics, st.floats(1, 3), st.floats(0.01, 10))
def test_more_traffic_never_needs_fewer_servers(traffic: Traffic, times: float, latency_seconds: float) -> None:
    more = Traffic(
        traffic.rate_per_second * times, traffic.service_seconds, traffic.service_variation, traffic.dispersion
    )
    needed, needed_for_more = (queueing.least_servers(each, latency_seconds) for each in (traffic, more))
    assert (needed is None) == (needed_for_more is None)
    assert needed is None or needed_for_more is None or needed <= needed_for_more


@pytest.mark.parametrize("figures", [(-1.0, 1.0), (1.0, 0.0), (1.0, math.nan), (math.inf, 1.0), (1.0, 1.0, -1.0)])
def test_figures_without_a_meaning_are_refused(figures: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"can't be|must be over 0"):
        Traffic(*figures)


def test_counts_and_parts_without_a_meaning_are_refused() -> None:
    with pytest.raises(ValueError, match="servers must be within 1"):
        queueing.waiting(of_load(1.0), 0)
    with pytest.raises(ValueError, match="a part of the requests"):
        queueing.least_servers(of_load(1.0), 1.0, 1.0)
