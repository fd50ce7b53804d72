"""Results -> the figures of the paper, redrawn, and two that it does not have: all latencies, and where it holds."""

from typing import TYPE_CHECKING, Any

import numpy as np

from everwarm_cli.plots import style
from everwarm_cli.reproduce.adaptive import Control, Outcome
from everwarm_cli.reproduce.assumptions import PAPER
from everwarm_cli.reproduce.results import Results
from everwarm_cli.reproduce.scaling import HORIZON_SECONDS
from everwarm_simulator.quantiles import quantile
from everwarm_simulator.report import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLORS = {Control.REACTIVE: style.SERIES[1], Control.ADAPTIVE: style.SERIES[0], Control.MINIMUM: style.SERIES[2]}
_NAMES = {
    Control.REACTIVE: "reactive",
    Control.ADAPTIVE: "adaptive (Algorithm 1)",
    Control.MINIMUM: "one kept warm, no algorithm",
}


def all_figures(results: Results) -> dict[str, "Figure"]:
    """Each figure by the name of its file."""
    drawings = {
        "figure-2": (_figure_2, "Figure 2. One server against functions: the rate rises", (8, 4.6), 1),
        "figure-3": (_figure_3, "Figure 3. Cost of a month by its requests", (8, 4.6), 1),
        "adaptive": (_adaptive, "Reactive against adaptive provisioning: all latencies", (8, 4.6), 1),
        "expiry": (_expiry, "Where it holds: only where instances are gone within seconds", (8, 6.4), 2),
    }
    found = {}
    for name, (draw, title, size, rows) in drawings.items():
        with style.styled() as figure_class:
            figure = figure_class(figsize=size, layout="constrained")
            figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
            draw(figure.subplots(rows, 1, squeeze=False)[:, 0], results)
            found[name] = figure
    return found


def _figure_2(rows: Any, results: Results) -> None:
    axes: Axes = rows[0]
    rates = [point.rate_per_second for point in results.figure_2]
    single = [point.single_seconds for point in results.figure_2]
    elastic = [point.serverless_seconds for point in results.figure_2]
    _band(axes, rates, single, style.SERIES[1], "one server")
    _band(axes, rates, elastic, style.SERIES[0], "function instances")
    capacity = 1 / PAPER.service_seconds
    axes.axvline(capacity, color=style.INK, linestyle="--", linewidth=1)
    style.label_at(axes, capacity, 0.12, f"all that one server can do: {capacity:g}/s", style.INK, fontsize=9)
    _beside(axes, rates[-1], single[-1].mean, "one server", style.SERIES[1], (-70, 2))
    _beside(axes, rates[-1], elastic[-1].mean, "function instances", style.SERIES[0], (-110, 6))
    minutes = HORIZON_SECONDS / 60
    axes.set(yscale="log", ylim=(0.1, None), xlim=(0, None), xlabel="requests per second")
    axes.set(ylabel=f"p95 latency of {minutes:g} minutes (s)")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _figure_3(rows: Any, results: Results) -> None:
    axes: Axes = rows[0]
    requests, function, tasks, instances = np.array(results.pricing.curves).T
    millions = requests / 1e6
    axes.plot(millions, function, color=style.SERIES[1])
    axes.step(millions, tasks, color=style.SERIES[0], where="post")
    axes.plot(millions, instances, color=style.SERIES[2])
    _beside(axes, millions[-1], function[-1], "Lambda, 2 GB, REST API", style.SERIES[1], (-150, -4))
    _beside(axes, millions[-1], tasks[-1], "Fargate: as few tasks as hold the p95", style.SERIES[0], (-205, 6))
    _beside(axes, 0, instances[0], "EC2: 2 m5.xlarge", style.SERIES[2], (6, 6))
    paid = results.pricing.lambda_requests / 1e6
    axes.plot([paid], [110.0], "o", color=style.SERIES[1], markersize=6)
    _beside(axes, paid, 110.0, "Table I: Lambda $110", style.SERIES[1], (8, -14))
    axes.plot([0.0], [50.0], "o", color=style.SERIES[0], markersize=6, clip_on=False)
    arrow = {"arrowstyle": "-", "color": style.SERIES[0], "linewidth": 0.8}
    words = "Table I: Fargate, idle $50"
    style.label_at(axes, 0, 50, words, style.SERIES[0], xytext=(14, 62), fontsize=9.5, arrowprops=arrow)
    axes.set(xlim=(0, millions[-1]), ylim=(0, None), xlabel="requests in a month (millions)", ylabel="USD per month")


def _adaptive(rows: Any, results: Results) -> None:
    axes: Axes = rows[0]
    for control, latencies in results.headline.latencies.items():
        seconds = np.sort(latencies)
        part = np.arange(1, len(seconds) + 1) / len(seconds)
        some = np.unique(np.linspace(0, len(seconds) - 1, 1500).astype(int))
        line = "--" if control is Control.MINIMUM else "-"
        p95 = results.headline.outcomes[control].p95_seconds.mean
        label = f"{_NAMES[control]}: p95 {p95 * 1000:.0f} ms"
        axes.plot(1000 * seconds[some], 100 * part[some], line, color=_COLORS[control], label=label)
        axes.plot([1000 * quantile(latencies, 0.95)], [95], "o", color=_COLORS[control], markersize=6)
    axes.axhline(95, color=style.INK, linestyle=":", linewidth=1)
    axes.annotate("95 %", (1290, 95), va="bottom", ha="right", fontsize=9)
    axes.annotate("warm requests", (225, 84.3), ha="right", fontsize=9)
    axes.annotate("requests that waited for an initialisation", (620, 84.3), fontsize=9)
    axes.set(
        xlim=(0, 1300), ylim=(84, 100.3), xlabel="latency (ms)", ylabel="part of the requests answered by then (%)"
    )
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.12))


def _expiry(rows: Any, results: Results) -> None:
    latency, cold = rows
    seconds = [expiry for expiry, _ in results.by_expiry]
    for control in (Control.REACTIVE, Control.ADAPTIVE):
        outcomes: list[Outcome] = [pair[control] for _, pair in results.by_expiry]
        color, name = _COLORS[control], _NAMES[control]
        _band(latency, seconds, [one.p95_seconds for one in outcomes], color, name, 1000)
        _band(cold, seconds, [one.cold_fraction for one in outcomes], color, name, 100)
    cold.axhline(5, color=style.INK, linestyle=":", linewidth=1)
    cold.annotate("over 5 % the p95 is a cold request ", (600, 5), ha="right", va="bottom", fontsize=9)
    latency.axvline(PAPER.expiry_seconds, color=style.FAINT, linewidth=6, alpha=0.4)
    style.label_at(latency, PAPER.expiry_seconds, 60, "the preset", style.INK, fontsize=9)
    latency.set(ylabel="p95 latency (ms)", ylim=(0, None))
    cold.set(ylabel="cold requests (%)", ylim=(0, None), xlabel="an idle instance is gone after (s)")
    for axes in rows:
        axes.set(xscale="log", xlim=(4.6, 660))
        axes.set_xticks(seconds, [f"{value:g}" for value in seconds])
        axes.minorticks_off()
    latency.legend(loc="upper right")


def _band(axes: "Axes", x: list[float], intervals: list[Interval], color: str, label: str, factor: float = 1.0) -> None:
    """A curve of means, and the interval over the seeds as a band."""
    axes.plot(x, [factor * one.mean for one in intervals], "o-", color=color, markersize=3.5, label=label)
    low, high = ([factor * getattr(one, end) for one in intervals] for end in ("low", "high"))
    axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)


def _beside(axes: "Axes", x: float, y: float, text: str, color: str, offset: tuple[float, float]) -> None:
    style.label_at(axes, x, y, text, color, xytext=offset, fontsize=9.5)
