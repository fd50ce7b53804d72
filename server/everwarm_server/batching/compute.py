"""The jobs of a batch in, a result for each out; on a worker's thread.

A batch that fails is halved and tried again until only those fail that must: one poisoned row is found with
2 log2(n) more calls, and its neighbours are answered. A model whose calls must not be repeated says so
(`retry = false`); then all of a failed batch fail.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from everwarm_server.batching import rows
from everwarm_server.batching.tenants import Item
from everwarm_server.errors import InferenceFailed
from everwarm_server.protocol.tensors import Array, Parameters
from everwarm_server.telemetry.tracing import Batch

_LOG: Final = logging.getLogger(__name__)


class Run:
    """What an inference gave, and when it started and ended by time.perf_counter().

    `share` is how much of that time was this request's own: less than 1 where others were computed with it; `batch`
    says with how many.
    """

    __slots__ = ("batch", "cpu_seconds", "end", "error", "outputs", "share", "start")

    def __init__(self) -> None:
        self.outputs: Mapping[str, Any] = {}
        self.error: Exception | None = None
        self.start = self.end = self.cpu_seconds = 0.0
        self.share = 1.0
        self.batch: Batch | None = None


Infer: TypeAlias = Callable[[Mapping[str, Array], Parameters], Run]
Result: TypeAlias = Run | BaseException


class Job(Item):
    """An item that can be computed.

    Attributes:
        call: computes it alone.
        inputs, parameters: what it is joined by; of those with a bucket.
    """

    __slots__ = ("call", "inputs", "parameters")
    call: Callable[[], Any]
    inputs: Mapping[str, Array]
    parameters: Parameters

    def unwanted(self, now_seconds: float) -> BaseException | None:
        """Why nobody waits for the result any more; None: somebody does."""
        del now_seconds
        return None


class Whole:
    """The answer to a request that is computed in parts: each thread copies its part's rows into their place."""

    def __init__(self, total_rows: int) -> None:
        self._rows = total_rows
        self._outputs: dict[str, Array] = {}
        self._lock = threading.Lock()

    def put(self, place: slice, run: Run) -> None:
        """The outputs of a part; its run is told if they don't fit those of the others."""
        try:
            (part,) = rows.cut(run.outputs, [place.stop - place.start])
            for name, array in part.items():
                with self._lock:
                    whole = self._outputs.get(name)
                    if whole is None:
                        whole = self._outputs[name] = np.empty((self._rows, *array.shape[1:]), array.dtype)
                if whole.shape[1:] != array.shape[1:] or whole.dtype != array.dtype:
                    raise rows.NotRows(f"the output {name!r} has another shape for other rows")
                whole[place] = array
            run.outputs = self._outputs
        except rows.NotRows as error:
            run.error = InferenceFailed(f"The request was computed in parts, and they can't be put together: {error}.")


class Trial(NamedTuple):
    """How some requests fared apart and together.

    Attributes:
        requests, rows: how many.
        alike: whether each got the same answer.
        apart_seconds, together_seconds: what they took.
    """

    requests: int
    rows: int
    alike: bool
    apart_seconds: float
    together_seconds: float


class Computed(NamedTuple):
    """What came of a batch.

    Attributes:
        results: one for each job.
        seconds: what the model was busy for.
        calls: how often it was asked.
        trial: how they fared, if both ways were tried.
        not_rows: what was wrong with the joined answer, if the model can't be asked for rows.
    """

    results: Sequence[Any]
    seconds: float
    calls: int
    trial: Trial | None = None
    not_rows: str = ""


def alone(job: Job) -> Computed:
    """One job."""
    start = time.perf_counter()
    result = _called(job)
    return Computed([result], time.perf_counter() - start, 1)


def _called(job: Job) -> Any:
    cpu_seconds = time.thread_time()
    try:
        result = job.call()
    except BaseException as error:  # noqa: BLE001 - the one who waits gets it
        return error
    if isinstance(result, Run):
        result.cpu_seconds = time.thread_time() - cpu_seconds
    return result


def tried(infer: Infer, jobs: Sequence[Job]) -> Computed:
    """Each job alone, for its answer, and all together, to see whether that is the same and how long it takes."""
    runs = [job.unwanted(time.perf_counter()) or _called(job) for job in jobs]
    done = [run for run in runs if isinstance(run, Run)]
    apart_seconds = sum(run.end - run.start for run in done)
    if len(done) < len(runs) or any(run.error for run in done):
        return Computed(runs, apart_seconds, len(runs))
    counts = [job.rows for job in jobs]
    start = time.perf_counter()
    together = infer(rows.joined([job.inputs for job in jobs]), jobs[0].parameters)
    together_seconds, not_rows, alike = time.perf_counter() - start, "", False
    if together.error is None:
        try:
            parts = rows.cut(together.outputs, counts)
            alike = all(rows.alike(part, run.outputs) for part, run in zip(parts, done, strict=True))
        except rows.NotRows as error:
            not_rows = str(error)
    trial = Trial(len(runs), sum(counts), alike, apart_seconds, together_seconds)
    return Computed(runs, apart_seconds, len(runs), trial, not_rows)


class Together:
    """Computes the jobs of one batch by as few calls as it can.

    Args:
        infer: the model; never raises.
        retry: whether it may be asked again for the rows of a batch that failed.
    """

    def __init__(self, infer: Infer, *, retry: bool) -> None:
        self._infer = infer
        self._retry = retry
        self._seconds = 0.0
        self._calls = 0
        self._not_rows = ""

    def compute(self, jobs: Sequence[Job]) -> Computed:
        """All jobs, in their order."""
        results = self._results(jobs)
        if self._calls > 1 and not self._not_rows:
            _LOG.info("A batch failed, so its halves were tried apart", extra={"calls": self._calls})
        return Computed(results, self._seconds, self._calls, None, self._not_rows)

    def _results(self, jobs: Sequence[Job]) -> Sequence[Result]:
        if len(jobs) == 1:
            return [self._alone(jobs[0])]
        run = self._joined(jobs)
        if run.error is None:
            try:
                return _shared(run, jobs)
            except rows.NotRows as error:
                self._not_rows = str(error)
                return [self._alone(job) for job in jobs]
        if not self._retry:
            return _shared(run, jobs)
        half = len(jobs) // 2
        return [*self._results(jobs[:half]), *self._results(jobs[half:])]

    def _alone(self, job: Job) -> Result:
        unwanted = job.unwanted(time.perf_counter())
        if unwanted is not None:
            return unwanted
        result = _called(job)
        if isinstance(result, Run):
            self._count(result)
        return result  # type: ignore[no-any-return]

    def _joined(self, jobs: Sequence[Job]) -> Run:
        cpu_seconds = time.thread_time()
        try:
            run = self._infer(rows.joined([job.inputs for job in jobs]), jobs[0].parameters)
        except MemoryError as error:
            run = Run()
            run.start = run.end = time.perf_counter()
            run.error = InferenceFailed(f"A batch could not be put together: {error}.")
        run.cpu_seconds = time.thread_time() - cpu_seconds
        self._count(run)
        return run

    def _count(self, run: Run) -> None:
        self._seconds += run.end - run.start
        self._calls += 1


def _shared(run: Run, jobs: Sequence[Job]) -> list[Run]:
    """A run for each job of one for all."""
    counts = [job.rows for job in jobs]
    outputs = rows.cut(run.outputs, counts) if run.error is None else [{} for _ in jobs]
    batch = Batch(len(jobs), sum(counts))
    found = []
    for part, number in zip(outputs, counts, strict=True):
        own = Run()
        own.start, own.end, own.error, own.outputs = run.start, run.end, run.error, part
        own.cpu_seconds, own.share, own.batch = run.cpu_seconds, number / batch.rows, batch
        found.append(own)
    return found
