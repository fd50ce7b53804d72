"""What traffic and replicas are like, against a real Prometheus: promtool evaluates each text over given series."""

import pytest

from everwarm_operator import traits

AT = 180  # seconds after the beginning of the series
SERVICE = '{namespace_name="ns", service_name="digits"}'


def server(metric: str, values: str, pod: str = "p1", extra: str = "") -> dict[str, str]:
    labels = f'namespace_name="ns",service_name="digits",pod_name="{pod}"{extra}'
    return {"series": f"{metric}{{{labels}}}", "values": values}


def expected(values: dict[str, float]) -> list[dict]:
    """Samples by their labels."""
    return [{"labels": labels, "value": value} for labels, value in values.items()]


DISPERSION = "everwarm_arrival_dispersion"
NANS = " ".join(["NaN"] * 40)
CREATED = {"series": 'kube_pod_created{namespace="ns",pod="p1",job="kube-state-metrics"}', "values": "100x100"}
CASES = [
    ("one replica's dispersion is the service's", traits.dispersion(), [server(DISPERSION, "4.4x100")], 4.4),
    (
        "two replicas that see 3 each see 5 together",
        traits.dispersion(),
        [server(DISPERSION, "3x100"), server(DISPERSION, "3x100", pod="p2")],
        5.0,
    ),
    (
        "a replica without arrivals says nothing of the traffic",
        traits.dispersion(),
        [server(DISPERSION, "3x100"), server(DISPERSION, NANS, pod="p2")],
        3.0,
    ),
    ("without requests there is none", traits.dispersion(), [server(DISPERSION, NANS)], None),
    (
        "a replica is ready after its process began and its pod was started",
        traits.time_to_ready_seconds(5),
        [server("everwarm_start_time_seconds", "103x100"), server("everwarm_ready_time_seconds", "0x3 120x100")],
        22.0,
    ),
    (
        "where it is known when a pod was made, that counts",
        traits.time_to_ready_seconds(5),
        [server("everwarm_start_time_seconds", "103x100"), server("everwarm_ready_time_seconds", "120x100"), CREATED],
        20.0,
    ),
    (
        "a replica that is gone took its time too",
        traits.time_to_ready_seconds(0),
        [server("everwarm_start_time_seconds", "0x5 stale"), server("everwarm_ready_time_seconds", "8x5 stale")],
        8.0,
    ),
    (
        "a replica that is still loading says nothing yet",
        traits.time_to_ready_seconds(5),
        [server("everwarm_start_time_seconds", "103x100"), server("everwarm_ready_time_seconds", "0x100")],
        None,
    ),
    (
        "the past is a rate by service",
        traits.rates_per_second(60, "other|digits"),
        [
            server("everwarm_request_seconds_count", "0+5x100"),
            server("everwarm_request_seconds_count", "0+10x100", pod="p2"),
        ],
        3.0,
    ),
    (
        "a service that sleeps has a past of zeros, of the activator",
        traits.rates_per_second(60, "digits"),
        [{"series": 'activator_request_count{namespace_name="ns",service_name="digits"}', "values": "7x100"}],
        0.0,
    ),
    (
        "the past of the activator under its new names",
        traits.rates_per_second(60, "digits"),
        [
            {
                "series": "http_server_request_duration_seconds_count{"
                'k8s_namespace_name="ns",kn_service_name="digits",kn_revision_name="digits-00001"}',
                "values": "0+5x100",
            }
        ],
        1.0,
    ),
    (
        "the past of another service",
        traits.rates_per_second(60, "digi|igits"),
        [server("everwarm_request_seconds_count", "0+5x100")],
        None,
    ),
]


@pytest.mark.parametrize(("text", "series", "value"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_prometheus_gives(evaluate, text: str, series: list[dict[str, str]], value: float | None) -> None:
    assert not evaluate(text, series, AT, expected({} if value is None else {SERVICE: value}))


UP = {"series": 'up{job="knative",instance="10.0.0.9:9090",pod_name="activator-7d-x"}', "values": "1x100"}
BORN = server("everwarm_ready_time_seconds", "0x100")


def buckets(metric: str, counts: dict[str, str], labels: str) -> list[dict[str, str]]:
    return [{"series": f'{metric}{{{labels},le="{le}"}}', "values": values} for le, values in counts.items()]


def with_le(counts: dict[str, float]) -> dict[str, float]:
    return {f'{SERVICE[:-1]}, le="{le}"}}': count for le, count in counts.items()}


def test_buckets_come_bound_by_bound(evaluate) -> None:
    labels = 'namespace_name="ns",service_name="digits",pod_name="p1",model_name="digits"'
    series = buckets("everwarm_request_seconds_bucket", {"0.5": "0+1x100", "+Inf": "0+2x100"}, labels)
    counted = with_le({"0.5": 12, "+Inf": 24})
    assert not evaluate(traits.latency_buckets(60), [BORN, *series], AT, expected(counted))


OLD = (
    'job="knative",instance="10.0.0.9:9090",namespace_name="ns",service_name="digits",revision_name="digits-00001",'
    'pod_name="activator-7d-x",response_code="200"'
)
NEW = 'job="knative",instance="10.0.0.9:9090",k8s_namespace_name="ns",kn_service_name="digits",kn_revision_name="d-1"'


@pytest.mark.parametrize(
    ("text", "metric", "count", "labels"),
    [
        (
            traits.activator_buckets_milliseconds(60),
            "activator_request_latencies_bucket",
            "activator_request_count",
            OLD,
        ),
        (
            traits.activator_buckets_seconds(60),
            "http_server_request_duration_seconds_bucket",
            "http_server_request_duration_seconds_count",
            NEW,
        ),
    ],
    ids=["to 1.18", "from 1.19"],
)
def test_the_activators_buckets_count_where_requests_go_through_it(
    evaluate, text: str, metric: str, count: str, labels: str
) -> None:
    through = buckets(metric, {"500": "0+1x100", "+Inf": "0+2x100"}, labels)
    counted = {"series": f"{count}{{{labels}}}", "values": "0+2x100"}
    few = server("everwarm_request_seconds_count", "0+2x100", extra=',model_name="digits"')
    many = server("everwarm_request_seconds_count", "0+100x100", extra=',model_name="digits"')
    seen = expected(with_le({"500": 12, "+Inf": 24}))

    assert not evaluate(text, [UP, BORN, *through, counted, few], AT, seen)
    assert not evaluate(text, [UP, BORN, *through, counted, many], AT, [])
