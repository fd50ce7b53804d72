"""ModelInfer and ModelStreamInfer: serialized messages in, serialized messages out.

In a stream, the requests to models with one answer each are computed as they come, and answered in their order. What a
model that streams has to say is sent as it says it, between the others; clients tell the answers apart by their ids.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Final

import grpc

from everwarm_server.admission import ClientGone
from everwarm_server.dataplane import Arrival, DataPlane
from everwarm_server.protocol import v2_grpc
from everwarm_server.protocol.grpc_layouts import Known, Layouts
from everwarm_server.protocol.tensors import InferRequest, InferResponse
from everwarm_server.repository import Repository
from everwarm_server.telemetry.metrics import CLIENT_GONE
from everwarm_server.telemetry.tracing import Attributes
from everwarm_server.telemetry.watch import Watch
from everwarm_server.transport.grpc.calls import Caller, arrival
from everwarm_server.transport.grpc.status import Status, abort, status

LARGE_TYPED_BYTES: Final = 2**19  # of typed contents: a few milliseconds
STREAM_REQUESTS: Final = 64  # of one stream that are computed or wait; the next are not read before
_FINAL: Final = "triton_final_response"
_WANTS_EMPTY_FINAL: Final = "triton_enable_empty_final_response"
_CANCELLED: Final = Status(grpc.StatusCode.CANCELLED, "The client has left.", (), CLIENT_GONE)


class Inference:
    """Answers inference calls.

    Attributes:
        active: calls that are being answered.
    """

    def __init__(self, repository: Repository, watch: Watch) -> None:
        self._repository = repository
        self._watch = watch
        self._layouts = Layouts()
        self.active = 0

    async def infer(self, serialized: bytes, context: Any) -> bytes:
        """ModelInfer."""
        self.active += 1
        try:
            return await self._answer(serialized, arrival(context))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            await abort(context, _status(error))
        finally:
            self.active -= 1

    async def _answer(self, serialized: bytes, came: Arrival) -> bytes:
        envelope = v2_grpc.open_envelope(serialized)
        message = self._layouts.find(envelope) or await _parsed(envelope)
        plane = self._repository.find(message.model_name, message.model_version)
        with _Counted(plane, came, self._watch) as caller:
            await plane.until_loaded(came.deadline_seconds)
            if isinstance(message, Known):
                request = message.request
            else:
                request = await _decoded(message)
                self._layouts.keep(envelope.rest, message, request)
            return self._layouts.encode(await plane.infer(request, caller.arrival, caller), request)

    async def stream(self, requests: AsyncIterator[bytes], context: Any) -> None:
        """ModelStreamInfer."""
        self.active += 1
        stream = _Stream(self._repository, self._watch, context)
        try:
            async with asyncio.TaskGroup() as group:
                async for serialized in requests:
                    await stream.room.acquire()
                    group.create_task(stream.answer(serialized, stream.line_up()))
        finally:
            self.active -= 1


class _Place:
    """A place in the line of a stream's answers."""

    def __init__(self, before: asyncio.Event) -> None:
        self.first = before
        self.over = asyncio.Event()


class _Stream:
    """The answers to one stream of requests."""

    def __init__(self, repository: Repository, watch: Watch, context: Any) -> None:
        self._repository = repository
        self._watch = watch
        self._context = context
        self._writing = asyncio.Lock()
        self._last = asyncio.Event()
        self._last.set()
        self.room = asyncio.Semaphore(STREAM_REQUESTS)

    def line_up(self) -> _Place:
        """The place behind all others."""
        place = _Place(self._last)
        self._last = place.over
        return place

    async def answer(self, serialized: bytes, place: _Place) -> None:
        """Answer one request; an error is an answer, too, and the stream goes on."""
        identity = None
        try:
            message = await _parsed(v2_grpc.open_envelope(serialized))
            identity = message.parsed.id
            plane = self._repository.find(message.model_name, message.model_version)
            with _Counted(plane, arrival(self._context), self._watch) as caller:
                await plane.until_loaded(caller.arrival.deadline_seconds)
                request, wants_final = _flag_taken(await _decoded(message))
                if plane.streams:
                    await self._answers(plane, request, caller, wants_final=wants_final)
                else:
                    response = await plane.infer(request, caller.arrival, caller)
                    await place.first.wait()
                    await self._send(response, request, final=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            await place.first.wait()
            await self._write(v2_grpc.stream_error(_status(error).sentence, identity))
        finally:
            place.over.set()
            self.room.release()

    async def _answers(self, plane: DataPlane, request: InferRequest, caller: "_Counted", *, wants_final: bool) -> None:
        async with contextlib.aclosing(plane.stream(request, caller.arrival, caller)) as answers:
            async for response in answers:
                await self._send(response, request, final=False)
        if wants_final:
            await self._send(InferResponse(plane.name, plane.version, (), request.id), request, final=True)

    async def _send(self, response: InferResponse, request: InferRequest, *, final: bool) -> None:
        encoded = v2_grpc.encode_response(response, request, {_FINAL: final})
        await self._write(v2_grpc.stream_response(encoded))

    async def _write(self, message: bytes) -> None:
        async with self._writing:
            await self._context.write(message)


class _Ended(Exception):
    """A request that was counted has failed."""

    def __init__(self, ended: Status) -> None:
        super().__init__(ended.sentence)
        self.status = ended


class _Counted(Caller):
    """The client of a request that is counted from here to the end of the block, by what the block ends with.

    Raises:
        _Ended: at the end of the block, for what it raised.
    """

    __slots__ = ("_plane", "_watch", "arrival")

    def __init__(self, plane: DataPlane, came: Arrival, watch: Watch) -> None:
        super().__init__()
        self._plane = plane
        self._watch = watch
        watched = watch.begin(came.traceparent, came.tenant) if watch.is_on else None
        self.arrival = came if watched is None else came._replace(watched=watched)

    def __enter__(self) -> "_Counted":
        self._plane.metrics.arrived(self.arrival.unix_seconds)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = None
        code = 200
        if isinstance(error, Exception):
            ended = _status(error)
            code = ended.http_code
        elif error is not None:  # cancelled
            self.leave()
            code = CLIENT_GONE
        self._count(code, 0 if ended is None else ended.code.value[0])
        if ended is not None:
            raise _Ended(ended) from error

    def _count(self, http_code: int, grpc_code: int) -> None:
        came, plane = self.arrival, self._plane
        trace_id = None if came.watched is None else came.watched.trace_hex
        plane.metrics.answered(http_code, time.perf_counter() - came.monotonic_seconds, trace_id)
        if came.watched is not None:
            attributes: Attributes = {"rpc.system": "grpc", "rpc.grpc.status_code": grpc_code}
            arrived = (came.monotonic_seconds, came.unix_seconds)
            self._watch.end(came.watched, (plane.name, plane.version), arrived, http_code, attributes)


def _status(error: Exception) -> Status:
    if isinstance(error, _Ended):
        return error.status
    return _CANCELLED if isinstance(error, ClientGone) else status(error)


async def _parsed(envelope: v2_grpc.Envelope) -> v2_grpc.Message:
    if len(envelope.rest) < LARGE_TYPED_BYTES:
        return v2_grpc.parse(envelope)
    return await asyncio.to_thread(v2_grpc.parse, envelope)


async def _decoded(message: v2_grpc.Message) -> InferRequest:
    if message.typed_bytes < LARGE_TYPED_BYTES:
        return v2_grpc.decode(message)
    return await asyncio.to_thread(v2_grpc.decode, message)


def _flag_taken(request: InferRequest) -> tuple[InferRequest, bool]:
    """Whether an answer without tensors is wanted at the end; the model is not told."""
    if _WANTS_EMPTY_FINAL not in request.parameters:
        return request, False
    parameters = dict(request.parameters)
    wanted = parameters.pop(_WANTS_EMPTY_FINAL) is True
    return request._replace(parameters=parameters), wanted
