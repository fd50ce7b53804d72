"""The past of a service from Prometheus: long ranges in parts, holes that stay holes, and what goes wrong."""

import math
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest
import respx

from everwarm_cli.backtest import history
from everwarm_cli.backtest.history import Measured, Span
from everwarm_cli.errors import CommandError
from everwarm_cli.prometheus.access import Access
from everwarm_cli.prometheus.client import Client
from everwarm_cli.traces.series import Rates

URL = "http://prometheus.example:9090"
RANGE, INSTANT = f"{URL}/api/v1/query_range", f"{URL}/api/v1/query"


def matrix(*series: dict[float, float | str]) -> httpx.Response:
    result = [{"metric": {}, "values": [[at, str(value)] for at, value in one.items()]} for one in series]
    return httpx.Response(200, json={"status": "success", "data": {"resultType": "matrix", "result": result}})


def vector(*values: float | str) -> httpx.Response:
    result = [{"metric": {}, "value": [0, str(value)]} for value in values]
    return httpx.Response(200, json={"status": "success", "data": {"resultType": "vector", "result": result}})


def asked(request: httpx.Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.content.decode()).items()}


def test_a_value_is_that_of_the_step_before_it_and_no_value_is_a_hole(respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(RANGE).mock(return_value=matrix({1060: 1.5, 1180: 2.5}, {1060: 0.5, 1240: "NaN"}))
    with Client(Access(URL)) as client:
        rates = client.rates("x", 1000.0, 1240.0, 60)
    assert repr(rates) == repr(Rates(60.0, [2.0, math.nan, 2.5, math.nan], 1000.0))
    assert asked(route.calls[0].request) == {"query": "x", "start": "1060.000", "end": "1240.000", "step": "60"}


def test_a_long_range_is_asked_for_in_parts(respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(RANGE).mock(
        side_effect=lambda request: matrix({float(asked(request)["start"]): 1.0, float(asked(request)["end"]): 2.0})
    )
    with Client(Access(URL)) as client:
        rates = client.rates("x", 0.0, 14 * 86_400.0, 60)
    spans = [(float(asked(call.request)["start"]), float(asked(call.request)["end"])) for call in route.calls]
    assert spans == [(60.0, 600_000.0), (600_060.0, 1_200_000.0), (1_200_060.0, 1_209_600.0)]
    assert rates is not None
    assert (len(rates.per_second), rates.missing) == (14 * 1440, 14 * 1440 - 6)
    assert (rates.per_second[0], rates.per_second[9_999], rates.per_second[10_000]) == (1.0, 2.0, 1.0)


def test_credentials_and_tenant_are_sent(respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(INSTANT).mock(return_value=vector(3.5))
    with Client(Access(URL + "/", (("X-Scope-OrgID", "team"),), user="me", password="pw")) as client:
        assert client.value("y", 12.0) == 3.5
    headers = route.calls[0].request.headers
    assert (headers["x-scope-orgid"], headers["authorization"]) == ("team", "Basic bWU6cHc=")
    assert asked(route.calls[0].request) == {"query": "y", "time": "12.000"}


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (httpx.Response(401), "answered HTTP 401: it wants other credentials"),
        (httpx.Response(400, json={"error": "parse error: unclosed"}), "answered HTTP 400: parse error: unclosed."),
        (httpx.Response(302, headers={"location": "/login"}), "answered HTTP 302."),
        (httpx.Response(502, text="<html>"), "answered HTTP 502."),
        (httpx.Response(200, text="<html>login"), "gave an answer that can't be used: .* not JSON"),
        (httpx.ConnectError("Connection refused"), "can't be reached: Connection refused."),
        (httpx.ReadTimeout(""), "did not answer within 60 s"),
    ],
)
def test_what_goes_wrong_is_a_sentence(
    answer: httpx.Response | Exception, sentence: str, respx_mock: respx.MockRouter
) -> None:
    respx_mock.post(RANGE).mock(side_effect=[answer])
    with Client(Access(URL)) as client, pytest.raises(CommandError, match=sentence):
        client.rates("x", 0.0, 60.0, 60)


def test_what_can_not_be_asked_is_refused() -> None:
    with pytest.raises(CommandError, match=r"prometheus:9090 is no URL; write for example http://localhost:9090"):
        Client(Access("prometheus:9090"))


def test_tls_files_that_are_none_are_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "ca.pem"
    wrong.write_text("no certificate")
    with pytest.raises(CommandError, match="The TLS files can't be used"):
        Client(Access("https://prometheus.example", ca_file=wrong))


SPAN = Span(0.0, 180.0, 60)


def by_text(answers: dict[str, httpx.Response], otherwise: httpx.Response) -> object:
    def answer(request: httpx.Request) -> httpx.Response:
        text = asked(request)["query"]
        return next((response for part, response in answers.items() if part in text), otherwise)

    return answer


def test_a_service_of_ours_is_known_by_our_metrics(respx_mock: respx.MockRouter) -> None:
    respx_mock.post(RANGE).mock(
        side_effect=by_text({"everwarm_request_seconds_count": matrix({60: 1, 120: 2, 180: 3})}, matrix())
    )
    respx_mock.post(INSTANT).mock(
        side_effect=by_text(
            {
                "everwarm_inference_seconds_sum": vector(0.08),
                "everwarm_arrival_dispersion": vector(2.5),
                "everwarm_ready_time_seconds": vector(12.0),
            },
            vector(),
        )
    )
    with Client(Access(URL)) as client:
        found = history.of_service(client, "ns/digits", SPAN)
    assert found == Measured(Rates(60.0, [1.0, 2.0, 3.0], 0.0), "everwarm's metrics", 0.08, 2.5, 12.0)


@pytest.mark.parametrize(
    ("counter", "source", "mean"),
    [
        ('http_server_request_duration_seconds_count{namespace_name="ns"', "Knative's queue-proxy", "kn_serving"),
        ('revision_request_count{namespace_name="ns",service_name="s"}', "Knative's queue-proxy", "revision_app"),
        ('_seconds_count{k8s_namespace_name="ns",kn_service_name="s"}', "Knative's activator alone", "none"),
    ],
)
def test_any_knative_service_is_known_by_knatives_metrics(
    counter: str, source: str, mean: str, respx_mock: respx.MockRouter
) -> None:
    respx_mock.post(RANGE).mock(side_effect=by_text({counter: matrix({60: 1, 120: 2, 180: 3})}, matrix()))
    respx_mock.post(INSTANT).mock(side_effect=by_text({mean: vector(0.2)}, vector()))
    with Client(Access(URL)) as client:
        found = history.of_service(client, "ns/s", SPAN)
    service = None if mean == "none" else 0.2
    assert found == Measured(Rates(60.0, [1.0, 2.0, 3.0], 0.0), source, service, None, None)


def test_only_where_there_were_no_pods_is_nothing_a_zero(respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(RANGE).mock(return_value=matrix({60: 1}))
    respx_mock.post(INSTANT).mock(return_value=vector())
    with Client(Access(URL)) as client:
        history.of_service(client, "ns/s", SPAN)
    assert asked(route.calls[0].request)["query"] == (
        '(sum(rate(everwarm_request_seconds_count{namespace_name="ns",service_name="s"}[60s])) or 0 * '
        '((sum(autoscaler_actual_pods{namespace_name="ns",service_name="s"}) or '
        'sum(kn_revision_pods_count{k8s_namespace_name="ns",kn_service_name="s"})) == 0))'
    )


def test_all_texts_are_promql(respx_mock: respx.MockRouter) -> None:
    promql_parser = pytest.importorskip("promql_parser")
    ranges = respx_mock.post(RANGE).mock(return_value=matrix())
    instants = respx_mock.post(INSTANT).mock(return_value=vector())
    with Client(Access(URL)) as client:
        with pytest.raises(CommandError):
            history.of_service(client, "ns/s", SPAN)
        ranges.mock(return_value=matrix({60: 1}))
        history.of_service(client, "ns/s", SPAN)
    texts = [asked(call.request)["query"] for call in (*ranges.calls, *instants.calls)]
    assert len(texts) == 5 + 1 + 5
    for text in texts:
        promql_parser.parse(text)


def test_an_own_query_knows_the_step(respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(RANGE).mock(return_value=matrix({60: 1}))
    with Client(Access(URL)) as client:
        found = history.of_query(client, "sum(rate(http_total[$step]))", SPAN)
    assert asked(route.calls[0].request)["query"] == "sum(rate(http_total[60s]))"
    assert repr(found) == repr(Measured(Rates(60.0, [1.0, math.nan, math.nan], 0.0), "your query"))


@pytest.mark.parametrize(
    ("service", "sentence"),
    [
        ("digits", "write NAMESPACE/NAME"),
        ("a/", "write NAMESPACE/NAME"),
        ('a/b"}', "write NAMESPACE/NAME"),
        ("a/b", "knows no requests of a/b"),
    ],
)
def test_a_service_that_nobody_knows_is_refused(service: str, sentence: str, respx_mock: respx.MockRouter) -> None:
    respx_mock.post(RANGE).mock(return_value=matrix())
    with Client(Access(URL)) as client, pytest.raises(CommandError, match=sentence):
        history.of_service(client, service, SPAN)


def test_a_query_without_values_is_refused(respx_mock: respx.MockRouter) -> None:
    respx_mock.post(RANGE).mock(return_value=matrix())
    with Client(Access(URL)) as client, pytest.raises(CommandError, match="--query gave no values in that time: x"):
        history.of_query(client, "x", SPAN)
