"""How much memory to ask for, by what was used."""

import httpx
import pytest
import respx

from everwarm_cli.errors import CommandError
from everwarm_cli.prometheus import memory_use
from everwarm_cli.prometheus.access import Access
from everwarm_cli.prometheus.client import Client

URL = "http://prometheus.example:9090"
NOW = 1_800_000_000.0
MEBIBYTE = 2**20


def matrix(*values: tuple[float, float]) -> httpx.Response:
    result = [{"metric": {}, "values": [[at, str(value)] for at, value in values]}] if values else []
    return httpx.Response(200, json={"status": "success", "data": {"resultType": "matrix", "result": result}})


@pytest.mark.parametrize("metric", ["container_memory_working_set_bytes", "process_resident_memory_bytes"])
def test_the_peaks_of_the_last_days_are_asked_for_and_recommended_with_a_margin(
    metric: str, respx_mock: respx.MockRouter
) -> None:
    promql_parser = pytest.importorskip("promql_parser")
    peaks = [(NOW - day * 86_400, 1000.0 * MEBIBYTE) for day in range(8)]
    route = respx_mock.post(f"{URL}/api/v1/query_range").mock(
        side_effect=lambda request: matrix(*peaks) if metric.encode() in request.content else matrix()
    )
    with Client(Access(URL)) as client:
        found = memory_use.recommendation(client, "models/digits", NOW)
    assert found.request_bytes == 1150 * MEBIBYTE
    assert found.sentence == (
        "The daily peaks of the last 8 days reach 1000 Mi nine times in ten: with 15 % to spare, ask for 1150 Mi."
    )
    for call in route.calls:
        promql_parser.parse(httpx.QueryParams(call.request.content.decode())["query"])


@pytest.mark.parametrize(
    ("service", "sentence"),
    [("digits", "write NAMESPACE/NAME"), ("models/digits", "Prometheus knows no memory of models/digits")],
)
def test_what_nobody_measured_is_refused(service: str, sentence: str, respx_mock: respx.MockRouter) -> None:
    respx_mock.post(f"{URL}/api/v1/query_range").mock(return_value=matrix())
    with Client(Access(URL)) as client, pytest.raises(CommandError, match=sentence):
        memory_use.recommendation(client, service, NOW)
