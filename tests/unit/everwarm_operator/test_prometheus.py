"""The Prometheus client: what it takes for an answer, and what it refuses."""

import json

import httpx
import pytest

from everwarm_operator import prometheus
from everwarm_operator.access import Access
from everwarm_operator.errors import BadAnswer, PrometheusError, Unreachable
from everwarm_operator.prometheus import HttpPrometheus, RangeSeries, Sample


def answer(result: object, **more: object) -> str:
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}, **more})


async def ask(response: httpx.Response | Exception) -> tuple[Sample, ...]:
    def handle(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path, request.content) == ("POST", "/api/v1/query", b"query=up")
        if isinstance(response, Exception):
            raise response
        return response

    async with HttpPrometheus(Access(("http://prometheus:9090",)), transport=httpx.MockTransport(handle)) as client:
        return await client.query("up")


async def test_an_answer_is_typed() -> None:
    body = answer([{"metric": {"service_name": "a"}, "value": [1.5, "2.5"]}, {"metric": {}, "value": [1.5, "0"]}])
    assert await ask(httpx.Response(200, text=body)) == (
        Sample({"service_name": "a"}, 2.5, "2.5"),
        Sample({}, 0.0, "0"),
    )


async def test_an_empty_answer_is_no_zero() -> None:
    assert await ask(httpx.Response(200, text=answer([]))) == ()


@pytest.mark.parametrize("text", ["NaN", "+Inf", "-Inf", "-1", "many", None, [], "1e999"])
async def test_a_value_that_is_no_count_is_marked(text: object) -> None:
    body = answer([{"metric": {}, "value": [1, text]}])
    assert [sample.value for sample in await ask(httpx.Response(200, text=body))] == [None]


BAD = {
    "HTML": "<html>login</html>",
    "truncated": answer([])[:-5],
    "nothing": "",
    "not UTF-8": b"\xff\xfe",
    "an error with status 200": '{"status": "error", "error": "x"}',
    "a list": "[]",
    "a scalar": '{"status": "success", "data": {"resultType": "scalar", "result": [1, "2"]}}',
    "a matrix": '{"status": "success", "data": {"resultType": "matrix", "result": []}}',
    "no data": '{"status": "success"}',
    "an element without a value": answer([{"metric": {}}]),
    "an element that is a number": answer([3]),
    "labels that are none": answer([{"metric": 3, "value": [1, "2"]}]),
    "a value of three": answer([{"metric": {}, "value": [1, "2", 3]}]),
    "a warning": answer([], warnings=["a store is down"]),
    "a part": answer([], isPartial=True),
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
async def test_what_is_no_answer_is_refused(body: str | bytes) -> None:
    with pytest.raises(BadAnswer):
        await ask(httpx.Response(200, content=body))


@pytest.mark.parametrize(
    ("response", "sentence"),
    [
        (httpx.ConnectError("connection refused"), "can't be reached: connection refused"),
        (httpx.ReadTimeout("slow"), "did not answer within 5 s"),
        (httpx.RemoteProtocolError("cut off"), "can't be reached: cut off"),
        (httpx.ReadError(""), "can't be reached: ReadError"),
        (httpx.Response(503, text="<html>"), "answered HTTP 503$"),
        (httpx.Response(422, text='{"error": "too many samples"}'), "answered HTTP 422: too many samples"),
        (httpx.Response(302, headers={"Location": "/login"}), "answered HTTP 302"),
    ],
)
async def test_who_does_not_answer_is_unreachable(response, sentence: str) -> None:
    with pytest.raises(Unreachable, match=sentence):
        await ask(response)


async def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "MAX_BODY_BYTES", 1024 * 1024)
    with pytest.raises(PrometheusError, match="longer than 1 MiB"):
        await ask(httpx.Response(200, content=b" " * 2 * 1024 * 1024))


async def test_a_range_is_asked_for_and_what_is_no_count_is_left_out() -> None:
    asked = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path, dict(httpx.QueryParams(request.content.decode()))))
        values = [[60, "1.5"], [120, "NaN"], [180, "0"]]
        result = [{"metric": {"service_name": "a"}, "values": values}]
        body = {"status": "success", "data": {"resultType": "matrix", "result": result}}
        return httpx.Response(200, json=body)

    async with HttpPrometheus(Access(("http://prometheus:9090",)), transport=httpx.MockTransport(handle)) as client:
        found = await client.query_range("up", 60.0, 180.0, 60)

    assert found == (RangeSeries({"service_name": "a"}, {60.0: 1.5, 180.0: 0.0}),)
    times = {"start": "60.000", "end": "180.000", "step": "60"}
    assert asked == [("/api/v1/query_range", {"query": "up", **times})]


@pytest.mark.parametrize(
    "result",
    [[{"metric": {}}], [{"metric": {}, "values": [[1]]}], [3], [{"metric": 3, "values": []}], {"a": 1}],
    ids=["no values", "half a value", "a number", "labels that are none", "an object"],
)
def test_what_is_no_range_is_refused(result: object) -> None:
    body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()
    with pytest.raises(BadAnswer):
        prometheus.series(body)
