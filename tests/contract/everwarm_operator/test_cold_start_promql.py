"""The part of cold requests against a real Prometheus, with the ingress's header absent: who waited tells it.

Each case is a number of requests, all at one moment, by how long they took at the activator and at the server.
"""

from collections.abc import Sequence

import pytest

from everwarm_operator import queries
from everwarm_server.telemetry.metrics import BUCKETS, Metrics

WINDOW, STEP, AT = 60, 5, 165
SERVED = 150  # when the requests show up in a scrape
# As in Knative's code, without those under 100 ms.
OLD_BOUNDS = (100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000)
NEW_BOUNDS = (0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
SERVER = 'namespace_name="ns",service_name="digits",pod_name="p1",model_name="digits"'
OLD = (
    'job="knative",instance="10.0.0.9:9090",namespace_name="ns",service_name="digits",pod_name="activator-x",'
    'response_code="{code}"'
)
NEW = (
    'job="knative",instance="10.0.0.9:9090",k8s_namespace_name="ns",kn_service_name="digits",'
    'kn_revision_name="digits-00001",http_response_status_code="{code}"'
)
SERVICE = '{namespace_name="ns", service_name="digits"}'

Series = list[dict[str, str]]


def step(value: float, at: int, *, born: bool) -> str:
    """A counter that goes from nothing (0, or no series) to `value` at a time."""
    before = "_" if born else "0"
    return f"{before}x{at // STEP - 1} {value:g}x100"


def histogram(
    name: str, labels: str, bounds: Sequence[float], seen: Sequence[float], at: int, born: bool, point: str = ""
) -> Series:
    texts = [f"{bound:g}{point if bound == int(bound) else ''}" for bound in bounds]
    counts = [sum(value <= bound for value in seen) for bound in bounds]
    return [
        {"series": f'{name}_bucket{{{labels},le="{le}"}}', "values": step(count, at, born=born)}
        for le, count in [*zip(texts, counts, strict=True), ("+Inf", len(seen))]
    ]


def server(seconds: Sequence[float], at: int = SERVED, born: bool = False, cold: int = 0) -> Series:
    ready = f"_x{at // STEP - 1} {at - 2}x100" if born else "0x200"
    name = "everwarm_request_seconds"
    return [
        {"series": f"everwarm_ready_time_seconds{{{SERVER}}}", "values": ready},
        {"series": f"{name}_count{{{SERVER}}}", "values": step(len(seconds), at, born=born)},
        {"series": f"everwarm_cold_start_requests_total{{{SERVER}}}", "values": step(cold, at, born=born)},
        *histogram(name, SERVER, [b for b in BUCKETS if b < 200], seconds, at, born, ".0"),
    ]


def activator(seconds: Sequence[float], at: int = SERVED, born: bool = True, code: int = 200) -> Series:
    """Of Knative up to 1.18: counts in milliseconds."""
    labels = OLD.format(code=code)
    seen = [second * 1000 for second in seconds]
    return [
        {"series": f"activator_request_count{{{labels}}}", "values": step(len(seen), at, born=born)},
        *histogram("activator_request_latencies", labels, OLD_BOUNDS, seen, at, born),
    ]


def renamed_activator(seconds: Sequence[float], at: int = SERVED, born: bool = True, point: str = "") -> Series:
    """Of Knative from 1.19 on; `point`: what follows a whole number in `le`."""
    labels, name = NEW.format(code=200), "http_server_request_duration_seconds"
    return [
        {"series": f"{name}_count{{{labels}}}", "values": step(len(seconds), at, born=born)},
        *histogram(name, labels, NEW_BOUNDS, seconds, at, born, point),
    ]


UP = [{"series": 'up{job="knative",instance="10.0.0.9:9090",pod_name="activator-x"}', "values": "1x200"}]
FAST, SLOW, WAITED = [0.25], [3.0], [3.4]

CASES = [
    ("nobody waited", [*server(FAST * 20), *activator(FAST * 20)], 0.0),
    ("a part waited, and came long after readiness", [*server(FAST * 20), *activator(FAST * 15 + WAITED * 5)], 0.25),
    (
        "all waited for a replica that was born for them",
        [*server(FAST * 20, born=True), *activator([1.2, *WAITED * 19])],
        1.0,
    ),
    (
        "the activator of Knative 1.19 and later",
        [*server(FAST * 20), *renamed_activator(FAST * 15 + WAITED * 5)],
        0.25,
    ),
    (
        "whole bounds as Prometheus 3 stores them",
        [*server(FAST * 20), *renamed_activator(FAST * 15 + [1.2] * 5, point=".0")],
        0.25,
    ),
    ("an activator that counted before", [*server(FAST * 20), *activator(FAST * 19 + WAITED, born=False)], 0.05),
    ("a slow model that nobody waited for", [*server(SLOW * 20), *activator(SLOW * 20)], 0.0),
    ("a slow model, Knative 1.19 and later", [*server(SLOW * 20), *renamed_activator(SLOW * 20)], 0.0),
    ("a slow model that a part waited for", [*server(SLOW * 20), *activator(SLOW * 15 + [14.0] * 5)], 0.25),
    ("fast and slow requests of one model", [*server(FAST * 10 + SLOW * 10), *activator(FAST * 10 + SLOW * 10)], 0.0),
    ("a model slower than any bound gives no sign", [*server([70.0] * 20), *activator([110.0] * 20)], 0.0),
    ("most go past the activator", [*server(FAST * 100), *activator(FAST * 5 + WAITED * 5)], 0.05),
    ("no activator", server(FAST * 20), 0.0),
    ("what the servers count stays", [*server(FAST * 20, cold=5), *activator(FAST * 18 + WAITED * 2)], 0.25),
    (
        "the larger figure counts, not the sum",
        [*server(FAST * 20, cold=1), *activator(FAST * 15 + WAITED * 5)],
        0.25,
    ),
    (
        "clients that left while they waited",
        [*server(FAST * 16), *activator(FAST * 16), *activator([2.0] * 4, code=500)],
        0.25,
    ),
    ("never more than all", [*server(FAST * 2, cold=2), *activator(WAITED * 9)], 1.0),
    # Scrapes do not come at once: one side has the requests of the last seconds already, the other has not.
    ("the activator is ahead", [*server(FAST * 10), *activator(FAST * 30)], 0.0),
    ("the activator is ahead, of a slow model", [*server(SLOW * 10), *activator(SLOW * 30)], 0.0),
    ("the server is ahead", [*server(FAST * 30), *activator(FAST * 8 + WAITED * 2)], 2 / 30),
    ("the server is not scraped yet", [*server([], at=AT), *activator(WAITED * 9)], None),
    (
        "the activator is ahead, and a bound lies within the service times",
        [*server([*FAST * 98, *[1.0] * 2]), *activator([*FAST * 147, *[1.1] * 3])],
        0.01,
    ),
]


@pytest.mark.parametrize(("series", "value"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_part_of_cold_requests(evaluate, series: Series, value: float | None) -> None:
    samples = [] if value is None else [{"labels": SERVICE, "value": value}]
    assert not evaluate(queries.cold_start_fraction(WINDOW), [*UP, *series], AT, samples)


def test_the_servers_have_the_bounds_that_are_asked_for() -> None:
    metrics = Metrics(start_seconds=0.0)
    metrics.declare("digits", concurrency=1)
    exposed = metrics.exposition("")[0].decode()
    bounds = {float(row[0]) for row in queries.WAIT_BOUNDS}
    assert bounds <= set(BUCKETS)
    assert all(f'everwarm_request_seconds_bucket{{le="{bound}",' in exposed for bound in bounds)


def test_a_pair_of_bounds_is_half_a_second_apart_at_least() -> None:
    for at_server, old, new in queries.WAIT_BOUNDS:
        assert float(old) / 1000 - float(at_server) >= 0.5
        assert float(old) in OLD_BOUNDS
        if new is not None:
            assert float(new) - float(at_server) >= 0.5
            assert float(new) in NEW_BOUNDS
