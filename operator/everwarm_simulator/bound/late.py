"""How many requests would be late, slot of time by slot of time, at each number of replicas. A workload -> a table.

Two readings of the same question. `simulated` plays each slot with the number of replicas constant, the slot before it
with the same number as a warm-up: what a policy can reach, but for a backlog that is older than a slot. `fluid` counts
only what no order of service can avoid while a slot's replicas stay as they are: a floor under every policy, and loose.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from everwarm_simulator.distributions import Seconds
from everwarm_simulator.kernel.jit import jit
from everwarm_simulator.workload import Workload

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class LateTable:
    """Late requests by slot (row) and replicas (column, from 0).

    Attributes:
        late: the counts; they fall along a row.
        seconds: how much of each slot counts as paid: its length, or 0 in a hole of the trace.
        requests: that come in all slots together.
    """

    late: Counts
    seconds: Seconds
    requests: int


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a workload.

    Attributes:
        objective_seconds: the latency over which a request is late.
        concurrency: requests that one replica computes at once.
        most_replicas: the last column.
        slot_seconds: the replicas stay for this long; 15 s.
        begin_seconds: what came before is not asked for.
    """

    objective_seconds: float
    concurrency: int
    most_replicas: int
    slot_seconds: float = 15.0
    begin_seconds: float = 0.0


def simulated(workload: Workload, question: Question) -> LateTable:
    """First come first served in each slot, after a warm-up of the slot before. Takes seconds for a day, with numba."""
    edges = _edges(workload, question)
    firsts = np.searchsorted(workload.arrivals, np.concatenate([[edges[0] - question.slot_seconds], edges]))
    table = np.zeros((len(edges) - 1, question.most_replicas + 1), dtype=np.int64)
    begins = edges[:-1] - question.slot_seconds
    arguments = (question.objective_seconds, question.concurrency)
    _fill(workload.arrivals, workload.services, firsts, begins, *arguments, table)
    return _table(workload, table, edges)


def fluid(workload: Workload, question: Question) -> LateTable:
    """What can't be answered in time within the slot, were the shortest work done first and nothing left from before.

    Requests that may still be answered in the next slot are taken as in time.
    """
    edges = _edges(workload, question)
    lasts = np.searchsorted(workload.arrivals, edges[1:] - question.objective_seconds)
    firsts = np.searchsorted(workload.arrivals, edges[:-1])
    seconds = np.arange(question.most_replicas + 1) * question.concurrency * question.slot_seconds
    table = np.zeros((len(firsts), question.most_replicas + 1), dtype=np.int64)
    for row, (first, last) in enumerate(zip(firsts, lasts, strict=True)):
        if last > first:
            done = np.cumsum(np.sort(workload.services[first:last]))
            table[row] = (last - first) - np.searchsorted(done, seconds, side="right")
    return _table(workload, table, edges)


def _edges(workload: Workload, question: Question) -> Seconds:
    slots = int((workload.horizon_seconds - question.begin_seconds) / question.slot_seconds)
    return question.begin_seconds + question.slot_seconds * np.arange(slots + 1, dtype=np.float64)


def _table(workload: Workload, late: Counts, edges: Seconds) -> LateTable:
    seconds = np.diff(edges)
    for begin, end in workload.holes:
        seconds -= np.maximum(0.0, np.minimum(edges[1:], end) - np.maximum(edges[:-1], begin))
    first, stop = np.searchsorted(workload.arrivals, [edges[0], edges[-1]])
    return LateTable(late, np.maximum(0.0, seconds), int(stop - first))


@jit
def _fill(
    arrivals: Seconds,
    services: Seconds,
    firsts: Counts,
    begins: Seconds,
    objective: float,
    concurrency: int,
    table: Counts,
) -> None:
    """Row t: requests of [firsts[t + 1], firsts[t + 2]) after those from firsts[t] on; `begins` is the warm-up's."""
    most = table.shape[1] - 1
    free = np.empty(most * concurrency)
    for row in range(table.shape[0]):
        warm, first, stop = firsts[row], firsts[row + 1], firsts[row + 2]
        table[row, 0] = stop - first
        hopeless = _hopeless(services, first, stop, objective)
        for replicas in range(1, most + 1):
            size = replicas * concurrency
            free[:size] = begins[row]
            late = 0
            for number in range(warm, stop):
                start = max(free[0], arrivals[number])
                end = start + services[number]
                if number >= first and end - arrivals[number] > objective:
                    late += 1
                place, child = 0, 1
                while child < size:
                    if child + 1 < size and free[child + 1] < free[child]:
                        child += 1
                    if free[child] >= end:
                        break
                    free[place] = free[child]
                    place, child = child, 2 * child + 1
                free[place] = end
            table[row, replicas] = late
            if late == hopeless:
                table[row, replicas:] = late
                break


@jit
def _hopeless(services: Seconds, first: int, stop: int, objective: float) -> int:
    """Requests whose work alone takes too long: no number of replicas helps."""
    count = 0
    for number in range(first, stop):
        if services[number] > objective:
            count += 1
    return count
