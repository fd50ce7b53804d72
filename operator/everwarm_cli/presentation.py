"""Outcomes -> the same figures as a table of the terminal, a document for JSON and YAML, and a table of a page."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from everwarm_cli import page
from everwarm_cli.comparison import Outcome, Setup
from everwarm_cli.errors import CommandError
from everwarm_cli.numbers import around, around_seconds, number
from everwarm_planner import wording
from everwarm_simulator.report import Interval, interval

HOURS_PER_MONTH = 730.0
_WIDE_COLUMNS = 128


@dataclass(frozen=True, slots=True)
class Judged:
    """An outcome beside what it is judged by.

    Attributes:
        outcome: what the policy gave.
        usd_per_month: what its replicas would cost at this rate.
        regret: its replicas over those of the clairvoyant bound; `None` where nobody computed that.
        met: whether the objective was met, on average over the seeds.
    """

    outcome: Outcome
    usd_per_month: Interval
    regret: Interval | None
    met: bool


def judge(outcomes: Sequence[Outcome], setup: Setup) -> list[Judged]:
    """Each outcome with its cost and whether it met the objective.

    Raises:
        CommandError: there is nothing to judge by: no request came in the time that counts.
    """
    if not any(report.requests for report in outcomes[0].reports):
        raise CommandError("No request came after the first tenth of the time, which is not counted: play more of it.")
    factor = setup.price.usd_per_hour * HOURS_PER_MONTH
    return [
        Judged(
            one,
            times(one.figures["mean_replicas"], factor),
            interval(one.regrets) if one.regrets else None,
            met(one, setup.objective_part),
        )
        for one in outcomes
    ]


def met(outcome: Outcome, objective_part: float) -> bool:
    """Whether enough requests were in time, on average over the seeds."""
    return outcome.figures["attainment"].mean >= objective_part


def times(figure: Interval, factor: float) -> Interval:
    """The interval in another unit."""
    return Interval(figure.mean * factor, figure.low * factor, figure.high * factor)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the table.

    Attributes:
        head, unit: over it.
        cell: how a judged outcome is put in it.
        short: the same where there is little room; `None`: the column is left out there.
    """

    head: str
    unit: str
    cell: Callable[[Judged], str]
    short: Callable[[Judged], str] | None


def _column(
    head: str, unit: str, figure: Callable[[Judged], Interval | None], show: Callable[[Interval], str]
) -> _Column:
    """A figure with its interval; without it where there is little room."""

    def cell(judged: Judged) -> str:
        found = figure(judged)
        return "" if found is None else show(found)

    def short(judged: Judged) -> str:
        found = figure(judged)
        return "" if found is None else show(Interval(found.mean, math.nan, math.nan))

    return _Column(head, unit, cell, short)


def _figure(name: str) -> Callable[[Judged], Interval]:
    return lambda judged: judged.outcome.figures[name]


def _percent(figure: Interval) -> str:
    return around(figure, 100.0)


def _mean(name: str, factor: float = 1.0) -> Callable[[Judged], str]:
    return lambda judged: number(judged.outcome.figures[name].mean * factor)


_IN_TIME = _column("in time", "%", _figure("attainment"), _percent)
_REPLICAS = _column("replicas", "mean", _figure("mean_replicas"), around)
_COLUMNS = (
    replace(_IN_TIME, short=_IN_TIME.cell),
    _column("p95", "", _figure("p95_seconds"), around_seconds),
    replace(_column("p99", "", _figure("p99_seconds"), around_seconds), short=None),
    _column("cold", "%", _figure("cold_fraction"), _percent),
    replace(_REPLICAS, short=_REPLICAS.cell),
    _Column("busy", "%", _mean("utilization", 100.0), None),
    _column("cost", "USD/month", lambda judged: judged.usd_per_month, around),
    _column("regret", "x bound", lambda judged: judged.regret, around),
    _Column("moves", "floor", _mean("floor_changes"), None),
)


def table(console: Console, judged: Sequence[Judged], chosen: int | None = None) -> Table:
    """The outcomes as a table of the terminal; a narrow one has fewer columns and intervals."""
    wide = console.width >= _WIDE_COLUMNS
    columns = [column for column in _shown(judged) if wide or column.short is not None]
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    rows.add_column("policy\n", no_wrap=True)
    for column in columns:
        rows.add_column(f"{column.head}\n{column.unit}", justify="right", no_wrap=True)
    rows.add_column("SLO\nmet", no_wrap=True)
    for place, one in enumerate(judged):
        style = "bold" if place == chosen else ""
        verdict = Text("yes", "green") if one.met else Text("no", "red")
        name = ("> " if place == chosen else "") + one.outcome.choice.label
        cells = ((column.cell if wide or column.short is None else column.short)(one) for column in columns)
        rows.add_row(name, *cells, verdict, style=style)
    return rows


def page_table(caption: str, judged: Sequence[Judged], chosen: int | None = None) -> page.Table:
    """The outcomes as a table of a page."""
    columns = _shown(judged)
    heads = ["policy", *(f"{column.head} ({column.unit})" if column.unit else column.head for column in columns)]
    rows: list[list[str | page.Cell]] = [
        [
            one.outcome.choice.label,
            *(column.cell(one) for column in columns),
            page.Cell("met", "good") if one.met else page.Cell("missed", "bad"),
        ]
        for one in judged
    ]
    return page.Table(caption, [*heads, "SLO"], rows, frozenset({len(heads)}), chosen)


def document(name: str, setup: Setup, judged: Sequence[Judged]) -> dict[str, Any]:
    """The answer for JSON and YAML."""
    load = setup.load
    return {
        "load": {
            "name": name,
            "begin_seconds": load.begin_seconds,
            "seconds": load.seconds,
            "scale": load.scale,
            "dispersion": load.dispersion,
            "history_seconds": _history_seconds(setup),
            "service_seconds": load.service_seconds,
            "service_sigma": load.service_sigma,
        },
        "objective": {"seconds": setup.objective_seconds, "part": setup.objective_part},
        "cold_start_seconds": setup.cold_start_seconds,
        "concurrency": setup.concurrency,
        "knative_target_percent": setup.knative_target,
        "price": {"usd_per_replica_hour": setup.price.usd_per_hour, "what": setup.price.what},
        "policies": policies(judged),
    }


def policies(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """The outcomes for JSON and YAML."""
    return [
        {
            "policy": one.outcome.choice.label,
            "seeds": len(one.outcome.reports),
            "met": one.met,
            **{name: _ends(value) for name, value in one.outcome.figures.items()},
            "usd_per_month": _ends(one.usd_per_month),
            "regret": _ends(one.regret) if one.regret else None,
        }
        for one in judged
    ]


def title(name: str, setup: Setup) -> str:
    """What is simulated, in a line."""
    objective = f"{wording.percent(setup.objective_part)} within {wording.milliseconds(setup.objective_seconds)}"
    return f"{name}: {objective}, cold start {wording.milliseconds(setup.cold_start_seconds)}"


def played(setup: Setup, outcome: Outcome) -> str:
    """How much is simulated, in a line."""
    load, seeds = setup.load, len(outcome.reports)
    rate = "" if load.scale == 1 else f" at {load.scale:.3g} of its rate"
    known = _history_seconds(setup)
    before = f", after {wording.duration(known)} that policies may learn from" if known else ""
    mean = f"{load.mean_per_second:.3g} requests/s of {wording.milliseconds(load.service_seconds)}"
    return f"{wording.duration(load.seconds)}{rate}: {mean}{before}. {seeds} seed{'s' if seeds > 1 else ''}."


def note(setup: Setup) -> str:
    """How to read the table."""
    return (
        "± is the 95 % interval over the seeds. Replicas are paid from being asked for until they are gone, at "
        f"{setup.price}; the first tenth of the time (at most 10 min) is not counted. "
        "Cold: requests that waited for a replica to get ready. hybrid, paper and schedule move the floor under "
        f"Knative's autoscaler, whose target is {setup.knative_target:g} % of the slots."
    )


def report(heading: str, judged: Sequence[Judged], setup: Setup, svg: str) -> str:
    """The answer as a page."""
    best = min((one for one in judged if one.met), key=lambda one: one.usd_per_month.mean, default=None)
    seen = f"The cheapest that met it is {best.outcome.choice.label}." if best else "No policy met it."
    lead = f"{played(setup, judged[0].outcome)} {seen}"
    return page.render(heading, lead, sections(judged, setup, svg, judged.index(best) if best else None))


def sections(judged: Sequence[Judged], setup: Setup, svg: str, chosen: int | None) -> list[page.Section]:
    """The outcomes as parts of a page: figures, and the first seed over time."""
    words = [f"{one.outcome.choice.label} {around(one.outcome.figures['attainment'], 100)} % in time" for one in judged]
    description = f"Requests, replicas of each policy and latencies: {'; '.join(words)}."
    picture = page.Picture(svg, "The first seed of each policy.", description)
    table = page_table("Figures of each policy; the chosen one is shaded", judged, chosen)
    return [page.Section("Policies", [table, note(setup)]), page.Section("Over time", [picture])]


def _history_seconds(setup: Setup) -> float:
    history = setup.load.history
    return history.step_seconds * len(history.rates_per_second) if history else 0.0


def _shown(judged: Sequence[Judged]) -> list[_Column]:
    return [column for column in _COLUMNS if column.head != "regret" or any(one.regret for one in judged)]


def _ends(figure: Interval) -> dict[str, float]:
    return {"mean": figure.mean, "low": figure.low, "high": figure.high}
