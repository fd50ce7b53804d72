"""Run -> figures that say what it gave and what it cost; several seeds -> intervals around them.

A request that never started counts as late, and its latency as infinite. What lies in a hole of the trace or in the
warm-up is not counted, neither as served nor as paid.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from everwarm_simulator.distributions import Seconds
from everwarm_simulator.quantiles import quantiles
from everwarm_simulator.run import Run

# Student's t, two-sided 95 %, for 1 to 30 degrees of freedom; from there on the normal one is within 2 %.
_STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


@dataclass(frozen=True, slots=True)
class Report:
    """What one run gave and cost.

    Attributes:
        requests: that came in the time that is counted.
        mean_seconds, p50_seconds, p95_seconds, p99_seconds: latency, arrival to answer; nan without requests.
        attainment: part of the requests that were answered within the objective, 0 to 1.
        cold_fraction: part of the requests that waited for a replica to get ready, 0 to 1.
        utilization: busy slot-seconds over those that were paid for, starting replicas included.
        replica_seconds: from asking for a replica until it was gone; what is paid.
        mean_replicas: replica_seconds over the time that is counted.
        floor_changes: how often the floor moved.
    """

    requests: int
    mean_seconds: float
    p50_seconds: float
    p95_seconds: float
    p99_seconds: float
    attainment: float
    cold_fraction: float
    utilization: float
    replica_seconds: float
    mean_replicas: float
    floor_changes: int


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds and its 95 % confidence interval (Student); the ends are nan for a single seed."""

    mean: float
    low: float
    high: float


def of_run(run: Run, objective_seconds: float, warmup_seconds: float = 0.0) -> Report:
    """Sum up one run; what came or was paid before `warmup_seconds` is left out."""
    workload = run.workload
    counted = slice(int(np.searchsorted(workload.arrivals, warmup_seconds)), None)
    latencies = run.starts[counted] + workload.services[counted] - workload.arrivals[counted]
    p50, p95, p99 = quantiles(latencies, (0.5, 0.95, 0.99))
    spans = _measured(run, warmup_seconds)
    seconds = sum(end - begin for begin, end in spans)
    paid = sum(_overlap(_lives(run), span) for span in spans)
    ends = run.starts + workload.services
    busy = sum(_overlap((run.starts, ends), span) for span in spans)
    floors = [change.floor for change in run.changes if change.at_seconds >= warmup_seconds]
    any_request = len(latencies) > 0
    return Report(
        requests=len(latencies),
        mean_seconds=float(latencies.mean()) if any_request else math.nan,
        p50_seconds=p50,
        p95_seconds=p95,
        p99_seconds=p99,
        attainment=float((latencies <= objective_seconds).mean()) if any_request else math.nan,
        cold_fraction=float(run.cold[counted].mean()) if any_request else 0.0,
        utilization=busy / (paid * run.concurrency) if paid > 0 else 0.0,
        replica_seconds=paid,
        mean_replicas=paid / seconds if seconds > 0 else 0.0,
        floor_changes=sum(1 for before, after in itertools.pairwise(floors) if before != after),
    )


def over_seeds(reports: Sequence[Report]) -> dict[str, Interval]:
    """One interval per figure, by its name."""
    return {
        field.name: interval([float(getattr(report, field.name)) for report in reports]) for field in fields(Report)
    }


def interval(values: Sequence[float]) -> Interval:
    """The mean of independent values, and how far it may be off.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("no values, no interval")
    mean = math.fsum(values) / len(values)
    if len(values) == 1 or not math.isfinite(mean):
        return Interval(mean, math.nan, math.nan)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    freedom = len(values) - 1
    half = (_STUDENT[freedom - 1] if freedom <= len(_STUDENT) else 1.96) * math.sqrt(variance / len(values))
    return Interval(mean, mean - half, mean + half)


def _measured(run: Run, begin: float) -> list[tuple[float, float]]:
    """The stretches of time that count: from `begin` to the workload's end, holes cut out."""
    spans = []
    for hole_begin, hole_end in (*run.workload.holes, (run.workload.horizon_seconds, math.inf)):
        if hole_begin > begin:
            spans.append((begin, hole_begin))
        begin = max(begin, hole_end)
    return spans


def _lives(run: Run) -> tuple[Seconds, Seconds]:
    asked = np.array([replica.asked_seconds for replica in run.replicas], dtype=np.float64)
    gone = np.array([replica.gone_seconds for replica in run.replicas], dtype=np.float64)
    return asked, gone


def _overlap(stretches: tuple[Seconds, Seconds], span: tuple[float, float]) -> float:
    """Seconds of all stretches that lie within the span."""
    begins, ends = stretches
    inside = np.minimum(ends, span[1])
    inside -= np.maximum(begins, span[0])
    return float(np.maximum(0.0, inside, out=inside).sum())
