"""Outcomes -> one figure that explains itself: the load, the replicas of each policy, and how long requests took."""

from typing import TYPE_CHECKING

import numpy as np

from everwarm_cli.comparison import Outcome, Setup, warmup_seconds
from everwarm_cli.plots import style
from everwarm_planner import wording
from everwarm_simulator.distributions import Seconds
from everwarm_simulator.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS = 400  # intervals on the time axis: as many as are seen
_LEAST_PART = 1e-4
_UNITS = ((48 * 3600.0, 86_400.0, "days"), (2 * 3600.0, 3600.0, "hours"), (0.0, 60.0, "minutes"))


def draw(title: str, outcomes: list[Outcome], setup: Setup) -> "Figure":
    """The first seed of each outcome: the load, a row of replicas for each policy, and the latencies of all."""
    with style.styled() as figure_class:
        count = len(outcomes)
        figure = figure_class(figsize=(10, 5.4 + 1.15 * count), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        time, latency = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.6 + 1.15 * count, 3.6))[:, 0]
        rows = time.subplots(count + 1, 1, sharex=True, squeeze=False, height_ratios=(1.3, *[1.0] * count))[:, 0]
        _draw_load(rows[0], outcomes[0].first)
        curves = [_replicas(outcome.first) for outcome in outcomes]
        most = max(float(running.max()) for _, running in curves)
        for axes, outcome, curve, color in zip(rows[1:], outcomes, curves, style.SERIES * 9, strict=False):
            _draw_replicas(axes, outcome, curve, color)
            axes.set(ylim=(0, 1.1 * most))
        rows[1].annotate("thin line: busy ones", (1, 1.04), xycoords="axes fraction", ha="right", fontsize=9)
        rows[-1].set(xlabel=f"time ({_unit(outcomes[0].first)[1]})", xlim=(0, curves[0][0][-1]))
        _draw_latencies(latency.subplots(), outcomes, setup)
    return figure


def _unit(run: Run) -> tuple[float, str]:
    horizon = run.workload.horizon_seconds
    return next((length, name) for least, length, name in _UNITS if horizon >= least)


def _draw_load(axes: "Axes", first: Run) -> None:
    horizon, unit = first.workload.horizon_seconds, _unit(first)[0]
    counts, edges = np.histogram(first.workload.arrivals, bins=_POINTS, range=(0.0, horizon))
    axes.stairs(counts / (horizon / _POINTS), edges / unit, color=style.FAINT, fill=True)
    for begin, end in first.workload.holes:
        axes.axvspan(begin / unit, end / unit, color=style.FAINT, alpha=0.3, hatch="//", linewidth=0)
    holes = ", hatched where nothing was measured" if first.workload.holes else ""
    axes.set(title=f"Requests that come{holes}", ylabel="requests/s", ylim=(0, None))


def _draw_replicas(axes: "Axes", outcome: Outcome, curve: tuple[Seconds, Seconds], color: str) -> None:
    at, running = curve
    axes.stairs(running, at, color=color, fill=True, alpha=0.35)
    axes.stairs(running, at, color=color, baseline=None, linewidth=1.2)
    _, busy = _busy(outcome.first)
    axes.stairs(busy, at, color=style.INK, baseline=None, linewidth=0.9)
    figures = outcome.figures
    title = (
        f"{outcome.choice.label}: {figures['mean_replicas'].mean:.3g} replicas on average, "
        f"{wording.percent(figures['attainment'].mean)} of requests in time"
    )
    axes.set_title(title, color=color, fontsize=10)
    axes.set(ylabel="replicas")


def _replicas(run: Run) -> tuple[Seconds, Seconds]:
    """Replicas that are paid for: edges of intervals (in the unit of the axis), and the mean of each."""
    horizon = run.workload.horizon_seconds
    asked = np.array([replica.asked_seconds for replica in run.replicas])
    gone = np.array([replica.gone_seconds for replica in run.replicas])
    return _mean_number(asked, gone, horizon, _unit(run)[0])


def _busy(run: Run) -> tuple[Seconds, Seconds]:
    """Replicas' worth of slots that compute."""
    begun = np.isfinite(run.starts)
    starts, ends = run.starts[begun], (run.starts + run.workload.services)[begun]
    edges, slots = _mean_number(starts, ends, run.workload.horizon_seconds, _unit(run)[0])
    return edges, slots / run.concurrency


def _mean_number(begins: Seconds, ends: Seconds, horizon: float, unit: float) -> tuple[Seconds, Seconds]:
    """How many of these stretches of time there are at once, on average over each interval."""
    edges = np.linspace(0.0, horizon, _POINTS + 1)
    passed = _passed(edges, np.minimum(begins, horizon)) - _passed(edges, np.minimum(ends, horizon))
    return edges / unit, np.diff(passed) / (horizon / _POINTS)


def _passed(edges: Seconds, since: Seconds) -> Seconds:
    """Seconds that have passed by each edge since all of these times, summed."""
    since = np.sort(since)
    counts = np.searchsorted(since, edges, side="right")
    sums = np.concatenate([[0.0], np.cumsum(since)])
    return np.asarray(edges * counts - sums[counts])


def _draw_latencies(axes: "Axes", outcomes: list[Outcome], setup: Setup) -> None:
    for outcome, color in zip(outcomes, style.SERIES * 9, strict=False):
        seconds, late = _late(outcome.first)
        axes.plot(seconds, late, color=color, label=outcome.choice.label)
    parts = {1: "100 %", 0.1: "10 %", 0.01: "1 %", 0.001: "0.1 %", _LEAST_PART: "0.01 %"}
    axes.set(title="How many requests took longer", xscale="log", yscale="log", xlabel="latency (s)")
    axes.set(ylabel="part of the requests", ylim=(_LEAST_PART, 1.5))
    axes.set_yticks(list(parts), list(parts.values()))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.axvline(setup.objective_seconds, color=style.INK, linestyle="--", linewidth=1)
    axes.axhline(1 - setup.objective_part, color=style.INK, linestyle=":", linewidth=1)
    words = f"objective {wording.milliseconds(setup.objective_seconds)}"
    style.label_at(axes, setup.objective_seconds, 1.2, words, style.INK, va="top", fontsize=9)
    allowed = f"{wording.percent(1 - setup.objective_part)} may take longer "
    place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom", "xytext": (0, 1)}
    style.label_at(axes, 1, 1 - setup.objective_part, allowed, style.INK, fontsize=9, **place)
    axes.legend(loc="lower left", fontsize=9)


def _late(run: Run) -> tuple[Seconds, Seconds]:
    """Latencies, and which part of the requests that count took longer; a few hundred points of the curve."""
    counted = run.latencies[run.workload.arrivals >= warmup_seconds(run.workload)]
    finite = np.sort(counted[np.isfinite(counted)])
    late = 1 - np.arange(1, len(finite) + 1) / max(1, len(counted))
    wanted = np.searchsorted(-late, -np.geomspace(1, _LEAST_PART, 300)).clip(0, max(0, len(late) - 1))
    points = np.unique(wanted)
    return finite[points], np.maximum(late[points], _LEAST_PART / 10)
