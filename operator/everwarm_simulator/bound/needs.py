"""What it costs at least to have as many replicas as are needed, slot by slot, when all needs are known beforehand.

The number splits into levels: level k is needed in the slots whose need is at least k, and levels don't touch each
other. Between two needs a level's replica either stays, for the gap's replica-seconds, or goes and is started again,
for a start's; the cheaper is taken, gap by gap. That is the optimum (Lu and Chen 2011), in one pass over the changes.
"""

import numpy as np

from everwarm_simulator.bound.late import Counts


def cheapest(needs: Counts, slot_seconds: float, start_seconds: float) -> Counts:
    """Replicas by slot, never fewer than needed; a start costs `start_seconds` replica-seconds.

    The first slot's replicas run already, so a level that is needed early may as well stay from the beginning.
    """
    replicas = needs.copy()
    for level in range(1, int(needs.max(initial=0)) + 1):
        slots = np.flatnonzero(needs >= level)
        gaps = np.diff(slots, prepend=-1) - 1
        for position in np.flatnonzero((gaps > 0) & (gaps * slot_seconds <= start_seconds)):
            end = slots[position]
            replicas[end - gaps[position] : end] = np.maximum(replicas[end - gaps[position] : end], level)
    return replicas


def replica_seconds(replicas: Counts, slot_seconds: float, start_seconds: float) -> float:
    """What a plan costs: the slots of its replicas, and the starts of those that were not there the slot before."""
    starts = int(np.maximum(0, np.diff(replicas)).sum())
    return float(replicas.sum()) * slot_seconds + start_seconds * starts
