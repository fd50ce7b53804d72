"""The hot path: POST .../infer (V2) and :predict (V1). A body in, an answer out, errors included.

`Job` is the path itself, from a whole body on, without a coroutine: each step calls the next, so a model that runs on
the loop is answered before the bytes of the next request are looked at. `Inference.answer` brings it to ASGI, and
hot.py to connections.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final, NamedTuple, TypeAlias

from everwarm_server.admission import Client, ClientGone, Ticket
from everwarm_server.dataplane import Arrival, DataPlane
from everwarm_server.errors import ModelNotReady
from everwarm_server.protocol import cloud_events, documents, v1_json, v2_json
from everwarm_server.protocol.tensors import InferRequest, InferResponse, ModelMetadata
from everwarm_server.protocol.v2_binary import parse_header_length
from everwarm_server.protocol.v2_json import Body, Chunks, Headers
from everwarm_server.protocol.v2_layouts import Layouts
from everwarm_server.telemetry.metrics import CLIENT_GONE
from everwarm_server.telemetry.tracing import Attributes
from everwarm_server.telemetry.watch import Watch
from everwarm_server.transport import arrivals, compression
from everwarm_server.transport.http import (
    Answer,
    Exchange,
    Head,
    error_answer,
    read_body,
    refuse,
    respond,
)

LARGE_JSON_BYTES: Final = 2**19  # about 5 ms
Encode: TypeAlias = Callable[[InferResponse], tuple[Chunks, Headers]]
Decoded: TypeAlias = tuple[InferRequest, Encode]


@dataclass(frozen=True, slots=True)
class Codec:
    """A protocol over HTTP for one model.

    Attributes:
        decode: a body with its headers to a request, and the way to encode the response to it.
        json_bytes: how much of such a body is JSON.
    """

    decode: Callable[[Head, Body, ModelMetadata], Decoded]
    json_bytes: Callable[[Head, Body], int]


def _header_length(head: Head) -> int | None:
    given = head.get(b"inference-header-content-length")
    return None if given is None else _parsed_length(given)


@lru_cache(maxsize=256)  # it is asked for twice in each request, and a client sends few others
def _parsed_length(given: bytes) -> int:
    return parse_header_length(given.decode("latin-1"))


def _decode_v1(head: Head, body: Body, metadata: ModelMetadata) -> Decoded:
    event, body = cloud_events.unwrap(head, body)
    encode: Encode
    if metadata.takes_documents:
        request, encode = documents.from_v1(body, head), documents.to_v1
    else:
        predict = v1_json.decode_predict(body, metadata)
        request, encode = predict.request, partial(v1_json.encode_predict, columnar=predict.columnar)
    if event is not None:
        encode = partial(_as_event, encode, event, metadata.name)
    return request, encode


def _as_event(
    encode: Encode, event: cloud_events.Event, model_name: str, response: InferResponse
) -> tuple[Chunks, Headers]:
    return cloud_events.wrap(event, model_name, encode(response))


def _json_bytes_of_v2(head: Head, body: Body) -> int:
    length = _header_length(head)
    return len(body) if length is None else length


def v2() -> Codec:
    """The V2 protocol, JSON and binary."""
    layouts = Layouts()

    def decode(head: Head, body: Body, metadata: ModelMetadata) -> Decoded:
        request = layouts.decode(body, _header_length(head), metadata)
        if metadata.takes_documents:
            request = documents.with_note(request, head)
        return request, partial(v2_json.encode_response, request=request)

    return Codec(decode, _json_bytes_of_v2)


def v1() -> Codec:
    """The V1 protocol."""
    return Codec(_decode_v1, lambda _, body: len(body))


class Endpoint(NamedTuple):
    """A URL: who answers there, in which protocol."""

    plane: DataPlane
    codec: Codec

    async def decode(self, head: Head, body: Body) -> Decoded:
        """A request, and the way to encode each response to it.

        Raises:
            ModelNotReady, InvalidInput: see errors.py.
        """
        metadata = self.plane.metadata()
        if self.codec.json_bytes(head, body) >= LARGE_JSON_BYTES:
            return await asyncio.to_thread(self.codec.decode, head, body, metadata)
        return self.codec.decode(head, body, metadata)


class Job:
    """One request with its whole body.

    `finish` is called once on the loop: with the answer, or with None if the client has left.
    """

    __slots__ = ("_arrival", "_client", "_codec", "_encode", "_finish", "_head", "_plane", "_ticket")

    def __init__(
        self,
        endpoint: Endpoint,
        arrival: Arrival,
        request: tuple[Head, Client],
        finish: Callable[[Answer | None], None],
    ) -> None:
        self._plane, self._codec = endpoint
        self._arrival = arrival
        self._head, self._client = request
        self._finish = finish
        self._ticket: Ticket | None = None
        self._encode: Encode | None = None

    def start(self, body: Body) -> None:
        """Answer it, now or later."""
        try:
            arrivals.check(self._head, self._arrival)
            metadata = self._plane.metadata()
            if self._codec.json_bytes(self._head, body) >= LARGE_JSON_BYTES:
                # Half a second for the largest: probes would wait for it.
                decode = partial(self._codec.decode, self._head, body, metadata)
                decoding = asyncio.get_running_loop().run_in_executor(None, decode)
                decoding.add_done_callback(self._decoded)
            else:
                self._submit(self._codec.decode(self._head, body, metadata))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            self._done(error)

    def give_up(self) -> None:
        """Leave the queue, if it waits there."""
        if self._ticket is not None:
            self._plane.admission.give_up(self._ticket)

    def _decoded(self, decoding: "asyncio.Future[Decoded]") -> None:
        try:
            self._submit(decoding.result())
        except Exception as error:  # noqa: BLE001 - see start()
            self._done(error)

    def _submit(self, decoded: Decoded) -> None:
        request, self._encode = decoded
        self._ticket = self._plane.submit(request, self._arrival, self._client, self._done)

    def _done(self, outcome: InferResponse | BaseException) -> None:
        self._ticket = None  # it knows us: without this its request would wait for the garbage collector
        self._finish(self._answer(outcome))

    def _answer(self, outcome: InferResponse | BaseException) -> Answer | None:
        if isinstance(outcome, ClientGone):
            return None
        if isinstance(outcome, BaseException) or self._encode is None:
            return error_answer(outcome)
        try:
            chunks, headers = self._encode(outcome)
        except Exception as error:  # noqa: BLE001 - see start()
            return error_answer(error)
        return Answer(200, headers, chunks)


def _finish_compressed(
    finish: Callable[[Answer | None], None], how: str, at_least_bytes: int, answer: Answer | None
) -> None:
    if answer is None or sum(map(len, answer.chunks)) < at_least_bytes:
        finish(answer)
        return
    packing = asyncio.get_running_loop().run_in_executor(None, compression.compressed, answer, how)
    packing.add_done_callback(lambda done: finish(done.result()))


class Inference:
    """Answers inference requests."""

    def __init__(self, max_body_bytes: int, compress_bytes: int = 0, watch: Watch | None = None) -> None:
        self.max_body_bytes = max_body_bytes
        self._compress_bytes = compress_bytes
        self.watch = watch or Watch()

    def ended(self, plane: DataPlane, came: Arrival, code: int) -> None:
        """A request to a model, counted by `plane.metrics.arrived` at its arrival, has its answer."""
        watched = came.watched
        seconds = time.perf_counter() - came.monotonic_seconds
        if watched is None:
            plane.metrics.answered(code, seconds)
            return
        plane.metrics.answered(code, seconds, watched.trace_hex)
        attributes: Attributes = {"http.request.method": "POST", "http.response.status_code": code}
        arrived = (came.monotonic_seconds, came.unix_seconds)
        self.watch.end(watched, (plane.name, plane.version), arrived, code, attributes)

    def job(
        self,
        endpoint: Endpoint,
        arrival: Arrival,
        request: tuple[Head, Client],
        finish: Callable[[Answer | None], None],
    ) -> Job:
        """A request; its answer is compressed if that is asked for and worth it."""
        if self._compress_bytes and (how := compression.accepted(request[0])) is not None:
            finish = partial(_finish_compressed, finish, how, self._compress_bytes)
        return Job(endpoint, arrival, request, finish)

    async def answer(self, endpoint: Endpoint, request: Exchange) -> None:
        """Answer one request."""
        await self.counted(endpoint.plane, request, partial(self._answer, endpoint, request))

    async def counted(self, plane: DataPlane, request: Exchange, answer: Callable[[Arrival], Awaitable[int]]) -> None:
        """Let a request be answered, and count it with the code that this gives."""
        came = arrivals.arrival(request.head, time.perf_counter(), time.time(), self.watch)
        plane.metrics.arrived(came.unix_seconds)
        code = CLIENT_GONE
        try:
            code = await answer(came)
        except ClientGone:
            pass
        finally:
            self.ended(plane, came, code)

    async def _answer(self, endpoint: Endpoint, request: Exchange, arrival: Arrival) -> int:
        reply = refuse  # until the body is read
        try:
            arrivals.check(request.head, arrival)
            await endpoint.plane.until_loaded(arrival.deadline_seconds)
            body, encoding = await self.read(request)
            reply = respond
            if encoding is not None:
                body = await self.inflated(body, encoding)
            answer = await self._infer(endpoint, request, arrival, body)
        except ClientGone:
            raise
        except asyncio.CancelledError:  # by the listener, when its time is over
            answer = stopped_answer()
            reply = respond
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            answer = error_answer(error)
        await reply(request, answer)
        return answer.code

    async def read(self, request: Exchange) -> tuple[Body, str | None]:
        """The whole body as it came, and how it is packed.

        Raises:
            TooLarge, Refused, ClientGone: see read_body.
        """
        encoding = compression.encoding(request.head)
        return await read_body(request, self.max_body_bytes), encoding

    async def inflated(self, body: Body, encoding: str) -> Body:
        """A packed body, unpacked.

        Raises:
            InvalidInput: it is damaged, or too large.
        """
        inflate = partial(compression.inflate, body, encoding, self.max_body_bytes)
        return inflate() if compression.is_quick(body, encoding) else await asyncio.to_thread(inflate)

    async def _infer(self, endpoint: Endpoint, request: Exchange, arrival: Arrival, body: Body) -> Answer:
        finished: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()

        def finish(answer: Answer | None) -> None:
            if not finished.done():
                finished.set_result(answer)

        job = self.job(endpoint, arrival, (request.head, request.client), finish)
        job.start(body)
        try:
            answer = await finished
        except asyncio.CancelledError:
            job.give_up()
            raise
        if answer is None:
            raise ClientGone
        return answer


def stopped_answer() -> Answer:
    """What whoever still waits is told when the server's time to stop is over."""
    return error_answer(ModelNotReady("The server stopped before the model had answered; try elsewhere."))
