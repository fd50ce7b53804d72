"""The whole of the main port: token, probes, inference, metrics; the rest goes to the FastAPI application.

Plain ASGI with dictionaries of whole paths: those of inference change as models are loaded and unloaded. FastAPI is
imported when the first request needs it: a third of a second and 20 MB that no cold start should pay.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, cast

from everwarm_server.dataplane import DataPlane
from everwarm_server.errors import ModelNotReady, ServingError, Unauthorized
from everwarm_server.protocol.description import NAME
from everwarm_server.protocol.v2_json import json_headers
from everwarm_server.repository import Repository
from everwarm_server.telemetry.metrics import Metrics
from everwarm_server.transport.hot import Hot
from everwarm_server.transport.http import (
    Answer,
    Exchange,
    Head,
    Receive,
    Refused,
    Scope,
    Send,
    authorized,
    error_answer,
    exchange,
    refuse,
    respond,
)
from everwarm_server.transport.inference import Codec, Endpoint, Inference, v1, v2
from everwarm_server.transport.streaming import Streams, generate, infer_stream

Asgi: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
_Handler: TypeAlias = Callable[[Exchange], Awaitable[None]]
_GET: Final = ("GET", "HEAD")
_PROBES: Final = "/v2/health/"
_CONTROL: Final = "/v2/repository/models/"
_CODECS: Final[dict[str, Callable[[], Codec]]] = {
    "/infer": v2,
    ":predict": v1,
    "/generate": generate,
    "/generate_stream": generate,
    "/infer_stream": infer_stream,
}
_STREAMS: Final = frozenset({"/generate_stream", "/infer_stream"})
_OTHER_INFERENCE: Final = re.compile(
    r"/v2/models/(?P<v2>.+?)(?:/versions/(?P<v2_version>[^/]*))?(?P<verb>/(?:infer|generate)(?:_stream)?)"
    r"|/v1/models/(?P<v1>.+?)(?:/versions/(?P<v1_version>[^/]*))?:predict"
)


class Router:
    """Routes one request; see the module.

    Args:
        repository: the models.
        inference: how requests to them are answered.
        token: what requests must carry, if anything; probes need nothing.
        metrics_here: whether there are metrics on this port.
        management_token: what requests that load or unload a model must carry in place of it, if anything.
        server_name: in the metadata.
    """

    def __init__(
        self,
        repository: Repository,
        inference: Inference,
        token: str | None,
        *,
        metrics_here: bool,
        management_token: str | None = None,
        server_name: str = NAME,
    ) -> None:
        self._repository = repository
        self._inference = inference
        self._server_name = server_name
        self._token = None if token is None else token.encode()
        self._management_token = self._token if management_token is None else management_token.encode()
        self._management: asyncio.Task[Asgi] | None = None
        self._routes: dict[str, tuple[tuple[str, ...], _Handler]] = {
            f"{_PROBES}live": (_GET, self._live),
            f"{_PROBES}ready": (_GET, self._ready),
        }
        self._open = frozenset(self._routes)
        if metrics_here:
            self._routes["/metrics"] = (_GET, self._metrics)
        self._endpoints: dict[bytes, Endpoint] = {}
        self._streaming: dict[bytes, Endpoint] = {}
        self._streams = Streams(inference)
        self.hot = Hot(inference, self._endpoints, self._token)
        repository.observe(self._model_changed)

    def _model_changed(self, name: str, version: str | None, plane: DataPlane | None) -> None:
        versions = "" if version is None else f"/versions/{version}"
        for verb, codec in _CODECS.items():
            endpoints = self._streaming if verb in _STREAMS else self._endpoints
            protocol = "v1" if verb == ":predict" else "v2"
            path = f"/{protocol}/models/{name}{versions}{verb}".encode()
            if plane is None:
                del endpoints[path]
            else:
                endpoints[path] = Endpoint(plane, codec())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = exchange(scope, receive, send)
        if not self._may_pass(request):
            error = Unauthorized("This request needs the token of this server: Authorization: Bearer TOKEN.")
            await refuse(request, error_answer(error))
            return
        for endpoints, answering in ((self._endpoints, self._inference), (self._streaming, self._streams)):
            endpoint = endpoints.get(request.path.encode())
            if endpoint is not None and request.method == "POST":
                await answering.answer(endpoint, request)
                return
        methods, handler = self._routes.get(request.path, ((), None))
        if handler is None:
            await self._other(scope, request)
        elif request.method not in methods:
            await refuse(request, error_answer(wrong_method(request.method, methods)))
        else:
            await handler(request)

    def _may_pass(self, request: Exchange) -> bool:
        token = self._management_token if request.path.startswith(_CONTROL) else self._token
        return token is None or authorized(request.head, token) or request.path in self._open

    async def _live(self, request: Exchange) -> None:
        await respond(request, json_answer(b'{"live":true}'))

    async def _ready(self, request: Exchange) -> None:
        try:
            self._repository.check_ready()
        except ModelNotReady as error:
            await respond(request, error_answer(error))
        else:
            await respond(request, json_answer(b'{"ready":true}'))

    async def _metrics(self, request: Exchange) -> None:
        await respond(request, metrics_answer(self._repository.metrics, request.head))

    async def _other(self, scope: Scope, request: Exchange) -> None:
        match = _OTHER_INFERENCE.fullmatch(request.path)
        if match is None:
            management = await self._load_management()
            await management(scope, request.receive, request.send)
            return
        if request.method != "POST":
            await refuse(request, error_answer(wrong_method(request.method, ("POST",))))
            return
        try:
            plane = self._repository.find(match["v2"] or match["v1"], match["v2_version"] or match["v1_version"])
        except ServingError as error:
            await refuse(request, error_answer(error))
            return
        verb = match["verb"] or ":predict"
        answering = self._streams if verb in _STREAMS else self._inference
        await answering.answer(Endpoint(plane, _CODECS[verb]()), request)

    async def _load_management(self) -> Asgi:
        if self._management is None:
            self._management = asyncio.create_task(asyncio.to_thread(self._import_management))
        return await asyncio.shield(self._management)

    def _import_management(self) -> Asgi:
        from everwarm_server.transport.management import application

        made = application(self._repository, self._server_name, needs_token=self._token is not None)
        return cast("Asgi", made)


def wrong_method(method: str, allowed: tuple[str, ...]) -> Exception:
    """A 405 with the header Allow."""
    names = ", ".join(allowed)
    return Refused(405, f"The method {method} is not allowed here; use {names}.", [(b"allow", names.encode())])


def json_answer(body: bytes) -> Answer:
    """A 200 with a JSON body."""
    return Answer(200, json_headers(body), [body])


def metrics_answer(metrics: Metrics, head: Head) -> Answer:
    """A scrape."""
    body, content_type = metrics.exposition(head.get(b"accept", b"").decode("latin-1"))
    headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
    return Answer(200, headers, [body])


def metrics_only(metrics: Metrics) -> Asgi:
    """The ASGI application of the metrics port."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        request = exchange(scope, receive, send)
        if request.path != "/metrics":
            await refuse(request, error_answer(Refused(404, "Only /metrics is here.")))
        elif request.method not in _GET:
            await refuse(request, error_answer(wrong_method(request.method, _GET)))
        else:
            await respond(request, metrics_answer(metrics, request.head))

    return serve
