"""Latency buckets, the gateway's meter, the replicas' counters and the observation made of them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_cli.up import counts, latency
from everwarm_cli.up.counts import Counts, Ledger, NotOurMetrics
from everwarm_cli.up.meter import GatewayTotals, Meter
from everwarm_cli.up.observe import Reading, Window
from everwarm_planner.observation import Observation


def tally(values: list[float]) -> dict[int, int]:
    result: dict[int, int] = {}
    for value in values:
        result[latency.bucket(value)] = result.get(latency.bucket(value), 0) + 1
    return result


@given(st.lists(st.floats(1e-4, 1e4), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_within_one_percent_of_a_value_of_that_rank(values: list[float], part: float) -> None:
    buckets = tally(values)
    found = latency.quantile(buckets, part)
    assert found is not None
    assert any(abs(found / value - 1) < 0.011 for value in values)
    within = sum(value <= found * 1.011 for value in values)
    assert within >= part * len(values) - 1e-9


def test_quantiles_of_nothing_are_unknown() -> None:
    assert latency.quantile({}, 0.95) is None


def test_a_difference_is_what_came_between() -> None:
    assert latency.difference({1: 5, 2: 3, 7: 1}, {1: 5, 2: 1}) == {2: 2, 7: 1}


def test_the_p95_of_a_known_distribution() -> None:
    source = random.Random(7)
    values = [source.uniform(0.1, 0.2) for _ in range(20_000)]
    assert latency.quantile(tally(values), 0.95) == pytest.approx(0.195, rel=0.02)


def test_the_meter_integrates_levels_and_counts_errors() -> None:
    meter = Meter(100.0)
    meter.replicas(100.0, ready=1, alive=2)
    meter.arrived(101.0)
    meter.arrived(101.0)
    meter.started(102.0)
    meter.freed(104.0)
    meter.finished(104.0, 3.0, 200)
    meter.finished(105.0, 4.0, 504)
    meter.replicas(106.0, ready=2, alive=2)
    assert meter.read(110.0) == GatewayTotals(
        at_seconds=110.0,
        arrivals=2,
        errors=1,
        latencies={latency.bucket(3.0): 1, latency.bucket(4.0): 1},
        in_flight=0,
        in_flight_seconds=2 * 3 + 1,
        busy_seconds=2.0,
        ready_seconds=6 + 2 * 4,
        alive_seconds=20.0,
    )


METRICS = """\
# HELP everwarm_requests_total x
# TYPE everwarm_requests_total counter
everwarm_requests_total{model_name="digits",code="200"} 40.0
everwarm_requests_total{model_name="digits",code="503"} 2.0
# TYPE everwarm_cold_start_requests_total counter
everwarm_cold_start_requests_total{model_name="digits"} 3.0
# TYPE everwarm_inference_seconds histogram
everwarm_inference_seconds_bucket{model_name="digits",le="0.1"} 40.0
everwarm_inference_seconds_bucket{model_name="digits",le="+Inf"} 40.0
everwarm_inference_seconds_sum{model_name="digits"} 0.8
everwarm_inference_seconds_count{model_name="digits"} 40.0
# TYPE everwarm_in_flight_requests gauge
everwarm_in_flight_requests{model_name="digits"} 1.0
"""


def test_the_counters_of_a_replica_are_summed_over_their_labels() -> None:
    assert counts.parse(METRICS) == Counts(requests=42, cold_starts=3, inference_seconds=0.8, inferences=40)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "lack everwarm_requests_total, everwarm_cold_start_requests_total, everwarm_inference_seconds_sum"),
        (METRICS.replace("everwarm_cold_start", "other"), "lack everwarm_cold_start_requests_total"),
        ('everwarm_requests_total{model_name="digits 1', "can't be read"),
    ],
)
def test_other_pages_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(NotOurMetrics, match=sentence):
        counts.parse(text)


def test_dead_replicas_keep_what_they_counted_and_new_ones_count_from_zero() -> None:
    ledger = Ledger()
    assert ledger.total() == Counts()
    ledger.note("1", Counts(requests=10, inferences=10))
    ledger.note("1", Counts(requests=15, inferences=14))
    ledger.note("2", Counts(requests=4, cold_starts=2))
    assert ledger.total() == Counts(requests=19, cold_starts=2, inferences=14)


def totals(
    at: float, arrivals: int = 0, busy: float = 0.0, ready: float = 0.0, in_flight: int = 0, **more
) -> GatewayTotals:
    return GatewayTotals(
        at_seconds=at, arrivals=arrivals, busy_seconds=busy, ready_seconds=ready, in_flight=in_flight, **more
    )


def test_an_observation_compares_now_with_a_window_ago() -> None:
    window = Window(10.0, concurrency=2, start=Reading(totals(0.0), Counts()))
    window.observe(Reading(totals(5.0, 100, 5.0, 5.0), Counts(50, 50, 5.0, 50)), 1, 0.3)
    window.observe(Reading(totals(10.0, 100, 5.0, 10.0), Counts(50, 50, 5.0, 50)), 1, 0.3)
    slow, quick = latency.bucket(0.5), latency.bucket(0.1)
    last = totals(15.0, 140, 17.0, 25.0, in_flight=3, latencies={slow: 1, quick: 39})
    seen = window.observe(Reading(last, Counts(90, 60, 9.0, 90)), 2, 0.3)
    assert seen == Observation(
        at_seconds=15.0,
        rate_per_second=4.0,
        p95_seconds=latency.quantile({quick: 1}, 0.5),
        service_seconds=12.0 / 40,
        cold_start_fraction=0.25,
        utilization=12.0 / (20.0 * 2),
        ready_replicas=2,
        in_flight=3.0,
        late_fraction=1 / 40,
    )


def test_without_requests_there_is_no_latency_and_without_replicas_no_utilisation() -> None:
    window = Window(10.0, concurrency=1, start=Reading(totals(0.0), Counts()))
    assert window.observe(Reading(totals(2.0, in_flight=1, arrivals=1), Counts()), 0, 0.3) == Observation(
        2.0, 0.5, None, None, 0.0, None, 0, 1.0
    )


def test_an_instant_that_was_read_already_is_no_new_observation() -> None:
    window = Window(10.0, concurrency=1, start=Reading(totals(3.0), Counts()))
    assert window.observe(Reading(totals(3.0), Counts()), 1, 0.3) is None
