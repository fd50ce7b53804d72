"""The queries against a real Prometheus: promtool evaluates each text over series that are written down here."""

import pytest

from everwarm_operator import queries

WINDOW = 60
SERVICE = '{namespace_name="ns", service_name="digits"}'
POD = 'namespace_name="ns",service_name="digits",pod_name="{pod}"'


def server(metric: str, values: str, pod: str = "p1", extra: str = "") -> dict[str, str]:
    labels = POD.format(pod=pod) + (',model_name="digits"' if "ready_time" not in metric else "") + extra
    return {"series": f"{metric}{{{labels}}}", "values": values}


def ready_since(seconds: int, pod: str = "p1", first_scrape: int = 0) -> dict[str, str]:
    gap = f"_x{first_scrape // 5} " if first_scrape else ""
    return server("everwarm_ready_time_seconds", f"{gap}{seconds}x100", pod)


def activator_up(values: str = "1x100") -> dict[str, str]:
    return {"series": 'up{job="knative",instance="10.0.0.9:9090",pod_name="activator-7d-x"}', "values": values}


def activator(metric: str, values: str, extra: str = "") -> dict[str, str]:
    labels = (
        'job="knative",instance="10.0.0.9:9090",namespace_name="ns",service_name="digits",revision_name="digits-00001",'
        'pod_name="activator-7d-x",response_code="200"'
    )
    return {"series": f"{metric}{{{labels}{extra}}}", "values": values}


def renamed_activator(metric: str, values: str, extra: str = "") -> dict[str, str]:
    labels = (
        'job="knative",instance="10.0.0.9:9090",k8s_namespace_name="ns",kn_service_name="digits",'
        'kn_revision_name="digits-00001",http_response_status_code="200"'
    )
    return {"series": f"{metric}{{{labels}{extra}}}", "values": values}


STEADY = [ready_since(0), server("everwarm_request_seconds_count", "0+10x100")]  # 2 per second at one scrape in 5 s
ONE_COLD_SECOND = [  # three requests through the activator took 1 s to 2 s, two took up to 0.1 s
    activator_up(),
    activator("activator_request_count", "_x30 5x100"),
    activator("activator_request_latencies_bucket", "_x30 2x100", ',le="100"'),
    activator("activator_request_latencies_bucket", "_x30 2x100", ',le="1000"'),
    activator("activator_request_latencies_bucket", "_x30 5x100", ',le="2000"'),
    activator("activator_request_latencies_bucket", "_x30 5x100", ',le="+Inf"'),
]
FAST_SERVER = [
    ready_since(0),
    server("everwarm_request_seconds_count", "0x23 5x100"),
    server("everwarm_request_seconds_bucket", "0x23 5x100", extra=',le="0.1"'),
    server("everwarm_request_seconds_bucket", "0x23 5x100", extra=',le="+Inf"'),
]
READY = [
    server("everwarm_model_ready", "1x100"),
    server("everwarm_concurrency", "4x100"),
    ready_since(0),
]

# name, query, series, seconds after the beginning, what it must give (None: nothing)
CASES = [
    ("a steady rate", queries.request_rate, STEADY, 180, 2.0),
    (
        "requests of a pod that was born in the window count from the first one",
        queries.request_rate,
        [ready_since(125, first_scrape=135), server("everwarm_request_seconds_count", "_x27 30 60x100")],
        150,
        1.0,
    ),
    (
        "requests of a pod that loaded for long count from its readiness on",
        queries.request_rate,
        [
            server("everwarm_ready_time_seconds", "_x27 0 135x100"),
            server("everwarm_request_seconds_count", "_x27 0 60x100"),
        ],
        150,
        1.0,
    ),
    (
        "the past of a pod that is older than what Prometheus stored does not count",
        queries.request_rate,
        [ready_since(0, first_scrape=135), server("everwarm_request_seconds_count", "_x27 5000 5060x100")],
        150,
        None,
    ),
    (
        "a pod that died in the window counts, a restarted process counts from zero",
        queries.request_rate,
        [
            ready_since(0),
            server("everwarm_request_seconds_count", "0x24 30x3 stale"),
            server("everwarm_request_seconds_count", "900x24 6 30x100", pod="p2"),
        ],
        180,
        1.0,
    ),
    (
        "at zero replicas the activator's first request counts",
        queries.request_rate,
        [activator_up(), activator("activator_request_count", "_x30 6x100")],
        160,
        0.1,
    ),
    (
        "what an activator counted before Prometheus knew it does not",
        queries.request_rate,
        [activator_up("_x30 1x100"), activator("activator_request_count", "_x30 6000x100")],
        160,
        None,
    ),
    (
        "the activator of Knative 1.19 and later",
        queries.request_rate,
        [activator_up(), renamed_activator("http_server_request_duration_seconds_count", "0+10x100")],
        180,
        2.0,
    ),
    ("the larger rate of the two", queries.request_rate, [*STEADY, *ONE_COLD_SECOND], 180, 2.0),
    ("no series, no rate", queries.request_rate, [activator_up()], 180, None),
    ("latency of the server alone", queries.p95_seconds, FAST_SERVER, 165, 0.095),
    (
        "the wait for a replica is in the p95",
        queries.p95_seconds,
        [*FAST_SERVER, *ONE_COLD_SECOND],
        165,
        1.9166666666666665,
    ),
    (
        "few requests through the activator do not speak for the others",
        queries.p95_seconds,
        [
            ready_since(0),
            server("everwarm_request_seconds_count", "0x23 500x100"),
            server("everwarm_request_seconds_bucket", "0x23 500x100", extra=',le="0.1"'),
            server("everwarm_request_seconds_bucket", "0x23 500x100", extra=',le="+Inf"'),
            *ONE_COLD_SECOND,
        ],
        165,
        0.095,
    ),
    (
        "latency in seconds of Knative 1.19 and later",
        queries.p95_seconds,
        [
            activator_up(),
            renamed_activator("http_server_request_duration_seconds_count", "_x30 5x100"),
            renamed_activator("http_server_request_duration_seconds_bucket", "_x30 0x100", ',le="1"'),
            renamed_activator("http_server_request_duration_seconds_bucket", "_x30 5x100", ',le="2"'),
            renamed_activator("http_server_request_duration_seconds_bucket", "_x30 5x100", ',le="+Inf"'),
        ],
        165,
        1.95,
    ),
    (
        "no request, no p95 (and no NaN)",
        queries.p95_seconds,
        [
            ready_since(0),
            server("everwarm_request_seconds_count", "5x100"),
            server("everwarm_request_seconds_bucket", "5x100", extra=',le="0.1"'),
            server("everwarm_request_seconds_bucket", "5x100", extra=',le="+Inf"'),
        ],
        165,
        None,
    ),
    (
        "requests in flight of all replicas",
        queries.in_flight,
        [server("everwarm_in_flight_requests", "1x100"), server("everwarm_in_flight_requests", "2x100", pod="p2")],
        100,
        3.0,
    ),
    (
        "requests that wait at the activator",
        queries.in_flight,
        [
            server("everwarm_in_flight_requests", "1x100"),
            {
                "series": 'activator_request_concurrency{namespace_name="ns",service_name="digits",revision_name="r"}',
                "values": "7x100",
            },
        ],
        100,
        7.0,
    ),
    (
        "requests that wait at the activator of Knative 1.19 and later",
        queries.in_flight,
        [renamed_activator("kn_revision_request_concurrency", "7x100")],
        100,
        7.0,
    ),
    (
        "mean service time",
        queries.service_seconds,
        [
            ready_since(0),
            server("everwarm_inference_seconds_sum", "0+1x100"),
            server("everwarm_inference_seconds_count", "0+20x100"),
        ],
        180,
        0.05,
    ),
    (
        "no request, no service time",
        queries.service_seconds,
        [
            ready_since(0),
            server("everwarm_inference_seconds_sum", "5x100"),
            server("everwarm_inference_seconds_count", "20x100"),
        ],
        180,
        None,
    ),
    (
        "cold requests are a part of all",
        queries.cold_start_fraction,
        [
            ready_since(125, first_scrape=135),
            server("everwarm_cold_start_requests_total", "_x27 1x100"),
            server("everwarm_request_seconds_count", "_x27 1 4x100"),
        ],
        150,
        0.25,
    ),
    (
        "no request, no fraction",
        queries.cold_start_fraction,
        [
            ready_since(0),
            server("everwarm_cold_start_requests_total", "1x100"),
            server("everwarm_request_seconds_count", "4x100"),
        ],
        180,
        None,
    ),
    (
        "two busy slots of four",
        queries.utilization,
        [*READY, server("everwarm_inference_seconds_sum", "0+10x100")],
        180,
        0.5,
    ),
    (
        "idle is zero, and known",
        queries.utilization,
        [*READY, server("everwarm_inference_seconds_sum", "9x100")],
        180,
        0.0,
    ),
    (
        "never busier than all slots",
        queries.utilization,
        [*READY, server("everwarm_inference_seconds_sum", "0+500x100")],
        180,
        1.0,
    ),
    (
        "without a ready replica there is no utilisation",
        queries.utilization,
        [
            server("everwarm_model_ready", "0x100"),
            server("everwarm_concurrency", "4x100"),
            ready_since(0),
            server("everwarm_inference_seconds_sum", "0+10x100"),
        ],
        180,
        None,
    ),
    ("samples of now", queries.age_seconds, READY, 180, 0.0),
    ("samples of before", queries.age_seconds, [server("everwarm_model_ready", "1x6")], 180, 150.0),
    ("a replica that was always seen is no riddle", queries.unseen_replicas, READY, 180, None),
    (
        "an old replica that is seen for less than the window",
        queries.unseen_replicas,
        [ready_since(0, first_scrape=150), server("everwarm_model_ready", "_x30 1x100")],
        180,
        1.0,
    ),
    (
        "a young replica is not expected to have been seen",
        queries.unseen_replicas,
        [ready_since(145, first_scrape=150), server("everwarm_model_ready", "_x30 1x100")],
        180,
        None,
    ),
]


@pytest.mark.parametrize(("query", "series", "at_seconds", "value"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_prometheus_gives(evaluate, query, series, at_seconds: int, value: float | None) -> None:
    samples = [] if value is None else [{"labels": SERVICE, "value": value}]
    assert not evaluate(query(WINDOW), series, at_seconds, samples)


def test_only_fresh_and_ready_replicas_report(evaluate) -> None:
    series = [
        server("everwarm_model_ready", "1x100"),
        server("everwarm_model_ready", "0x100", pod="loading"),
        server("everwarm_model_ready", "1x6", pod="lost"),
    ]
    assert not evaluate(queries.reporting_replicas(60), series, 180, [{"labels": SERVICE, "value": 1.0}])


@pytest.mark.parametrize(
    ("up", "samples"),
    [("1x100", [{"labels": "{}", "value": 0.0}]), ("0x100", []), ("1x30", [{"labels": "{}", "value": 30.0}])],
    ids=["scraped now", "down", "scraped half a minute ago"],
)
def test_the_age_of_the_activators_scrape(evaluate, up: str, samples: list[dict]) -> None:
    assert not evaluate(queries.activator_age_seconds(WINDOW), [activator_up(up)], 180, samples)


def test_one_query_gives_all_services(evaluate) -> None:
    other = {
        "series": 'everwarm_request_seconds_count{namespace_name="ns",service_name="b",pod_name="q"}',
        "values": "0+5x99",
    }
    samples = [
        {"labels": SERVICE, "value": 2.0},
        {"labels": '{namespace_name="ns", service_name="b"}', "value": 1.0},
    ]
    assert not evaluate(queries.request_rate(WINDOW), [*STEADY, other], 180, samples)
