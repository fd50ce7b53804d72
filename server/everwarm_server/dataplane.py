"""The one path of a request, whatever protocol it came by: ready, valid, its turn, the model, the outputs asked for."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from everwarm_server.admission import DEFAULT_LIMITS, Admission, Client, Done, QueueLimits, Ticket
from everwarm_server.arriving import Arriving
from everwarm_server.batching import rows
from everwarm_server.batching.compute import Run
from everwarm_server.batching.options import Options
from everwarm_server.batching.policy import Batching
from everwarm_server.errors import DeadlineExceeded, InferenceFailed, InvalidInput, ModelNotReady, ServingError
from everwarm_server.placement import Placement
from everwarm_server.protocol.description import Serving
from everwarm_server.protocol.sentences import listed, shown
from everwarm_server.protocol.tensors import (
    DATATYPES,
    Array,
    InferRequest,
    InferResponse,
    ModelMetadata,
    Parameters,
    RequestedOutput,
    Tensor,
)
from everwarm_server.protocol.validate import check_inputs
from everwarm_server.runtime.base import Runtime
from everwarm_server.streaming import Streaming
from everwarm_server.telemetry.metrics import ModelMetrics
from everwarm_server.telemetry.watch import Watched
from everwarm_server.turns import Turns

VERSION: Final = "1"  # of a model that has no versions of its own
_LOG: Final = logging.getLogger(__name__)
_Outputs: TypeAlias = Mapping[str, Array]


class Arrival(NamedTuple):
    """When and how a request came.

    Attributes:
        monotonic_seconds: time.perf_counter() at its arrival.
        unix_seconds: the clock then.
        request_start: its header X-Request-Start.
        deadline_seconds: when its answer is of no more use, on the clock of `monotonic_seconds`.
        tenant: who shares the replica fairly with the others; empty: nobody in particular.
        traceparent: its W3C trace context.
        watched: where its times are put for traces and logs, if somebody wants them.
    """

    monotonic_seconds: float
    unix_seconds: float
    request_start: bytes | None = None
    deadline_seconds: float = math.inf
    tenant: str = ""
    traceparent: bytes | None = None
    watched: Watched | None = None

    def within(self, parameters: Parameters) -> "Arrival":
        """The same with the deadline that the request itself names, if it is earlier: `timeout` in microseconds.

        Zero is none, as in Triton's protocol.
        """
        timeout = parameters.get("timeout")
        if not isinstance(timeout, int) or timeout <= 0:
            return self
        deadline_seconds = self.monotonic_seconds + timeout * 1e-6
        return self._replace(deadline_seconds=min(self.deadline_seconds, deadline_seconds))


class DataPlane:
    """One version of a model, from before it is loaded to after it is closed.

    Its methods belong to the event loop's thread.

    Attributes:
        retired: another one answers in its place; whoever found this one before must look again.
        arriving: where requests wait that had it loaded, or came while it was loaded for others.
        served_seconds: unix time since when it answers.
    """

    def __init__(
        self,
        name: str,
        concurrency: int,
        queue_size: int,
        metrics: ModelMetrics,
        inline_seconds: float = 0.0,
        version: str = VERSION,
        *,
        batching: Options | None = None,
        limits: QueueLimits = DEFAULT_LIMITS,
    ) -> None:
        self.name = name
        self.version = version
        self.retired = False
        self.arriving: Arriving | None = None
        self.served_seconds = 0.0
        self.metrics = metrics
        self._batching = Batching(batching or Options(mode="off"))
        self.admission = Admission(concurrency, queue_size, self._batching, metrics.batches, limits)
        metrics.batches.readings = self._readings()
        self._placement = Placement(inline_seconds)
        self._turns = Turns(self.admission, self._placement)
        self._runtime: Runtime | None = None
        self._draining = False

    def _readings(self) -> dict[str, Callable[[], float]]:
        admission, batching, gradient = self.admission, self._batching, self.admission.gradient
        return {
            "queue_rows": lambda: admission.waiting_rows,
            "queue_requests": lambda: admission.waiting,
            "batch_max_rows": lambda: batching.max_rows if batching.is_on else 0,
            "batch_cost_seconds": lambda: batching.cost.per_batch_seconds,
            "row_cost_seconds": lambda: batching.cost.per_row_seconds,
            "admission_limit": lambda: 0 if gradient is None else gradient.limit,
        }

    def serve(
        self, runtime: Runtime, since_seconds: float | None = None, batching: Mapping[str, Any] | None = None
    ) -> None:
        """The model is loaded and warmed: requests may come.

        Args:
            runtime: the model.
            since_seconds: since when another one in its place was ready, if one was.
            batching: what its owner says of the options for batching, by their names.
        """
        self._runtime = runtime
        self._batching.serve(runtime, partial(self._run, runtime), batching)
        if not runtime.only_computes:
            self._placement.never_again()
        self.served_seconds = time.time()
        self.metrics.ready(self.served_seconds if since_seconds is None else since_seconds)

    def retire(self) -> None:
        """Another one answers from now on; what came before is answered still."""
        self.retired = True
        self.metrics.not_ready()

    def drain(self) -> None:
        """Say that no more requests should come; those that do are answered still."""
        self._draining = True
        self.metrics.not_ready()

    @property
    def is_loaded(self) -> bool:
        """Whether the model is loaded and warmed."""
        return self._runtime is not None

    @property
    def is_ready(self) -> bool:
        """Whether new requests should come here."""
        return self.is_loaded and not self._draining

    @property
    def streams(self) -> bool:
        """Whether one request may have several answers.

        Raises:
            ModelNotReady: the model is still being loaded.
        """
        return self._ready_runtime().streams

    def serving(self) -> Serving:
        """How the model is served.

        Raises:
            ModelNotReady: it is still being loaded.
        """
        runtime = self._ready_runtime()
        return Serving(
            max_batch_rows=self._batching.max_rows if self._batching.is_on else 0,
            instances=self.metrics.concurrency,
            on_gpu="cuda" in runtime.device,
            streams=runtime.streams,
        )

    @property
    def in_use(self) -> bool:
        """Whether a request is being answered, or an inference runs for one whose client has left."""
        return self.metrics.in_flight > 0 or self.admission.running > 0

    def close(self) -> None:
        """End it all."""
        self.stop()
        self.free()

    def stop(self) -> None:
        """Compute nothing any more but what waits."""
        self.admission.close()

    def free(self) -> None:
        """Free the model, unless an inference still uses it; after `stop`, from any thread."""
        if self._runtime is not None and self.admission.running == 0:
            self._runtime.close()

    def check_ready(self) -> None:
        """See that new requests should come here.

        Raises:
            ModelNotReady: the model is still being loaded, or the server drains.
        """
        if self._draining:
            raise ModelNotReady("The server drains: it answers what it gets, but send new requests elsewhere.")
        self.metadata()

    def metadata(self) -> ModelMetadata:
        """What the model takes and gives; also while the server drains.

        Raises:
            ModelNotReady: it is still being loaded.
        """
        return self._ready_runtime().metadata

    async def until_loaded(self, deadline_seconds: float = math.inf) -> None:
        """Wait for a model that is loaded by request; one that is loaded at the start is not waited for.

        Args:
            deadline_seconds: see Arrival.

        Raises:
            ModelNotReady, DeadlineExceeded, Overloaded: it is not there, or not in time, or too many wait.
        """
        if self._runtime is None and self.arriving is not None:
            await self.arriving.wait(deadline_seconds)
        self._ready_runtime()

    def _ready_runtime(self) -> Runtime:
        if self._runtime is None:
            raise ModelNotReady(f"The model {self.name!r} is still being loaded; try again later.")
        return self._runtime

    def submit(self, request: InferRequest, arrival: Arrival, client: Client, done: Done) -> Ticket:
        """Compute one request; `done` is called once, on the loop: with the response, or with the error.

        The ticket is for giving up.

        Raises:
            ModelNotReady, InvalidInput, Overloaded, TooManyRequests, DeadlineExceeded: see errors.py.
            ClientGone: the client has left.
        """
        runtime = self._ready_runtime()
        if request.parameters:
            arrival = arrival.within(request.parameters)
        check_inputs(request, runtime.metadata)
        self.metrics.accepted(arrival.request_start, arrival.unix_seconds)
        inputs: dict[str, Array] = {}
        input_bytes = 0
        for tensor in request.inputs:
            inputs[tensor.name] = tensor.data
            input_bytes += tensor.data.nbytes

        def ended(run: Run | BaseException) -> None:
            done(self._response(request, arrival, run) if isinstance(run, Run) else run)

        call = partial(self._run, runtime, inputs, request.parameters)
        ticket = Ticket(call, client, ended, arrival.monotonic_seconds, arrival.deadline_seconds, arrival.tenant)
        ticket.inputs, ticket.parameters, ticket.input_bytes = inputs, request.parameters, input_bytes
        if request.parameters:
            ticket.stream = rows.stream(request.parameters)
        if arrival.deadline_seconds < math.inf and arrival.deadline_seconds <= time.perf_counter():
            raise DeadlineExceeded("The deadline of this request had passed when it came to its turn.")
        self._turns.submit(ticket)
        return ticket

    async def infer(self, request: InferRequest, arrival: Arrival, client: Client) -> InferResponse:
        """Answer one request.

        Raises:
            ModelNotReady, InvalidInput, Overloaded, InferenceFailed: see errors.py.
            ClientGone: the client left before its turn.
        """
        future: asyncio.Future[InferResponse] = asyncio.get_running_loop().create_future()

        def done(outcome: InferResponse | BaseException) -> None:
            if future.done():
                return
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        ticket = self.submit(request, arrival, client, done)
        try:
            return await future
        except asyncio.CancelledError:
            self.admission.give_up(ticket)
            raise

    async def stream(
        self, request: InferRequest, arrival: Arrival, client: Client
    ) -> AsyncGenerator[InferResponse, None]:
        """The answers to one request as the model gives them; it has a thread until the last. Close it to stop it.

        Raises:
            ModelNotReady, InvalidInput, Overloaded, TooManyRequests, DeadlineExceeded, InferenceFailed: see errors.py;
                the last two also after some answers.
            ClientGone: the client left.
        """
        runtime = self._ready_runtime()
        arrival = arrival.within(request.parameters)
        check_inputs(request, runtime.metadata)
        self.metrics.accepted(arrival.request_start, arrival.unix_seconds)
        inputs = {tensor.name: tensor.data for tensor in request.inputs}
        streaming: Streaming[_Outputs] = Streaming(self.admission, client, arrival.deadline_seconds, arrival.tenant)
        streaming.start(partial(runtime.stream, inputs, request.parameters))
        try:
            async with contextlib.aclosing(streaming.answers()) as answers:
                async for outputs in answers:
                    selected = select(outputs, request.outputs, runtime.metadata)
                    yield InferResponse(self.name, self.version, selected, request.id)
        finally:
            if streaming.start_seconds:
                self.metrics.inferred(streaming.start_seconds - arrival.monotonic_seconds, streaming.seconds)
                if arrival.watched is not None:
                    start = streaming.start_seconds
                    arrival.watched.inferred = (start, start + streaming.seconds)

    def _response(self, request: InferRequest, arrival: Arrival, run: Run) -> InferResponse | Exception:
        self.metrics.inferred(run.start - arrival.monotonic_seconds, (run.end - run.start) * run.share)
        if arrival.watched is not None:
            arrival.watched.inferred, arrival.watched.batch = (run.start, run.end), run.batch
        if run.error is not None:
            return run.error
        metadata = self.metadata()
        try:
            outputs = select(run.outputs, request.outputs, metadata)
        except ServingError as error:
            return error
        return InferResponse(metadata.name, metadata.version, outputs, request.id)

    def _run(self, runtime: Runtime, inputs: Mapping[str, Array], parameters: Parameters) -> Run:
        """Compute, on any thread."""
        run = Run()
        run.start = time.perf_counter()
        try:
            run.outputs = runtime.infer(inputs, parameters)
        except ServingError as error:
            run.error = error
        except BaseException as error:  # noqa: BLE001 - a model that calls sys.exit() ends its request, not the server
            _LOG.exception("The model failed", extra={"model": self.name})
            run.error = InferenceFailed(f"The model {self.name!r} failed: {type(error).__name__}.")
            run.error.__cause__ = error
        run.end = time.perf_counter()
        return run


def select(outputs: _Outputs, wanted: tuple[RequestedOutput, ...], metadata: ModelMetadata) -> tuple[Tensor, ...]:
    """The outputs asked for in that order; all of them, in the model's order, if none is.

    Raises:
        InvalidInput: one was asked for that the model, which declares none, did not give.
        InferenceFailed: the model did not give one that it declares.
    """
    declared = () if metadata.takes_documents else metadata.outputs
    names = [output.name for output in wanted] or [spec.name for spec in declared] or list(outputs)
    try:
        return tuple([Tensor(name, DATATYPES[outputs[name].dtype], outputs[name]) for name in names])
    except KeyError:
        missing = [name for name in names if name not in outputs]
        if not missing:
            raise
    if metadata.outputs:
        raise InferenceFailed(f"The model {shown(metadata.name)} declares the output {listed(missing)} but gave none.")
    raise InvalidInput(
        f"The model {shown(metadata.name)} gave no output {listed(missing)}; it gave {listed(list(outputs))}."
    )
