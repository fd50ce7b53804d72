"""The proxy between an ASGI caller and replicas that are played by httpx's own mock transport."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from everwarm_cli.up.dispatch import Backend, Dispatcher
from everwarm_cli.up.gateway import Gateway
from everwarm_cli.up.meter import Meter

Handler = Callable[[httpx.Request], httpx.Response]


class Site:
    """A gateway with its own dispatcher, meter and replicas."""

    def __init__(
        self,
        handler: Handler,
        queue_size: int = 10,
        timeout_seconds: float = 5.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.dispatcher = Dispatcher(1, queue_size)
        self.meter = Meter(0.0)
        self.upstream = httpx.AsyncClient(transport=transport or httpx.MockTransport(handler))
        self.gateway = Gateway(self.dispatcher, self.meter, self.upstream, timeout_seconds)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.gateway), base_url="http://gateway")

    def add(self, name: str) -> Backend:
        backend = Backend(f"http://{name}")
        self.dispatcher.add(backend)
        return backend

    async def __aenter__(self) -> "Site":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()
        await self.upstream.aclose()


def echo(request: httpx.Request) -> httpx.Response:
    return httpx.Response(
        201, headers={"x-answer": "yes", "connection": "close"}, stream=httpx.ByteStream(request.content[::-1])
    )


async def test_a_request_goes_through_with_its_arrival_and_without_what_belongs_to_the_connection() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return echo(request)

    async with Site(handler) as site:
        backend = site.add("one")
        response = await site.client.post(
            "/v2/models/a%20b/infer?x=%2F",
            content=b"abc",
            headers={"x-mine": "1", "connection": "x-drop", "x-drop": "1", "x-request-start": "t=1"},
        )
    assert (response.status_code, response.content, response.headers["x-answer"]) == (201, b"cba", "yes")
    assert "connection" not in response.headers
    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", "http://one/v2/models/a%20b/infer?x=%2F")
    assert request.headers["x-mine"] == "1"
    assert "x-drop" not in request.headers
    assert float(request.headers["x-request-start"].removeprefix("t=")) > 1_600_000_000
    totals = site.meter.read(1e12)
    assert (totals.arrivals, totals.errors, totals.in_flight, backend.busy) == (1, 0, 0, 0)


class OneRefuses(httpx.AsyncBaseTransport):
    """Refuses to connect to `dead`, before or after it took the body; others answer with what they get."""

    def __init__(self, *, takes_the_body: bool) -> None:
        self.takes_the_body = takes_the_body

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "dead":
            if self.takes_the_body:
                await request.aread()
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(200, stream=httpx.ByteStream(await request.aread()))


@pytest.mark.parametrize(("takes_the_body", "status", "content"), [(False, 200, b"once"), (True, 502, None)])
async def test_a_refused_connection_is_tried_on_another_replica_unless_the_body_is_gone(
    takes_the_body: bool, status: int, content: bytes | None
) -> None:
    async with Site(echo, transport=OneRefuses(takes_the_body=takes_the_body)) as site:
        dead = site.add("dead")
        site.add("alive")
        response = await site.client.post("/", content=b"once")
        assert response.status_code == status
        assert content is None or response.content == content
        assert (dead.busy, [backend.url for backend in site.dispatcher.backends]) == (0, ["http://alive"])


async def test_a_connection_that_breaks_after_bytes_were_sent_is_never_tried_again() -> None:
    tries: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        tries.append(request.url.host)
        raise httpx.ReadError("reset", request=request)

    async with Site(handler) as site:
        site.add("one")
        site.add("two")
        response = await site.client.post("/", content=b"x")
    assert (response.status_code, tries) == (502, ["one"])
    assert response.json() == {"error": "the replica broke off: ReadError"}
    assert site.meter.read(1e12).errors == 1


async def test_a_request_without_replicas_wakes_the_autoscaler_and_is_held_until_one_is_ready() -> None:
    async with Site(echo) as site:
        woken = asyncio.Event()
        site.gateway.wake = woken.set
        task = asyncio.create_task(site.client.post("/", content=b"held"))
        await woken.wait()
        assert (site.meter.read(1e12).in_flight, task.done()) == (1, False)
        site.add("late")
        assert (await task).content == b"dleh"


@pytest.mark.parametrize(
    ("queue_size", "status", "sentence"),
    [
        (0, 503, "too many requests wait already: try again later"),
        (9, 504, "no replica was free within 0.01 s: try again later"),
    ],
)
async def test_who_cannot_be_held_is_told_when_to_come_again(queue_size: int, status: int, sentence: str) -> None:
    async with Site(echo, queue_size, timeout_seconds=0.01) as site:
        response = await site.client.post("/", content=b"x")
    assert (response.status_code, response.json(), response.headers["retry-after"]) == (
        status,
        {"error": sentence},
        "1",
    )
    assert site.meter.read(1e12).errors == 1


async def test_an_answer_that_breaks_off_breaks_the_clients_connection_too() -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b"half"
        raise httpx.ReadError("reset")

    async with Site(lambda request: httpx.Response(200, content=half())) as site:
        backend = site.add("one")
        with pytest.raises(ConnectionAbortedError, match="broke off within its answer"):
            await site.client.get("/")
    totals = site.meter.read(1e12)
    assert (totals.errors, totals.in_flight, backend.busy) == (1, 0, 0)


async def test_a_client_that_leaves_while_it_sends_frees_its_slot() -> None:
    async def handler(request: httpx.Request) -> httpx.Response:
        await request.aread()
        raise AssertionError("the body never becomes whole")

    messages = iter([{"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> dict[str, object]:
        return next(messages)

    async def send(message: object) -> None:
        raise AssertionError(f"nobody is there to read {json.dumps(message, default=str)}")

    scope = {
        "type": "http",
        "method": "POST",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"content-length", b"9")],
    }
    async with Site(handler) as site:
        backend = site.add("one")
        await site.gateway(scope, receive, send)
    assert (backend.busy, site.meter.read(1e12).in_flight) == (0, 0)
