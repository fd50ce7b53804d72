"""Replicas over time: a run -> how many were wanted and ready at chosen instants; two such series -> how far apart.

    seconds = np.arange(0.0, 600.0)
    apart = timeline.deviation(measured, timeline.wanted_at(run, seconds))

This is how the simulated autoscaler is held against a real one on the same requests: sample both at the same instants.
The real one decides at moments of its own within its two seconds and sees samples, not sums; so no two runs of it are
equal either, and a deviation is judged beside that of a second real run.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from everwarm_simulator.distributions import Seconds
from everwarm_simulator.run import Run

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far one series of replicas is from another that was measured.

    Attributes:
        mean_replicas: mean absolute difference.
        worst_replicas: the largest.
        peak_replicas: by how much the highest number is over (or, negative, under) the measured one's.
        replica_seconds_ratio: sum over the measured sum; 1 is equal, and infinite where nothing was measured to run.
    """

    mean_replicas: float
    worst_replicas: float
    peak_replicas: float
    replica_seconds_ratio: float


def wanted_at(run: Run, seconds: Seconds) -> Counts:
    """Replicas that run or start at these instants, as a Deployment's `spec.replicas` says, without drained ones."""
    asked = np.array([replica.asked_seconds for replica in run.replicas], dtype=np.float64)
    return _between(run, asked, seconds)


def ready_at(run: Run, seconds: Seconds) -> Counts:
    """Of the wanted ones those that can take a request at these instants, as `status.readyReplicas` says."""
    ready = np.array([replica.ready_seconds for replica in run.replicas], dtype=np.float64)
    return _between(run, ready, seconds)


def deviation(measured: npt.ArrayLike, simulated: npt.ArrayLike) -> Deviation:
    """Compare two series that were sampled at the same, evenly spaced instants.

    Raises:
        ValueError: they have no instant in common.
    """
    real, other = np.asarray(measured, dtype=np.float64), np.asarray(simulated, dtype=np.float64)
    if real.shape != other.shape or real.size == 0:
        raise ValueError(f"{real.size} measured and {other.size} simulated instants can't be compared")
    apart = np.abs(other - real)
    total = float(real.sum())
    return Deviation(
        mean_replicas=float(apart.mean()),
        worst_replicas=float(apart.max()),
        peak_replicas=float(other.max() - real.max()),
        replica_seconds_ratio=float(other.sum()) / total if total > 0 else (1.0 if other.sum() == 0 else float("inf")),
    )


def _between(run: Run, since: Seconds, seconds: Seconds) -> Counts:
    """How many lives have begun and not been told to go; at the instant of a change the change has happened."""
    until = np.array([replica.leaving_seconds for replica in run.replicas], dtype=np.float64)
    lived = until > since  # one that was told to go before it was ready never was
    begun = np.searchsorted(np.sort(since[lived]), seconds, side="right")
    return begun - np.searchsorted(np.sort(until[lived]), seconds, side="right")
