"""The hot path: POST .../infer (V2) and :predict (V1) as plain ASGI. A request in, an answer out, errors included."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias, TypeVar

from everwarm_server.admission import ClientGone
from everwarm_server.dataplane import Arrival, DataPlane
from everwarm_server.errors import ModelNotReady
from everwarm_server.protocol import v1_json, v2_json
from everwarm_server.protocol.v2_binary import parse_header_length
from everwarm_server.protocol.v2_json import Body
from everwarm_server.telemetry.metrics import CLIENT_GONE
from everwarm_server.transport.http import (
    Answer,
    Exchange,
    Head,
    Refused,
    error_answer,
    read_body,
    refuse,
    respond,
)

LARGE_JSON_BYTES: Final = 2**19  # about 5 ms
T = TypeVar("T")
Codec: TypeAlias = Callable[[DataPlane, Exchange, Arrival, Body], Awaitable[Answer]]


class Inference:
    """Answers inference requests to the one model."""

    def __init__(self, plane: DataPlane, max_body_bytes: int) -> None:
        self._plane = plane
        self._max_body_bytes = max_body_bytes

    async def answer(self, codec: Codec, request: Exchange) -> None:
        """Answer one request by a codec, `v2` or `v1`."""
        start = time.perf_counter()
        arrival = Arrival(start, time.time(), request.head.get(b"x-request-start"))
        metrics = self._plane.metrics
        metrics.arrived(arrival.unix_seconds)
        code = CLIENT_GONE
        try:
            code = await self._answer(codec, request, arrival)
        except ClientGone:
            pass
        finally:
            metrics.answered(code, time.perf_counter() - start)

    async def _answer(self, codec: Codec, request: Exchange, arrival: Arrival) -> int:
        reply = refuse  # until the body is read
        try:
            self._plane.metadata()
            check_encoding(request.head)
            body = await read_body(request, self._max_body_bytes)
            reply = respond
            answer = await codec(self._plane, request, arrival, body)
        except ClientGone:
            raise
        except asyncio.CancelledError:  # by the listener, when its time is over
            answer = error_answer(ModelNotReady("The server stopped before the model had answered; try elsewhere."))
            reply = respond
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            answer = error_answer(error)
        await reply(request, answer)
        return answer.code


def check_encoding(head: Head) -> None:
    """See that the body is not compressed.

    Raises:
        Refused: it is.
    """
    encoding = head.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in {b"identity", b""}:
        shown = encoding[:32].decode("latin-1")
        raise Refused(
            415, f"The body is encoded as {shown!r}; send it uncompressed.", [(b"accept-encoding", b"identity")]
        )


async def decoded(decode: Callable[[], T], json_bytes: int) -> T:
    """What `decode` gives; in a thread for large JSON, which would keep the probes waiting for half a second."""
    return decode() if json_bytes < LARGE_JSON_BYTES else await asyncio.to_thread(decode)


async def v2(plane: DataPlane, request: Exchange, arrival: Arrival, body: Body) -> Answer:
    """The V2 protocol, JSON and binary."""
    given = request.head.get(b"inference-header-content-length")
    header_length = None if given is None else parse_header_length(given.decode("latin-1"))
    json_bytes = len(body) if header_length is None else header_length
    inference = await decoded(partial(v2_json.decode_request, body, header_length, plane.metadata()), json_bytes)
    response = await plane.infer(inference, arrival, request.client)
    chunks, headers = v2_json.encode_response(response, inference)
    return Answer(200, headers, chunks)


async def v1(plane: DataPlane, request: Exchange, arrival: Arrival, body: Body) -> Answer:
    """The V1 protocol."""
    predict = await decoded(partial(v1_json.decode_predict, body, plane.metadata()), len(body))
    response = await plane.infer(predict.request, arrival, request.client)
    chunks, headers = v1_json.encode_predict(response, columnar=predict.columnar)
    return Answer(200, headers, chunks)
