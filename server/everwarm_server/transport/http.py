"""ASGI messages to bodies, and answers to ASGI messages; and the one map from errors to HTTP codes."""

import asyncio
import hmac
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from everwarm_server.admission import Client, ClientGone
from everwarm_server.errors import (
    DeadlineExceeded,
    Forbidden,
    InferenceFailed,
    InvalidInput,
    ModelError,
    ModelNotFound,
    ModelNotReady,
    Overloaded,
    ServingError,
    TooLarge,
    TooManyRequests,
    Unauthorized,
)
from everwarm_server.protocol.v2_json import Body, Chunks, Headers, encode_error, json_headers

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Head: TypeAlias = dict[bytes, bytes]

CLOSE: Final = (b"connection", b"close")
CLIENT: Final = "everwarm.client"  # key of a scope, where our connections put themselves
JOIN_BYTES: Final = 65536  # below this, one write of a copy costs less than several writes
SMALL_BODY_BYTES: Final = 65536
LINGER_SECONDS: Final = 2.0  # in which a client that is still sending may read why it was refused
_LOG: Final = logging.getLogger(__name__)

_WANTED: Final = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"authorization",
        b"ce-id",
        b"ce-source",
        b"ce-specversion",
        b"ce-type",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"grpc-timeout",
        b"inference-header-content-length",
        b"traceparent",
        b"transfer-encoding",
        b"x-b3-traceid",
        b"x-envoy-expected-rq-timeout-ms",
        b"x-request-id",
        b"x-request-start",
        b"x-request-timeout-ms",
        b"x-tenant-id",
    }
)
# Subclasses before their bases.
_CODES: Final[tuple[tuple[type[ServingError], int], ...]] = (
    (TooLarge, 413),
    (InvalidInput, 400),
    (Unauthorized, 401),
    (Forbidden, 403),
    (ModelNotFound, 404),
    (ModelNotReady, 503),
    (TooManyRequests, 429),
    (Overloaded, 503),
    (DeadlineExceeded, 504),
    (InferenceFailed, 500),
    (ModelError, 500),
)


class Answer(NamedTuple):
    """A whole HTTP answer."""

    code: int
    headers: Headers
    chunks: Chunks


class Sender(Client, Protocol):
    """The client of a connection."""

    too_slow: bool
    """Whether the connection was ended since the body came too slowly."""


class Unwatched:
    """The client of a connection that does not say when it ends."""

    gone = False
    too_slow = False
    when_gone: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and the way to answer it."""

    method: str
    path: str
    head: Head
    client: Sender
    receive: Receive
    send: Send


def exchange(scope: Scope, receive: Receive, send: Send) -> Exchange:
    """The exchange that an ASGI call is."""
    client = scope.get(CLIENT) or Unwatched()
    return Exchange(scope["method"], scope["path"], scan(scope["headers"]), client, receive, send)


class Refused(Exception):
    """The request is refused for a reason that HTTP alone knows."""

    def __init__(self, code: int, sentence: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(sentence)
        self.code = code
        self.headers = tuple(headers)


def scan(headers: Iterable[tuple[bytes, bytes]]) -> Head:
    """The headers that this server reads, by their lower-case names; repeated ones joined by a comma."""
    head: Head = {}
    for name, value in headers:
        if name in _WANTED:
            head[name] = head[name] + b"," + value if name in head else value
    return head


def authorized(head: Head, token: bytes) -> bool:
    """Whether the request carries the token; takes as long for a nearly right one as for a wrong one."""
    scheme, _, given = head.get(b"authorization", b"").partition(b" ")
    return hmac.compare_digest(given.strip(), token) and scheme.lower() == b"bearer"


def error_answer(error: Any) -> Answer:
    """The answer to a request that failed; what is not one of our errors is logged and becomes a plain 500."""
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(error, Refused):
        code, sentence = error.code, str(error)
        headers += error.headers
    elif isinstance(error, ServingError):
        code, sentence = next((code for kind, code in _CODES if isinstance(error, kind)), 500), str(error)
    else:
        _LOG.error("A request failed by an error of the server", exc_info=error)
        code, sentence = 500, "The server failed to answer this request; its log says why."
    seconds = error.retry_after_seconds if isinstance(error, Overloaded | DeadlineExceeded) else None
    if seconds is not None or code == 503:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(seconds or 1.0))))
    if code == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    body = encode_error(sentence)
    return Answer(code, [*json_headers(body), *headers], [body])


async def read_body(request: Exchange, max_bytes: int) -> Body:
    """The whole body. Our connections see to it that it comes to an end: limits.py.

    Raises:
        TooLarge: it is, or says that it will be, larger than `max_bytes`.
        Refused: it came too slowly.
        ClientGone: it broke off.
    """
    length = request.head.get(b"content-length")
    if length is not None and int(length) > max_bytes:
        raise TooLarge(f"The body has {int(length)} bytes; this server accepts at most {max_bytes}.")
    message = await request.receive()
    body: bytes | bytearray = message.get("body", b"")
    while message["type"] == "http.request" and len(body) <= max_bytes:
        if not message.get("more_body", False):
            return body
        body = body if isinstance(body, bytearray) else bytearray(body)
        message = await request.receive()
        body += message.get("body", b"")
    if len(body) > max_bytes:
        raise TooLarge(f"The body is larger than the {max_bytes} bytes that this server accepts.")
    raise too_slow() if request.client.too_slow else ClientGone


def too_slow() -> Refused:
    """What is said to a client whose body does not come to an end."""
    return Refused(408, "The body came too slowly.")


async def respond(request: Exchange, answer: Answer) -> None:
    """Send a whole answer."""
    send = request.send
    await send({"type": "http.response.start", "status": answer.code, "headers": answer.headers})
    chunks = answer.chunks
    if len(chunks) > 1 and sum(map(len, chunks)) <= JOIN_BYTES:
        chunks = [b"".join(chunks)]
    last = len(chunks) - 1
    for index, chunk in enumerate(chunks):
        await send({"type": "http.response.body", "body": chunk, "more_body": index < last})


async def refuse(request: Exchange, answer: Answer) -> None:
    """Answer a request whose body was not read to its end.

    A small body is read and dropped, and the connection lives on. Else the connection ends, but not at once: closing
    it while the client still sends makes its kernel throw away the answer that it has not read yet.
    """
    head, send = request.head, request.send
    if int(head.get(b"content-length", b"0")) <= SMALL_BODY_BYTES and b"transfer-encoding" not in head:
        await _discard(request.receive)
        await respond(request, answer)
        return
    headers = [*answer.headers, CLOSE]
    await send({"type": "http.response.start", "status": answer.code, "headers": headers})
    await send({"type": "http.response.body", "body": b"".join(answer.chunks), "more_body": True})
    await _discard(request.receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _discard(receive: Receive) -> None:
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while (await receive()).get("more_body", False):
                pass
    except TimeoutError:
        return
