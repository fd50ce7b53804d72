"""Cost against attainment, one panel per load and cold start -> a picture."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.provisioning.scenarios import Scenario
from bench.provisioning.trials import Result

from everwarm_cli.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FAMILIES = ("hybrid", "KPA", "HPA", "Algorithm 1", "fixed", "hybrid + KPA")
_LEAST_LATE = 1e-3  # of the axis: late requests as a part, logarithmic
_MOST_LATE = 0.3


def write(path: Path, results: Sequence[Result]) -> None:
    """Draw all constants of all policies on the first seed, and the bound under them."""
    panels: dict[tuple[Scenario, float], list[Result]] = defaultdict(list)
    for result in results:
        panels[result.scenario, result.cold_start_seconds].append(result)
    scenarios = list(dict.fromkeys(scenario for scenario, _ in panels))
    colds = sorted({cold for _, cold in panels})
    with style.styled() as figure_class:
        figure = figure_class(figsize=(5.0 * len(colds), 3.4 * len(scenarios)), layout="constrained")
        axes = figure.subplots(len(scenarios), len(colds), squeeze=False)
        for (scenario, cold), here in panels.items():
            panel = axes[scenarios.index(scenario)][colds.index(cold)]
            _draw(panel, here)
            panel.set_title(f"{scenario.name}, cold start {cold:g} s")
        axes[0][0].legend(loc="upper right", fontsize=8)
        style.save(figure, path)


def _draw(panel: "Axes", results: Sequence[Result]) -> None:
    for family, color in zip(_FAMILIES, style.SERIES, strict=False):
        points = sorted({(_late(one), one.mean_replicas) for one in results if one.contender.family == family})
        if points:
            ours = family.startswith("hybrid")
            marker, size = ("D", 7) if ours else ("o", 3)
            panel.plot(*zip(*points, strict=True), marker=marker, ms=size, lw=1, color=color, label=family)
    bound = sorted((_late(one), one.bound_replicas) for one in results)
    panel.plot(*zip(*bound, strict=True), color=style.INK, lw=1, ls="--", label="clairvoyant plan")
    cheapest = min(one.mean_replicas for one in results if one.attainment >= 1 - _MOST_LATE)
    panel.set_xscale("log")
    panel.set_xlim(_MOST_LATE, _LEAST_LATE)
    panel.set_ylim(0, 5 * cheapest)
    panel.set_xticks([0.2, 0.1, 0.05, 0.01, 0.002], ["80 %", "90 %", "95 %", "99 %", "99.8 %"])
    panel.minorticks_off()
    for goal in (0.05, 0.01):
        panel.axvline(goal, color=style.FAINT, lw=0.8)
    panel.set_xlabel("requests in time")
    panel.set_ylabel("replicas paid, mean")


def _late(result: Result) -> float:
    return max(_LEAST_LATE / 2, 1 - result.attainment)
