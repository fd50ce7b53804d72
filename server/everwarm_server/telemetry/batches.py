"""What is counted of batches, of the queue before them, and of who was not let into it."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client.metrics_core import GaugeMetricFamily

from everwarm_server.telemetry.series import Counters, Histogram, Series

ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, math.inf)
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, math.inf)
READINGS: Final = {
    "queue_rows": "rows of the requests that wait for a thread",
    "queue_requests": "requests that wait for a thread",
    "batch_max_rows": "rows in one batch at most, as given or learned; 0: requests are not batched",
    "batch_cost_seconds": "fixed part of what a batch costs, as measured",
    "row_cost_seconds": "part of what a batch costs that each row adds, as measured",
    "admission_limit": "requests that may be inside, as learned from latency; 0: nothing is learned",
}
SUMS: Final = frozenset({"queue_rows", "queue_requests"})


class BatchSeries:
    """Of one loaded version of a model.

    Attributes:
        readings: a function for each gauge of READINGS that there is.
    """

    def __init__(self, series: dict[str, Series]) -> None:
        self.readings: dict[str, Callable[[], float]] = {}
        self._rows = Histogram("everwarm_batch_rows", "rows that were computed together", ROWS)
        self._seconds = Histogram("everwarm_batch_seconds", "time in the model of a batch, in seconds", SECONDS)
        batches = Counters("everwarm_batches", "batches, by why they were closed", "reason", "full", "idle", "delay")
        refused = Counters("everwarm_refused_requests", "requests not let into the queue", "reason", "queue_full")
        expired = Counters("everwarm_expired_requests", "requests whose deadline passed in the queue", None)
        self._batches, self._refused, self._expired = batches.counts, refused.counts, expired.counts
        for each in (self._rows, self._seconds, batches, refused, expired):
            series[each.name] = each

    def batch(self, rows: int, reason: str, seconds: float) -> None:
        """A batch was computed."""
        self._rows.observe(rows)
        self._seconds.observe(seconds)
        self._batches[reason] = self._batches.get(reason, 0) + 1

    def refused(self, reason: str) -> None:
        """A request was not let into the queue."""
        self._refused[reason] = self._refused.get(reason, 0) + 1

    def expired(self) -> None:
        """A request waited until after its deadline."""
        self._expired[""] += 1


def gauges(models: Iterable[tuple[str, list[BatchSeries]]]) -> Iterator[GaugeMetricFamily]:
    """The readings of models, each of which may have several versions."""
    known = list(models)
    for reading, text in READINGS.items():
        family = GaugeMetricFamily(f"everwarm_{reading}", text, labels=("model_name",))
        for name, versions in known:
            values = [each.readings[reading]() for each in versions if reading in each.readings]
            if values:
                family.add_metric((name,), sum(values) if reading in SUMS else max(values))
        yield family
