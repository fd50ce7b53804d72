"""How many replicas a Knative service runs, second by second: what its pod autoscaler asks for, and what is ready.

In: a cluster and the service's name, for as long as the block lasts. Out: series that can be read at any instant.
"""

import json
import statistics
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np

from harness.access import Cluster

EVERY_SECONDS = 1.0
Series = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Scales:
    """What was seen, from an origin on.

    Attributes:
        seconds: when each look was taken.
        wanted: replicas that the autoscaler asked for.
        ready: replicas that could answer.
    """

    seconds: Series
    wanted: Series
    ready: Series

    def wanted_at(self, seconds: Series) -> Series:
        """The replicas asked for at each instant: those of the last look before it."""
        return self.wanted[np.maximum(np.searchsorted(self.seconds, seconds, side="right") - 1, 0)]

    def cold_start_seconds(self) -> float:
        """Median time from a rise of the replicas asked for until as many were ready, as coarse as the looks.

        Raises:
            ValueError: none rose.
        """
        took = []
        for index in np.flatnonzero(np.diff(self.wanted) > 0) + 1:
            reached = np.flatnonzero(self.ready[index:] >= self.wanted[index])
            if len(reached):
                took.append(float(self.seconds[index + reached[0]] - self.seconds[index]))
        if not took:
            raise ValueError("the replicas never rose")
        return max(EVERY_SECONDS, statistics.median(took))


@dataclass(slots=True)
class Watched:
    """Looks at a service in a thread of its own while the block lasts."""

    cluster: Cluster
    name: str
    _looks: list[tuple[float, int, int]] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._look()
        self._thread = threading.Thread(target=self._work, name="watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def scales(self, origin: float) -> Scales:
        """What was seen, in seconds after `origin` (of time.monotonic)."""
        looks = np.array(self._looks)
        return Scales(looks[:, 0] - origin, looks[:, 1], looks[:, 2])

    def _work(self) -> None:
        while not self._end.wait(EVERY_SECONDS):
            self._look()

    def _look(self) -> None:
        began = time.monotonic()
        selector = f"serving.knative.dev/service={self.name}"
        text = self.cluster.kubectl("-n", "default", "get", "podautoscalers,deployments", "-l", selector, "-o", "json")
        wanted = ready = 0
        for item in json.loads(text)["items"]:
            status = item.get("status", {})
            if item["kind"] == "PodAutoscaler":
                wanted += max(0, status.get("desiredScale") or 0)
            else:
                ready += status.get("readyReplicas") or 0
        self._looks.append(((began + time.monotonic()) / 2, wanted, ready))
