"""Whether and how the requests to one model are batched: options and measurements in, rules and buckets out."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from everwarm_server.batching import rows
from everwarm_server.batching.compute import Computed, Infer, Job, Run, Together, Trial, alone, tried
from everwarm_server.batching.cost import Cost, Gaps
from everwarm_server.batching.former import Batch
from everwarm_server.batching.learned import LearnedRows
from everwarm_server.batching.options import Options
from everwarm_server.batching.trial import Verdict
from everwarm_server.protocol.tensors import Array, Parameters
from everwarm_server.runtime.base import Runtime, batchable

MAX_ROWS: Final = 64  # where nobody says and no objective is known
TRIAL_ROWS: Final = 8
MAX_WAIT_SECONDS: Final = 0.01  # where it may be as long as pays, and no objective is known
_LOG: Final = logging.getLogger(__name__)


class Batching:
    """The rules of one model's batches. Its methods belong to the event loop but for compute() and the rules."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.cost = Cost()
        self.learned = _learned(options)
        self._gaps = Gaps()
        self._verdict = Verdict()
        self._name = ""
        self._infer: Infer | None = None
        self._parameters_matter = True
        self._trial_rows = TRIAL_ROWS
        self._saturated_rows = float(MAX_ROWS)  # of batches that left something waiting

    def serve(self, runtime: Runtime, infer: Infer, overrides: Mapping[str, Any] | None = None) -> None:
        """The model is loaded; `infer` computes and never raises; `overrides` are options that its owner gives."""
        self.options = replace(self.options, **(overrides or {}))
        self.learned = _learned(self.options)
        self._name = runtime.metadata.name
        self._infer = infer
        self._parameters_matter = runtime.takes_parameters
        mode = self.options.mode
        if mode == "auto" and not (runtime.only_computes and batchable(runtime.metadata)):
            mode = "off"
        if runtime.streams:
            mode = "off"  # its answers come one by one
        self.options = replace(self.options, mode=mode)
        self._verdict.is_on = mode == "on"
        if mode == "off":
            self._verdict.never()

    @property
    def is_on(self) -> bool:
        """Whether requests are batched now."""
        return self._verdict.is_on

    @property
    def max_rows(self) -> int:
        """Rows in one batch at most."""
        most = self.options.max_rows or (self.learned.max_rows if self.learned else MAX_ROWS)
        return most if self.is_on else min(most, self._trial_rows)

    def patience_seconds(self, waiting_rows: int) -> float:
        """How long an idle instance waits for more than these."""
        given = self.options.max_delay_seconds
        if given is not None or not self.is_on:
            return given or 0.0
        if not self.cost.waiting_pays(waiting_rows, self._gaps.seconds):
            return 0.0
        return self.options.slo_seconds / 4 if self.options.slo_seconds else MAX_WAIT_SECONDS

    def arrived(self, now_seconds: float) -> None:
        """A request is here, for whatever thread."""
        if self.options.max_delay_seconds is None:
            self._gaps.arrived(now_seconds)

    def prepare(self, job: Job) -> None:
        """Say what a job counts for, and what it may be computed with."""
        if not (self._verdict.is_on or self._verdict.wants_trial):
            return
        count = rows.count(job.inputs)
        if count:
            job.rows = count
            # A model that never sees the parameters gives the same answers whatever they are.
            job.bucket = rows.bucket(job.inputs, job.parameters if self._parameters_matter else {})
            self._trial_rows = max(TRIAL_ROWS, 2 * count)

    def pieces(self, job: Job) -> list[tuple[slice, dict[str, Array]]]:
        """The parts that a request with more rows than the maximum is computed in; none: it is left whole."""
        is_bound = self.learned is not None or self.options.max_rows is not None
        if not is_bound or not self.is_on or job.bucket is None or job.rows <= self.max_rows:
            return []
        return rows.slices(job.inputs, job.rows, self.max_rows)

    def infer(self, inputs: Mapping[str, Array], parameters: Parameters) -> Run:
        """Ask the model, on any thread."""
        if self._infer is None:
            raise RuntimeError("No model is loaded.")
        return self._infer(inputs, parameters)

    def compute(self, batch: Batch[Any]) -> Computed:
        """Compute a batch, on any thread."""
        jobs = batch.items
        if len(jobs) == 1:
            return alone(jobs[0])
        if self._infer is None or not (self.is_on or self._verdict.wants_trial):
            return _apart(jobs)
        if not self.is_on:
            return tried(self._infer, jobs)
        return Together(self._infer, retry=self.options.retry).compute(jobs)

    def computed(self, batch: Batch[Any], computed: Computed, waiting: int) -> None:
        """A batch is computed, and so many requests wait."""
        if computed.not_rows:
            self._verdict.never()
            _LOG.warning(
                "Requests are not batched: %s",
                computed.not_rows,
                extra={"model": self._name},
            )
        if computed.trial is not None:
            self._tried(computed.trial)
        first = computed.results[0]
        if computed.calls == 1 and not (isinstance(first, BaseException) or getattr(first, "error", None)):
            self.cost.add(batch.rows, computed.seconds)
            if self.learned is not None and self.is_on:
                self.learned.computed(batch.rows, computed.seconds)
        if len(batch.items) == 1:
            self._verdict.ran_apart()
        if waiting:
            self._saturated_rows += (batch.rows / max(1, computed.calls) - self._saturated_rows) / 10

    def _tried(self, trial: Trial) -> None:
        self._verdict.tried(trial)
        if self.is_on:
            _LOG.info("Requests are batched from now on: that pays", extra={"model": self._name})
        elif not trial.alike:
            _LOG.info("Requests are not batched: joined they get other answers", extra={"model": self._name})

    def busy_seconds(self, waiting_rows: float) -> float:
        """How long one instance needs for so many rows, in batches as large as they are under load."""
        each = min(self._saturated_rows, waiting_rows, self.max_rows) if self.is_on else 1.0
        return self.cost.seconds(each) * waiting_rows / each if waiting_rows > 0 else 0.0


def _learned(options: Options) -> LearnedRows | None:
    if options.max_rows is not None or options.slo_seconds is None:
        return None
    return LearnedRows(options.slo_seconds / 2)


def _apart(jobs: Sequence[Job]) -> Computed:
    found = [alone(job) for job in jobs]
    return Computed([c.results[0] for c in found], sum(c.seconds for c in found), len(found))
