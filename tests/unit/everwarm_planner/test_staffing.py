"""Replicas for a rate and an objective: theory, asked as often as a cluster asks."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_planner import queueing, staffing
from everwarm_planner.queueing import Traffic

LOADS = st.builds(Traffic, st.floats(0.001, 500), st.floats(0.01, 1.0), st.floats(0.0, 2.0), st.floats(0.5, 20.0))


@pytest.mark.parametrize(
    ("traffic", "target", "late", "concurrency", "replicas"),
    [
        pytest.param(Traffic(0.0, 0.2), 0.6, 0.05, 1, 0, id="no traffic"),
        pytest.param(Traffic(44.0, 0.2, 0.25, 4.4), 0.6, 0.05, 1, 12, id="the objective at 95 %"),
        pytest.param(Traffic(44.0, 0.2, 0.25, 4.4), 0.6, 0.01, 1, 13, id="and at 99 %"),
        pytest.param(Traffic(44.0, 0.2, 0.25, 4.4), 0.6, 0.05, 4, 3, id="four at once"),
        pytest.param(Traffic(44.0, 0.2, 0.25, 4.4), 0.1, 0.05, 1, 9, id="no number is enough: to keep up"),
        pytest.param(
            Traffic(10.0, 0.2, 0.25, 1.0), 0.1, 0.05, 1, 3, id="a load that is whole needs one more to keep up"
        ),
    ],
)
def test_the_fewest_replicas(traffic: Traffic, target: float, late: float, concurrency: int, replicas: int) -> None:
    assert staffing.replicas(traffic, target, late, concurrency) == replicas


@given(LOADS, st.floats(0.05, 2.0), st.floats(0.005, 0.3))
def test_they_hold_the_objective_and_are_not_many_more_than_that_takes(
    traffic: Traffic, target: float, late: float
) -> None:
    replicas = staffing.replicas(traffic, target, late, 1)
    assert replicas > traffic.load
    needed, at_least = (queueing.least_servers(traffic, target, 1 - part) for part in (late, 2 * late))
    if needed is not None and at_least is not None:  # rounding may ask too much of a service that is nearly too slow
        assert at_least <= replicas <= math.ceil(1.15 * needed) + 2


@given(LOADS, st.floats(0.05, 2.0), st.floats(0.005, 0.3), st.floats(1.0, 3.0))
def test_more_requests_never_need_fewer(traffic: Traffic, target: float, late: float, more: float) -> None:
    busier = Traffic(
        traffic.rate_per_second * more, traffic.service_seconds, traffic.service_variation, traffic.dispersion
    )
    assert staffing.replicas(traffic, target, late, 1) <= staffing.replicas(busier, target, late, 1)
