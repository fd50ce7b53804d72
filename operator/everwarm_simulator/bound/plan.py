"""The clairvoyant plan (relaxed): late requests per slot and replicas -> the least that as few late ones can cost.

Who knows the future chooses the replicas of each slot. A slot costs its replica-seconds, each start as many as it
takes, and all slots together may have so many late requests. A price per late request turns that into a shortest path
(dynamic programming over slots and replicas, O(slots x replicas)); the price is searched by bisection. By duality each
price gives a lower bound, and the best of them is what a policy is held against. It is relaxed: what waits at the end
of one slot is forgotten two slots later, and replicas change only between slots.
"""

import math
from dataclasses import dataclass

import numpy as np

from everwarm_simulator.bound.late import Counts, LateTable
from everwarm_simulator.distributions import Seconds
from everwarm_simulator.kernel.jit import jit

_BISECTIONS = 40
_HIGHEST_PRICE = 1e9  # replica-seconds for one late request less: no service pays that


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The cheapest plan found, and what is proven.

    Attributes:
        replicas: of each slot.
        late: requests that are late under it.
        replica_seconds: what it costs, starts included.
        bound_replica_seconds: no plan of this kind with as few late requests as allowed costs less.
    """

    replicas: Counts
    late: int
    replica_seconds: float
    bound_replica_seconds: float


def cheapest(table: LateTable, start_seconds: float, late_allowed: int) -> Plan:
    """The cheapest plan with at most `late_allowed` late requests; a start costs `start_seconds` replica-seconds.

    The first slot's replicas run already. Where even the most replicas leave more requests late, the plan is the one
    with the fewest late ones.
    """
    free = _solve(table, start_seconds, 0.0, late_allowed)
    if free.late <= late_allowed:
        return free
    low, high = 0.0, 1.0
    best, bound = None, free.bound_replica_seconds
    while True:
        plan = _solve(table, start_seconds, high, late_allowed)
        if plan.late <= late_allowed or high >= _HIGHEST_PRICE:
            best, bound = plan, max(bound, plan.bound_replica_seconds)
            break
        low, high = high, 4 * high
    if best.late > late_allowed:
        return Plan(best.replicas, best.late, best.replica_seconds, best.replica_seconds)
    for _ in range(_BISECTIONS):
        if high - low <= 1e-6 * high or best.replica_seconds - bound <= 1e-6 * bound:
            break
        middle = (low + high) / 2
        plan = _solve(table, start_seconds, middle, late_allowed)
        bound = max(bound, plan.bound_replica_seconds)
        if plan.late <= late_allowed:
            best, high = plan, middle
        else:
            low = middle
    return Plan(best.replicas, best.late, best.replica_seconds, bound)


def _solve(table: LateTable, start_seconds: float, price: float, late_allowed: int) -> Plan:
    """The plan that is cheapest when a late request costs `price`, and the bound that follows from it."""
    replicas = _shortest_path(table.late, table.seconds, start_seconds, price)
    late = int(table.late[np.arange(len(replicas)), replicas].sum())
    starts = int(np.maximum(0, np.diff(replicas)).sum())
    cost = float((table.seconds * replicas).sum()) + start_seconds * starts
    return Plan(replicas, late, cost, cost + price * (late - late_allowed))


@jit
def _shortest_path(late: Counts, seconds: Seconds, start: float, price: float) -> Counts:
    """Replicas by slot that minimise paid seconds + starts + price x late."""
    slots, width = late.shape
    cost = np.empty(width)
    before = np.zeros((slots, width), dtype=np.int64)
    for replicas in range(width):
        cost[replicas] = seconds[0] * replicas + price * late[0, replicas]
    reached = np.empty(width)
    for slot in range(1, slots):
        lowest, lowest_at = math.inf, 0
        for replicas in range(width):  # from as many or fewer: the rest is started
            if cost[replicas] - start * replicas < lowest:
                lowest, lowest_at = cost[replicas] - start * replicas, replicas
            reached[replicas] = lowest + start * replicas
            before[slot, replicas] = lowest_at
        lowest, lowest_at = math.inf, 0
        for replicas in range(width - 1, -1, -1):  # from more: the rest goes for nothing
            if lowest < reached[replicas]:
                reached[replicas] = lowest
                before[slot, replicas] = lowest_at
            if cost[replicas] < lowest:
                lowest, lowest_at = cost[replicas], replicas
        for replicas in range(width):
            cost[replicas] = reached[replicas] + seconds[slot] * replicas + price * late[slot, replicas]
    path = np.zeros(slots, dtype=np.int64)
    path[slots - 1] = np.argmin(cost)
    for slot in range(slots - 1, 0, -1):
        path[slot - 1] = before[slot, path[slot]]
    return path
