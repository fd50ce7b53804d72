"""The whole of the main port: token, probes, inference, metrics; the rest goes to the FastAPI application.

Plain ASGI with a dictionary of whole paths: it serves one model, so all that is hot is known before. FastAPI is
imported when the first request needs it: a third of a second and 20 MB that no cold start should pay.
"""

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, cast

from everwarm_server.dataplane import DataPlane
from everwarm_server.errors import Unauthorized
from everwarm_server.protocol.v2_json import json_headers
from everwarm_server.transport.http import (
    Answer,
    Head,
    Receive,
    Refused,
    Scope,
    Send,
    error_answer,
    refuse,
    respond,
    scan,
)
from everwarm_server.transport.inference import Inference, v1, v2

Asgi: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
_Handler: TypeAlias = Callable[[Head, Receive, Send], Awaitable[None]]
_GET: Final = ("GET", "HEAD")
_PROBES: Final = "/v2/health/"
_OTHER_INFERENCE: Final = re.compile(
    r"/v2/models/(?P<v2>.+?)(?:/versions/(?P<v2_version>[^/]*))?/infer"
    r"|/v1/models/(?P<v1>.+?)(?:/versions/(?P<v1_version>[^/]*))?:predict"
)


class Router:
    """Routes one request; see the module."""

    def __init__(self, plane: DataPlane, inference: Inference, token: str | None, *, metrics_here: bool) -> None:
        self._plane = plane
        self._inference = inference
        self._token = None if token is None else token.encode()
        self._management: asyncio.Task[Asgi] | None = None
        self._routes: dict[str, tuple[tuple[str, ...], _Handler]] = {
            f"{_PROBES}live": (_GET, self._live),
            f"{_PROBES}ready": (_GET, self._ready),
        }
        if metrics_here:
            self._routes["/metrics"] = (_GET, self._metrics)
        for versions in ("", f"/versions/{plane.version}"):
            self._routes[f"/v2/models/{plane.name}{versions}/infer"] = (("POST",), self._v2)
            self._routes[f"/v1/models/{plane.name}{versions}:predict"] = (("POST",), self._v1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope["path"]
        head = scan(scope["headers"])
        if self._token is not None and not (authorized(head, self._token) or path.startswith(_PROBES)):
            error = Unauthorized("This request needs the token of this server: Authorization: Bearer TOKEN.")
            await refuse(receive, send, head, error_answer(error))
            return
        methods, handler = self._routes.get(path, ((), None))
        if handler is None:
            await self._other(scope, head, receive, send)
        elif scope["method"] not in methods:
            await refuse(receive, send, head, error_answer(wrong_method(scope["method"], methods)))
        else:
            await handler(head, receive, send)

    async def _v2(self, head: Head, receive: Receive, send: Send) -> None:
        await self._inference.answer(v2, head, receive, send)

    async def _v1(self, head: Head, receive: Receive, send: Send) -> None:
        await self._inference.answer(v1, head, receive, send)

    async def _live(self, head: Head, receive: Receive, send: Send) -> None:  # noqa: ARG002 - a _Handler
        await respond(send, json_answer(b'{"live":true}'))

    async def _ready(self, head: Head, receive: Receive, send: Send) -> None:  # noqa: ARG002 - a _Handler
        try:
            self._plane.check_ready()
        except Exception as error:  # noqa: BLE001 - whatever it is, the probe gets an answer
            await respond(send, error_answer(error))
        else:
            await respond(send, json_answer(b'{"ready":true}'))

    async def _metrics(self, head: Head, receive: Receive, send: Send) -> None:  # noqa: ARG002 - a _Handler
        await respond(send, metrics_answer(self._plane, head))

    async def _other(self, scope: Scope, head: Head, receive: Receive, send: Send) -> None:
        match = _OTHER_INFERENCE.fullmatch(scope["path"])
        if match is None:
            management = await self._load_management()
            await management(scope, receive, send)
            return
        error: Exception = wrong_method(scope["method"], ("POST",))
        if scope["method"] == "POST":
            error = self._plane.not_served(match["v2"] or match["v1"], match["v2_version"] or match["v1_version"])
        await refuse(receive, send, head, error_answer(error))

    async def _load_management(self) -> Asgi:
        if self._management is None:
            self._management = asyncio.create_task(asyncio.to_thread(_import_management, self._plane))
        return await asyncio.shield(self._management)


def _import_management(plane: DataPlane) -> Asgi:
    from everwarm_server.transport.management import application

    return cast("Asgi", application(plane))


def wrong_method(method: str, allowed: tuple[str, ...]) -> Exception:
    """A 405 with the header Allow."""
    names = ", ".join(allowed)
    return Refused(405, f"The method {method} is not allowed here; use {names}.", [(b"allow", names.encode())])


def json_answer(body: bytes) -> Answer:
    """A 200 with a JSON body."""
    return Answer(200, json_headers(body), [body])


def authorized(head: Head, token: bytes) -> bool:
    """Whether the request carries the token; takes as long for a nearly right one as for a wrong one."""
    scheme, _, given = head.get(b"authorization", b"").partition(b" ")
    return hmac.compare_digest(given.strip(), token) and scheme.lower() == b"bearer"


def metrics_answer(plane: DataPlane, head: Head) -> Answer:
    """A scrape."""
    body, content_type = plane.metrics.exposition(head.get(b"accept", b"").decode("latin-1"))
    headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
    return Answer(200, headers, [body])


def metrics_only(plane: DataPlane) -> Asgi:
    """The ASGI application of the metrics port."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        head = scan(scope["headers"])
        if scope["path"] != "/metrics":
            await refuse(receive, send, head, error_answer(Refused(404, "Only /metrics is here.")))
        elif scope["method"] not in _GET:
            await refuse(receive, send, head, error_answer(wrong_method(scope["method"], _GET)))
        else:
            await respond(send, metrics_answer(plane, head))

    return serve
