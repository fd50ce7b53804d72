"""Counts and durations in, families for a scrape out. No locks, so a request pays for additions alone.

prometheus_client's own counters and histograms take a lock each time, 3 us for a histogram; these belong to the event
loop's thread, which also answers scrapes.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric


class Histogram:
    """Durations of one model, in seconds."""

    __slots__ = ("_bounds", "_counts", "_model_name", "_name", "_sum", "_text")

    def __init__(self, name: str, text: str, model_name: str, bounds: Sequence[float]) -> None:
        self._name, self._text, self._model_name = name, text, model_name
        self._bounds = tuple(bounds)  # the last is infinity
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def collect(self) -> Iterator[Metric]:
        """The histogram as it is now."""
        family = HistogramMetricFamily(self._name, self._text, labels=("model_name",))
        total = 0
        buckets = []
        for bound, count in zip(self._bounds, self._counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound == math.inf else str(bound), total))
        family.add_metric((self._model_name,), buckets, self._sum)
        yield family


class Counters:
    """One counter of one model for each value of a label, or one alone where there is no label (its value is "")."""

    __slots__ = ("_labels", "_model_name", "_name", "_text", "counts")

    def __init__(self, name: str, text: str, model_name: str, label: str | None, *values: str) -> None:
        self._name, self._text, self._model_name = name, text, model_name
        self._labels = ("model_name",) if label is None else ("model_name", label)
        self.counts = dict.fromkeys(values or ("",), 0)

    def collect(self) -> Iterator[Metric]:
        """The counters as they are now."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for value, count in self.counts.items():
            family.add_metric((self._model_name, value)[: len(self._labels)], count)
        yield family
