"""Outcomes -> one picture that explains itself: the load, the replicas of each policy, and how long requests took."""

from pathlib import Path

import numpy as np

from everwarm_cli.comparison import Outcome
from everwarm_cli.errors import CommandError
from everwarm_planner import wording
from everwarm_simulator.run import Run

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # told apart without colour vision (Okabe and Ito)
_POINTS = 600  # intervals on the time axis: as many as are seen


def write(path: Path, title: str, outcomes: list[Outcome], objective_seconds: float) -> None:
    """Write the first seed of each outcome as PNG, SVG or PDF, by the name's ending.

    Raises:
        CommandError: matplotlib is missing, or the file can't be written.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise CommandError("--plot needs matplotlib: pip install 'everwarm[plots]'.") from error
    figure = Figure(figsize=(10, 8), layout="constrained")
    load, replicas, latency = figure.subplots(3, 1)
    figure.suptitle(title)
    hours = outcomes[0].first.workload.horizon_seconds / 3600
    edges, rates = _rates(outcomes[0].first)
    load.stairs(rates, edges / 3600, color="#555555", fill=True)
    load.set(ylabel="requests/s", xlabel="hours", xlim=(0, hours))
    for outcome, color in zip(outcomes, _COLORS, strict=False):
        at, wanted = _replicas(outcome.first)
        replicas.step(at / 3600, wanted, where="post", color=color, label=outcome.policy.value, linewidth=1)
        finite = np.sort(outcome.first.latencies[np.isfinite(outcome.first.latencies)])
        late = 1 - np.arange(1, len(finite) + 1) / max(1, len(outcome.first.latencies))
        latency.plot(finite, np.maximum(late, 1e-5), color=color, label=outcome.policy.value)
    replicas.set(ylabel="replicas wanted", xlabel="hours", xlim=(0, hours), ylim=(0, None))
    latency.set(xscale="log", yscale="log", xlabel="latency (s)", ylabel="part of requests that took longer")
    latency.axvline(objective_seconds, color="#555555", linestyle="--", linewidth=1)
    latency.annotate(f" objective {wording.milliseconds(objective_seconds)}", (objective_seconds, 1.5e-5))
    replicas.legend(loc="upper right", ncols=len(_COLORS))
    latency.legend(loc="lower left")
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} can't be written: {error}", exit_code=2) from error


def _rates(run: Run) -> tuple[np.ndarray, np.ndarray]:
    horizon = run.workload.horizon_seconds
    counts, edges = np.histogram(run.workload.arrivals, bins=_POINTS, range=(0.0, horizon))
    return edges, counts / (horizon / _POINTS)


def _replicas(run: Run) -> tuple[np.ndarray, np.ndarray]:
    at = [change.at_seconds for change in run.changes]
    wanted = [change.wanted for change in run.changes]
    begin, end = wanted[:1] or [0], wanted[-1:] or [0]
    return np.array([0.0, *at, run.workload.horizon_seconds]), np.array([*begin, *wanted, *end])
