"""Every metric of the server: what happens to requests in, the Prometheus text format out.

The operator reads these names: they are a contract (tests/contract/server), so change both sides or neither. Each
loaded version of a model counts for itself; a scrape shows their sums by the name of the model.
"""

import math
import time
from collections.abc import Iterator
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from everwarm_server.telemetry import cold
from everwarm_server.telemetry.batches import BatchSeries, gauges
from everwarm_server.telemetry.dispersion import ArrivalCounts
from everwarm_server.telemetry.series import Counters, Histogram, Series
from everwarm_server.telemetry.totals import Totals

BUCKETS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, math.inf,
)  # fmt: skip
CLIENT_GONE: Final = 499  # nginx's code for a client that left; nobody gets it


class ModelMetrics:
    """What one loaded version of a model counts. Times are unix seconds unless they are durations.

    Its methods belong to the event loop's thread.

    Attributes:
        registry: where it is shown.
        concurrency: requests that it executes at once.
        in_flight: requests that arrived and are not answered yet.
        is_ready: loaded, warmed and not draining.
        phase_seconds: how long each phase of loading took.
        last_arrival_seconds: unix time of the last request; 0: none yet.
        failure_seconds: that requests took which were answered with an error.
        series: all that is counted, by name.
        batches: what is counted of batches and the queue.
    """

    def __init__(self, registry: CollectorRegistry, concurrency: int, arrivals: ArrivalCounts) -> None:
        self.registry = registry
        self.concurrency = concurrency
        self.in_flight = 0
        self.is_ready = False
        self.phase_seconds: dict[str, float] = {}
        self.last_arrival_seconds = self.failure_seconds = 0.0
        self.series: dict[str, Series] = {}
        self.batches = BatchSeries(self.series)
        self._arrivals = arrivals
        self._ready_seconds = math.inf
        self._by_code = self._counters(
            "requests", "requests to the model, by HTTP status code (499: client gone)", "code", "200"
        )
        self._cold = self._counters("cold_start_requests", "requests that found no warm replica", None)
        self._request_seconds = self._histogram("request_seconds", "arrival to response complete")
        self._queue_seconds = self._histogram("queue_seconds", "arrival to start of inference")
        self._inference_seconds = self._histogram(
            "inference_seconds", "time in the model, one observation per request: of a batch, its share by rows"
        )

    def _counters(self, name: str, text: str, label: str | None, *values: str) -> dict[str, int]:
        made = Counters(f"everwarm_{name}", text, label, *values)
        self.series[made.name] = made
        return made.counts

    def _histogram(self, name: str, text: str) -> Histogram:
        made = Histogram(f"everwarm_{name}", f"{text}, in seconds", BUCKETS)
        self.series[made.name] = made
        return made

    def arrived(self, now_seconds: float) -> None:
        """A request to the model is here. Until `answered` is called for it, the model is not closed."""
        self.in_flight += 1
        self.last_arrival_seconds = now_seconds
        self._arrivals.record(now_seconds)

    def answered(self, code: int, duration_seconds: float, trace_id: str | None = None) -> None:
        """It has its answer; with the id of its trace, if that is kept, for an exemplar."""
        self.in_flight -= 1
        if code != CLIENT_GONE:
            self._request_seconds.observe(duration_seconds)
            if trace_id is not None:
                self._request_seconds.exemplify(duration_seconds, trace_id, time.time())
            if code >= 400:
                self.failure_seconds += duration_seconds
        text = str(code)
        self._by_code[text] = self._by_code.get(text, 0) + 1

    def accepted(self, request_start: bytes | None, arrival_seconds: float) -> None:
        """It will be served; count it if it found no warm replica."""
        if request_start is None and arrival_seconds - self._ready_seconds > cold.GRACE_SECONDS:
            return  # nearly all
        if cold.found_no_warm_replica(request_start, arrival_seconds, self._ready_seconds):
            self._cold[""] += 1

    def inferred(self, queue_seconds: float, inference_seconds: float) -> None:
        """The model has computed for it."""
        self._queue_seconds.observe(queue_seconds)
        self._inference_seconds.observe(inference_seconds)

    def totals(self) -> Totals:
        """All that was counted, without its distributions."""
        successes = self._by_code["200"]
        inferences = self._inference_seconds.count
        batches = self.series.get("everwarm_batch_rows")
        return Totals(
            successes=successes,
            failures=sum(self._by_code.values()) - successes - self._by_code.get(str(CLIENT_GONE), 0),
            success_seconds=self._request_seconds.total - self.failure_seconds,
            failure_seconds=self.failure_seconds,
            inferences=inferences,
            executions=batches.count if isinstance(batches, Histogram) and batches.count else inferences,
            queue_seconds=self._queue_seconds.total,
            inference_seconds=self._inference_seconds.total,
            last_arrival_seconds=self.last_arrival_seconds,
        )

    def phase(self, name: str, duration_seconds: float) -> None:
        """A phase of loading is over."""
        self.phase_seconds[name] = duration_seconds

    def ready(self, since_seconds: float) -> None:
        """The model is loaded and warmed; `since_seconds` is earlier than now if another version was, before it."""
        self._ready_seconds = since_seconds
        self.is_ready = True

    @property
    def ready_seconds(self) -> float:
        """Since when the model is ready; infinite if it is not."""
        return self._ready_seconds

    def not_ready(self) -> None:
        """New requests should go elsewhere."""
        self.is_ready = False

    def add(self, other: "ModelMetrics") -> None:
        """Count what another has counted, too."""
        for name, series in other.series.items():
            self.series[name].add(series)


class _Model:
    """What all versions of a model counted: those that are there, and those that were."""

    def __init__(self, registry: CollectorRegistry, concurrency: int, start_seconds: float) -> None:
        self.registry = registry
        self.concurrency = concurrency
        self.arrivals = ArrivalCounts(start_seconds)
        self.present: list[ModelMetrics] = []
        self.past = self.new()

    def new(self) -> ModelMetrics:
        return ModelMetrics(self.registry, self.concurrency, self.arrivals)

    def sums(self) -> list[Series]:
        total = self.new()
        for each in (self.past, *self.present):
            total.add(each)
        return list(total.series.values())


class Metrics:
    """The metrics of the process: a collector of those of all models, on a registry of its own."""

    def __init__(self, start_seconds: float) -> None:
        self.registry = CollectorRegistry()
        self._start_seconds = start_seconds
        self._models: dict[str, _Model] = {}
        self._ready_time = Gauge(
            "everwarm_ready_time_seconds", "unix time of the first readiness; 0: not yet", registry=self.registry
        )
        self._was_ready = False
        Gauge("everwarm_start_time_seconds", "unix time of the start of the process", registry=self.registry).set(
            start_seconds
        )
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def declare(self, model_name: str, concurrency: int) -> None:
        """Show a model before any version of it is loaded."""
        if model_name not in self._models:
            self._models[model_name] = _Model(self.registry, concurrency, self._start_seconds)

    def model(self, model_name: str, concurrency: int) -> ModelMetrics:
        """The metrics of another version of a model."""
        self.declare(model_name, concurrency)
        model = self._models[model_name]
        model.concurrency = concurrency
        made = model.new()
        model.present.append(made)
        return made

    def retire(self, model_name: str, metrics: ModelMetrics) -> None:
        """A version is closed; what it counted stays."""
        model = self._models[model_name]
        model.present.remove(metrics)
        model.past.add(metrics)
        model.past.phase_seconds = metrics.phase_seconds

    def ready(self, now_seconds: float) -> None:
        """All models are ready; only the first time counts."""
        if not self._was_ready:
            self._was_ready = True
            self._ready_time.set(now_seconds)

    @property
    def in_flight(self) -> int:
        """Requests that arrived and are not answered yet."""
        return sum(each.in_flight for model in self._models.values() for each in model.present)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The body and the content type of a scrape, by its Accept header."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def collect(self) -> Iterator[Metric]:
        """All families of models, as they are now."""
        families: dict[str, Any] = {}
        for name, model in self._models.items():
            for series in model.sums():
                if series.name not in families:
                    families[series.name] = series.family()
                series.show(families[series.name], name)
        yield from families.values()
        yield from self._gauges()

    def _gauges(self) -> Iterator[Metric]:
        load = _gauge("load_seconds", "time that each phase of loading took", "phase")
        ready = _gauge("model_ready", "1: loaded, warmed and not draining")
        concurrency = _gauge("concurrency", "requests that this replica executes at once")
        in_flight = _gauge("in_flight_requests", "requests that arrived and are not answered yet")
        dispersion = _gauge(
            "arrival_dispersion",
            "variance / mean of the arrivals per second over the last 60 s; NaN without arrivals",
        )
        now_seconds = time.time()
        for name, model in self._models.items():
            for phase, seconds in (model.present or [model.past])[-1].phase_seconds.items():
                load.add_metric((name, phase), seconds)
            ready.add_metric((name,), any(each.is_ready for each in model.present))
            concurrency.add_metric((name,), model.concurrency)
            in_flight.add_metric((name,), sum(each.in_flight for each in model.present))
            dispersion.add_metric((name,), model.arrivals.index(now_seconds))
        yield from (load, ready, concurrency, in_flight, dispersion)
        yield from gauges((name, [each.batches for each in model.present]) for name, model in self._models.items())


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"everwarm_{name}", text, labels=("model_name", *labels))
