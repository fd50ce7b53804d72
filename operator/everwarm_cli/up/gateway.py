"""The reverse proxy in front of the replicas, as an ASGI application: what Knative's activator is to a revision.

A request waits here until a replica has a free slot (bounded in number and time), is streamed to it, and its answer is
streamed back. It is sent a second time only if the first connection was refused before any byte of it went out.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

import httpx

from everwarm_cli.up.dispatch import Backend, Dispatcher, QueueFull, WaitedTooLong
from everwarm_cli.up.meter import Meter

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

# RFC 9110, 7.6.1, and what the gateway sets itself.
_NOT_FORWARDED = {
    b"connection",
    b"expect",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"x-request-start",
}
_REFUSED_SECONDS = 1.0


class ClientGone(Exception):
    """The client closed its connection before its request was whole."""


class Gateway:
    """Holds, forwards and measures requests.

    Attributes:
        wake: called when a request finds no replica at all; the autoscaler acts at once instead of at its next tick.
    """

    def __init__(self, dispatcher: Dispatcher, meter: Meter, client: httpx.AsyncClient, timeout_seconds: float) -> None:
        self._dispatcher = dispatcher
        self._meter = meter
        self._client = client
        self._timeout_seconds = timeout_seconds
        self.wake: Callable[[], None] = lambda: None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3, HTTP only)."""
        if scope["type"] != "http":
            raise RuntimeError(f"the gateway speaks HTTP, not {scope['type']}")
        exchange = Exchange(scope, receive, send, time.time())
        arrived = time.monotonic()
        self._meter.arrived(arrived)
        try:
            await self._answer(exchange, arrived + self._timeout_seconds)
        finally:
            now = time.monotonic()
            self._meter.finished(now, now - arrived, exchange.status)

    async def _answer(self, exchange: "Exchange", deadline: float) -> None:
        if not self._dispatcher.backends:
            self.wake()
        while True:
            try:
                backend = await self._dispatcher.acquire(deadline - time.monotonic())
            except QueueFull:
                await exchange.refuse(503, "too many requests wait already: try again later")
                return
            except WaitedTooLong:
                await exchange.refuse(504, f"no replica was free within {self._timeout_seconds:g} s: try again later")
                return
            self._meter.started(time.monotonic())
            try:
                if await self._relay(exchange, backend):
                    return
            finally:
                self._meter.freed(time.monotonic())
                self._dispatcher.release(backend)

    async def _relay(self, exchange: "Exchange", backend: Backend) -> bool:
        """Forward and answer; False if the replica refused the connection: nothing was sent, so another may try."""
        request = self._client.build_request(
            exchange.method, backend.url + exchange.target, headers=exchange.headers(), content=exchange.body()
        )
        try:
            response = await self._client.send(request, stream=True)
        except httpx.ConnectError:
            self._suspend(backend)
            if exchange.body_begun:
                await exchange.refuse(502, "the replica refused the connection")
            return exchange.body_begun
        except ClientGone:
            return True
        except httpx.HTTPError as error:
            await exchange.refuse(502, f"the replica broke off: {type(error).__name__}")
            return True
        try:
            await exchange.reply(response)
        except httpx.HTTPError as error:
            exchange.status = 0
            # The status line is out, so the only honest end is a connection that breaks.
            raise ConnectionAbortedError(f"the replica broke off within its answer: {error!r}") from error
        finally:
            await response.aclose()
        return True

    def _suspend(self, backend: Backend) -> None:
        """Leave out a replica that refused; if it is gone for good the fleet never lets it back."""
        if backend in self._dispatcher.backends:
            self._dispatcher.remove(backend)
            asyncio.get_running_loop().call_later(_REFUSED_SECONDS, self._resume, backend)

    def _resume(self, backend: Backend) -> None:
        if not backend.retired:
            self._dispatcher.add(backend)


class Exchange:
    """One request of the ASGI server and its answer.

    Attributes:
        status: of the answer; 0 until there is one.
        body_begun: whether a part of the body was taken, so that it can't be sent again.
    """

    def __init__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send, arrived_unix: float) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._arrived_unix = arrived_unix
        self.status = 0
        self.body_begun = False

    @property
    def method(self) -> str:
        """GET, POST, ..."""
        method: str = self._scope["method"]
        return method

    @property
    def target(self) -> str:
        """Path and query, as they were sent."""
        path: str = self._scope["raw_path"].decode("ascii")
        query: str = self._scope["query_string"].decode("ascii")
        return f"{path}?{query}" if query else path

    def headers(self) -> Headers:
        """What goes to the replica: the client's, and when the request came here."""
        return [*_forwarded(self._scope["headers"]), (b"x-request-start", b"t=%.6f" % self._arrived_unix)]

    def body(self) -> AsyncIterator[bytes] | None:
        """The request's body, read as the replica takes it; `None` if it has none."""
        has_body = any(name in {b"content-length", b"transfer-encoding"} for name, _ in self._scope["headers"])
        return self._chunks() if has_body else None

    async def _chunks(self) -> AsyncIterator[bytes]:
        self.body_begun = more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            yield message.get("body", b"")
            more = message.get("more_body", False)

    async def reply(self, response: httpx.Response) -> None:
        """Stream a replica's answer to the client."""
        self.status = response.status_code
        headers = _forwarded(response.headers.raw)
        await self._send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        async for chunk in response.aiter_raw():
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})

    async def refuse(self, status: int, sentence: str) -> None:
        """Answer in the replica's place, in the form of the Open Inference Protocol's errors."""
        self.status = status
        body = json.dumps({"error": sentence}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"retry-after", b"1"),
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _forwarded(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Without those that belong to one connection only."""
    pairs = [(name.lower(), value) for name, value in headers]
    named = {part.strip().lower() for name, value in pairs if name == b"connection" for part in value.split(b",")}
    return [(name, value) for name, value in pairs if name not in _NOT_FORWARDED and name not in named]
