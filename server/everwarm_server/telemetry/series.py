"""Counts and durations in, families for a scrape out. No locks, so a request pays for additions alone.

prometheus_client's own counters and histograms take a lock each time, 3 us for a histogram; these belong to the event
loop's thread, which also answers scrapes. What the versions of a model counted is added up when it is scraped.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Protocol

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.samples import Exemplar


class Series(Protocol):
    """What one model counts under one name."""

    name: str

    def family(self) -> Any:
        """An empty family of its type."""

    def show(self, family: Any, model_name: str) -> None:
        """Add what was counted to such a family."""

    def add(self, other: Any) -> None:
        """Count what another of the same name has counted, too."""


class Histogram:
    """Durations in seconds, or other sizes."""

    __slots__ = ("_bounds", "_counts", "_exemplars", "_text", "name", "total")

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        self.name, self._text = name, text
        self._bounds = tuple(bounds)  # the last is infinity
        self._counts = [0] * len(self._bounds)
        self._exemplars: dict[int, Exemplar] = {}  # the last of each bucket
        self.total = 0.0

    @property
    def count(self) -> int:
        """How many were observed."""
        return sum(self._counts)

    def observe(self, value: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def exemplify(self, value: float, trace_id: str, now_seconds: float) -> None:
        """Show the trace of something that was observed, in OpenMetrics."""
        self._exemplars[bisect_left(self._bounds, value)] = Exemplar({"trace_id": trace_id}, value, now_seconds)

    def add(self, other: "Histogram") -> None:
        """Count what another has observed, too."""
        self._exemplars |= other._exemplars
        self._counts = [mine + its for mine, its in zip(self._counts, other._counts, strict=True)]
        self.total += other.total

    def family(self) -> HistogramMetricFamily:
        """An empty family."""
        return HistogramMetricFamily(self.name, self._text, labels=("model_name",))

    def show(self, family: HistogramMetricFamily, model_name: str) -> None:
        """Add the buckets as they are now."""
        below = 0
        buckets: list[Any] = []
        for index, (bound, count) in enumerate(zip(self._bounds, self._counts, strict=True)):
            below += count
            label = "+Inf" if bound == math.inf else str(bound)
            exemplar = self._exemplars.get(index)
            buckets.append((label, below) if exemplar is None else (label, below, exemplar))
        family.add_metric((model_name,), buckets, self.total)


class Counters:
    """One counter for each value of a label, or one alone where there is no label (its value is "")."""

    __slots__ = ("_labels", "_text", "counts", "name")

    def __init__(self, name: str, text: str, label: str | None, *values: str) -> None:
        self.name, self._text = name, text
        self._labels = ("model_name",) if label is None else ("model_name", label)
        self.counts = dict.fromkeys(values or ("",), 0)

    def add(self, other: "Counters") -> None:
        """Count what another has counted, too."""
        for value, count in other.counts.items():
            self.counts[value] = self.counts.get(value, 0) + count

    def family(self) -> CounterMetricFamily:
        """An empty family."""
        return CounterMetricFamily(self.name, self._text, labels=self._labels)

    def show(self, family: CounterMetricFamily, model_name: str) -> None:
        """Add the counters as they are now."""
        for value, count in self.counts.items():
            family.add_metric((model_name, value)[: len(self._labels)], count)
