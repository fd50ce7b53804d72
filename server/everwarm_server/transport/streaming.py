"""Answers as they come: POST .../generate_stream and .../infer_stream in, Server-Sent Events out.

Sources: triton-inference-server/server, docs/protocol/extension_generate.md; WHATWG HTML, 9.2 Server-sent events.
`infer_stream` is MLServer's: a V2 request, and a V2 response in each event. What fails before the first event is an
error of HTTP as anywhere else, but for a model that failed: it is told in an event, too, with the code 500. What fails
later is an event `{"error": "..."}`, the last one. A comment is sent when nothing was for a while, since proxies close
what is silent; until then the first event is waited for, because only it can still choose the code.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, Final

from everwarm_server.admission import ClientGone
from everwarm_server.dataplane import Arrival
from everwarm_server.errors import InferenceFailed, InvalidInput
from everwarm_server.protocol import generate as generate_json
from everwarm_server.protocol.tensors import InferResponse, ModelMetadata
from everwarm_server.protocol.v2_json import Body, Chunks, Headers, json_headers
from everwarm_server.transport import arrivals
from everwarm_server.transport.http import Answer, Exchange, Head, error_answer, refuse, respond
from everwarm_server.transport.inference import Codec, Decoded, Encode, Endpoint, Inference, stopped_answer, v2

KEEP_ALIVE_SECONDS: Final = 15.0  # the shortest limit in wide use is 60 s: nginx's, and that of AWS's load balancers
_COMMENT: Final = b":\n\n"
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back until it has 4 KiB of them
]


def generate() -> Codec:
    """Triton's generate extension, for one answer and for a stream."""

    def encode(response: InferResponse) -> tuple[Chunks, Headers]:
        body = generate_json.encode(response)
        return [body], json_headers(body)

    def decode(head: Head, body: Body, metadata: ModelMetadata) -> Decoded:
        del head
        return generate_json.decode(body, metadata), encode

    return Codec(decode, lambda _, body: len(body))


def infer_stream() -> Codec:
    """The V2 protocol without binary outputs, which events can't carry."""
    codec = v2()

    def decode(head: Head, body: Body, metadata: ModelMetadata) -> Decoded:
        request, encode = codec.decode(head, body, metadata)
        if request.binary_outputs or any(output.binary for output in request.outputs):
            raise InvalidInput("Events are text, so they can't carry binary outputs; ask for them without binary_data.")
        return request, encode

    return Codec(decode, codec.json_bytes)


class Streams:
    """Answers requests for streams.

    Args:
        inference: how their bodies are read.
        keep_alive_seconds: between an event and a comment.
    """

    def __init__(self, inference: Inference, keep_alive_seconds: float = KEEP_ALIVE_SECONDS) -> None:
        self._inference = inference
        self._keep_alive_seconds = keep_alive_seconds

    async def answer(self, endpoint: Endpoint, request: Exchange) -> None:
        """Answer one request."""
        await self._inference.counted(endpoint.plane, request, partial(self._answer, endpoint, request))

    async def _answer(self, endpoint: Endpoint, request: Exchange, arrival: Arrival) -> int:
        events = _Events(request)
        try:
            arrivals.check(request.head, arrival)
            await endpoint.plane.until_loaded(arrival.deadline_seconds)
            body, encoding = await self._inference.read(request)
            events.body_is_read = True
            if encoding is not None:
                body = await self._inference.inflated(body, encoding)
            decoded, encode = await endpoint.decode(request.head, body)
            answers = endpoint.plane.stream(decoded, arrival, request.client)
            await self._send(answers, encode, events)
        except ClientGone:
            raise
        except asyncio.CancelledError:  # by the listener, when its time is over
            return await events.fail(stopped_answer())
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            return await events.fail(error_answer(error), as_event=isinstance(error, InferenceFailed))
        return await events.end()

    async def _send(self, answers: AsyncGenerator[InferResponse, None], encode: Encode, events: "_Events") -> None:
        async with contextlib.aclosing(answers), contextlib.aclosing(self._or_silence(answers)) as timed:
            async for answer in timed:
                await events.send(_COMMENT if answer is None else b"data: %b\n\n" % b"".join(encode(answer)[0]))

    async def _or_silence(
        self, answers: AsyncGenerator[InferResponse, None]
    ) -> AsyncGenerator[InferResponse | None, None]:
        """The answers, and None whenever none has come for a while."""
        while True:
            coming: asyncio.Future[Any] = asyncio.ensure_future(anext(answers, None))
            try:
                while not (await asyncio.wait({coming}, timeout=self._keep_alive_seconds))[0]:
                    yield None
            finally:
                if not coming.done():
                    coming.cancel()
                    await asyncio.wait({coming})
            answer = coming.result()
            if answer is None:
                return
            yield answer


class _Events:
    """The answer to one request: events, or one error of HTTP. Each end returns its code."""

    def __init__(self, request: Exchange) -> None:
        self._request = request
        self._started = False
        self.body_is_read = False

    async def _start(self, code: int) -> None:
        self._started = True
        await self._request.send({"type": "http.response.start", "status": code, "headers": _HEADERS})

    async def send(self, text: bytes) -> None:
        """One event or comment; waits while the client reads more slowly than the model answers."""
        if not self._started:
            await self._start(200)
        await self._request.send({"type": "http.response.body", "body": text, "more_body": True})

    async def end(self) -> int:
        """There are no more."""
        if not self._started:
            await self._start(200)
        await self._request.send({"type": "http.response.body", "body": b"", "more_body": False})
        return 200

    async def fail(self, answer: Answer, *, as_event: bool = False) -> int:
        """Something is wrong; it is an event if others were before, or if that is asked for."""
        if not self._started and not as_event:
            await (respond if self.body_is_read else refuse)(self._request, answer)
            return answer.code
        if not self._started:
            await self._start(answer.code)
        await self.send(b"data: %b\n\n" % b"".join(answer.chunks))
        await self.end()
        return answer.code
