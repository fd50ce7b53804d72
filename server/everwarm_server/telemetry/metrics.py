"""Every metric of the server: what happens to requests in, the Prometheus text format out.

The operator reads these names: they are a contract (tests/contract/server), so change both sides or neither.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from everwarm_server.telemetry import cold
from everwarm_server.telemetry.dispersion import ArrivalCounts
from everwarm_server.telemetry.series import Counters, Histogram

BUCKETS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, math.inf,
)  # fmt: skip
CLIENT_GONE: Final = 499  # nginx's code for a client that left; nobody gets it


class Metrics:
    """The metrics of one model on a registry of their own. Times are unix seconds unless they are durations.

    Its methods belong to the event loop's thread.
    """

    def __init__(self, model_name: str, concurrency: int, start_seconds: float) -> None:
        self.registry = CollectorRegistry()
        self._name = model_name
        self._ready_seconds = math.inf
        self._arrivals = ArrivalCounts(start_seconds)
        self._in_flight = 0
        requests = Counters(
            "everwarm_requests",
            "requests to the model, by HTTP status code (499: client gone)",
            model_name,
            "code",
            "200",
        )
        cold_starts = Counters("everwarm_cold_start_requests", "requests that found no warm replica", model_name, None)
        self._by_code, self._cold = requests.counts, cold_starts.counts
        for counters in (requests, cold_starts):
            self.registry.register(counters)
        self._request_seconds = self._histogram("request_seconds", "arrival to response complete")
        self._queue_seconds = self._histogram("queue_seconds", "arrival to start of inference")
        self._inference_seconds = self._histogram("inference_seconds", "time in the model, one observation per request")
        self._load_seconds = self._gauge("load_seconds", "time that each phase of loading took", "phase")
        self._model_ready = self._gauge("model_ready", "1: loaded, warmed and not draining").labels(model_name)
        self._gauge("concurrency", "requests that this replica executes at once").labels(model_name).set(concurrency)
        in_flight = self._gauge("in_flight_requests", "requests that arrived and are not answered yet")
        in_flight.labels(model_name).set_function(lambda: self._in_flight)
        self._ready_time = Gauge(
            "everwarm_ready_time_seconds", "unix time of the first readiness; 0: not yet", registry=self.registry
        )
        Gauge("everwarm_start_time_seconds", "unix time of the start of the process", registry=self.registry).set(
            start_seconds
        )
        self.registry.register(Dispersion(model_name, self._arrivals.index))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"everwarm_{name}", text, ("model_name", *labels), registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        made = Histogram(f"everwarm_{name}", f"{text}, in seconds", self._name, BUCKETS)
        self.registry.register(made)
        return made

    def arrived(self, now_seconds: float) -> None:
        """A request to the model is here."""
        self._in_flight += 1
        self._arrivals.record(now_seconds)

    def answered(self, code: int, duration_seconds: float) -> None:
        """It has its answer."""
        self._in_flight -= 1
        if code != CLIENT_GONE:
            self._request_seconds.observe(duration_seconds)
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

    @property
    def in_flight(self) -> int:
        """Requests that arrived and are not answered yet."""
        return self._in_flight

    def phase(self, name: str, duration_seconds: float) -> None:
        """A phase of loading is over."""
        self._load_seconds.labels(self._name, name).set(duration_seconds)

    def ready(self, now_seconds: float) -> None:
        """The model is loaded and warmed."""
        self._ready_seconds = now_seconds
        self._ready_time.set(now_seconds)
        self._model_ready.set(1)

    def not_ready(self) -> None:
        """New requests should go elsewhere."""
        self._model_ready.set(0)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The body and the content type of a scrape, by its Accept header."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class Dispersion:
    """Computes the index of dispersion when it is scraped, so that requests don't pay for it."""

    def __init__(self, model_name: str, index: Callable[[float], float]) -> None:
        self._model_name = model_name
        self._index = index

    def collect(self) -> Iterator[Metric]:
        """The gauge as it is now."""
        family = GaugeMetricFamily(
            "everwarm_arrival_dispersion",
            "variance / mean of the arrivals per second over the last 60 s; NaN without arrivals",
            labels=("model_name",),
        )
        family.add_metric((self._model_name,), self._index(time.time()))
        yield family
