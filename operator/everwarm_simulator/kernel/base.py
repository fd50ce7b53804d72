"""What a kernel does: the inner loops of a run, over arrays of the whole run, in pure Python or compiled.

Both kernels write the same numbers, bit for bit: they compare and add the same floats in the same order.
"""

import math
from collections.abc import Set
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from everwarm_simulator.distributions import Seconds
from everwarm_simulator.workload import Workload

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Journal:
    """One line per request, in order of arrival: what came, and where and when it started (infinite: not yet).

    Cold are those that were answered by a replica that got ready only after they had come.
    """

    arrivals: Seconds
    services: Seconds
    starts: Seconds
    replicas: Numbers
    cold: Flags

    @classmethod
    def of(cls, workload: Workload) -> Self:
        """An empty one."""
        count = len(workload.arrivals)
        starts, replicas = np.full(count, np.inf), np.full(count, -1, dtype=np.int64)
        return cls(workload.arrivals, workload.services, starts, replicas, np.zeros(count, dtype=np.bool_))


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """Sums by the second in which something happened; the last place takes all that comes after the run's end.

    Attributes:
        objective_seconds: the latency that is late; infinite where nobody asks.
        began, left: requests that started, that were answered.
        began_part, left_part: the part of that second that was left for each, summed: (1 - fraction) of a second.
        work, work_squared: service times of those that were answered, and their squares.
        cold, late: of those that were answered, how many had met a cold start, took longer than `objective_seconds`.
    """

    objective_seconds: float
    began: Seconds
    began_part: Seconds
    left: Seconds
    left_part: Seconds
    work: Seconds
    work_squared: Seconds
    cold: Seconds
    late: Seconds

    @classmethod
    def of(cls, seconds: int, objective_seconds: float | None = None) -> Self:
        """An empty one."""
        objective = math.inf if objective_seconds is None else objective_seconds
        return cls(objective, *(np.zeros(seconds + 1) for _ in range(8)))


class Slots(Protocol):
    """The slots of all replicas by the time at which each gets free, the earliest first."""

    def add(self, ready_seconds: float, replica: int, count: int) -> None:
        """A replica's slots, free from when it is ready; replicas are numbered from 0 without a gap."""

    def remove(self, replicas: Set[int]) -> list[tuple[float, int]]:
        """Take the slots of these replicas away; when each gets free, and whose it is."""

    def advance(self, first: int, until_seconds: float) -> int:
        """Start requests from `first` on, while they start before `until_seconds`; the first that did not start."""


class Kernel(Protocol):
    """The inner loops."""

    def slots(self, journal: Journal) -> Slots:
        """No slots yet; what starts is written into the journal."""

    def account(self, journal: Journal, first: int, stop: int, ledger: Ledger) -> None:
        """Add the requests [first, stop), which have started, to the sums."""

    def latency_quantile(self, journal: Journal, first: int, stop: int, span: tuple[int, int], part: float) -> float:
        """Of those of [first, stop) that are answered within the span: the latency that a part does not exceed."""
