"""A frame -> what a terminal shows: the live view of `everwarm up`. Rich renderables out; nothing is printed here."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from everwarm_cli.up import words
from everwarm_cli.up.frame import Frame, Logged
from everwarm_planner.decision import Decision, Reason
from everwarm_planner.observation import Observation

_BLOCKS = "▁▂▃▄▅▆▇█"
_LABEL_COLUMNS = 9
_FIGURE_COLUMNS = 8
_BORDER_COLUMNS = 8
_FIXED_ROWS = 19
_STYLES = {
    Reason.UNDER_PROVISIONED: "bold red",
    Reason.OVER_PROVISIONED: "bold cyan",
    Reason.STEADY: "bold green",
    Reason.MISSING_DATA: "bold yellow",
    Reason.BOUNDS_CHANGED: "bold magenta",
    Reason.FIXED: "bold blue",
    Reason.FORECAST: "bold red",
}


def render(frame: Frame, columns: int, rows: int) -> RenderableType:
    """The whole view, for a terminal of this size."""
    body = Layout()
    sections = [
        Layout(_curves(frame, columns - _BORDER_COLUMNS - _LABEL_COLUMNS - _FIGURE_COLUMNS), size=6),
        Layout(_figures(frame), size=4),
        Layout(_decision(frame.decision), size=4),
        Layout(_log(frame.history.log, max(1, (rows - _FIXED_ROWS) // 2)), ratio=1),
    ]
    if frame.load is not None:
        sections.append(Layout(_load(frame), size=3))
    body.split_column(*sections)
    title = f"[bold]everwarm up[/] · {frame.settings.model_name} · {frame.url} · {words.clock(frame.uptime_seconds)}"
    return Panel(
        body,
        title=title,
        title_align="left",
        subtitle="Ctrl-C stops everything",
        border_style="dim",
        padding=(0, 1),
        height=rows,
    )


def sparkline(values: Sequence[float | None], columns: int, top: float, limit: float | None = None) -> Text:
    """The newest values as blocks from 0 to `top`, red over `limit`; a gap where there is no value."""
    curve = Text(no_wrap=True)
    for value in values[-columns:] if columns > 0 else ():
        if value is None:
            curve.append(" ")
            continue
        level = 0 if top <= 0 else min(len(_BLOCKS) - 1, int(value / top * len(_BLOCKS)))
        over = limit is not None and value > limit
        curve.append(_BLOCKS[level], style="red" if over else "green" if value > 0 else "dim")
    return curve


def _curves(frame: Frame, columns: int) -> RenderableType:
    history, target = frame.history, frame.settings.target_p95_seconds
    seen = frame.observation if isinstance(frame.observation, Observation) else None
    p95s = [value for value in history.p95s if value is not None][-columns:]
    most = float(frame.settings.max_replicas)
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=_LABEL_COLUMNS, style="dim")
    grid.add_column(width=_FIGURE_COLUMNS, justify="right", style="bold")
    grid.add_column(no_wrap=True)
    rates = list(history.rates)
    grid.add_row("rate", words.rate(seen) if seen else "?", sparkline(rates, columns, max(rates[-columns:], default=0)))
    p95 = words.latency(seen.p95_seconds) if seen else "?"
    late = seen is not None and seen.p95_seconds is not None and seen.p95_seconds > target
    curve = sparkline(list(history.p95s), columns, max([*p95s, target]), target)
    grid.add_row("p95", Text(p95, style="bold red" if late else "bold"), curve)
    grid.add_row("", "", Text(f"target {words.latency(target)}, red where it is missed", style="dim"))
    grid.add_row("ready", str(frame.ready), sparkline(list(history.ready), columns, most))
    grid.add_row("floor", str(frame.decision.floor), sparkline(list(history.floors), columns, most))
    return grid


def _figures(frame: Frame) -> RenderableType:
    seen = frame.observation if isinstance(frame.observation, Observation) else None
    idle = max(0, frame.settings.max_replicas - frame.ready - frame.starting)
    boxes = Text.assemble(
        ("■ " * frame.ready, "green"), ("◧ " * frame.starting, "yellow"), ("□ " * min(idle, 20), "dim"), " "
    )
    boxes.append(words.replicas(frame.ready, frame.starting, frame.stopping))
    boxes.append(f" of {frame.settings.min_replicas} to {frame.settings.max_replicas}", style="dim")
    errors = words.count(frame.totals.errors, "error")
    flight = f"{frame.totals.in_flight} in flight, of which {frame.waiting} wait · {errors}"
    part = words.part(seen.cold_start_fraction) if seen else "?"
    cold = f"{part} met a cold start, {frame.counts.cold_starts:.0f} in all"
    busy = f"busy {words.part(seen.utilization) if seen else '?'} · demand {words.demand(frame.decision)}"
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=_LABEL_COLUMNS, style="dim")
    grid.add_column(no_wrap=True)
    grid.add_row("replicas", boxes)
    grid.add_row("requests", f"{flight} · {cold}")
    grid.add_row("slots", busy)
    return grid


def _decision(decision: Decision) -> RenderableType:
    style = _STYLES.get(decision.reason, "bold")
    heading = Text.assemble((decision.reason.value, style), f"  floor {words.floor(decision)}")
    return Group(Rule("now", align="left", style="dim"), heading, Text(decision.sentence))


def _log(log: Iterable[Logged], most: int) -> RenderableType:
    """The decisions that changed something, newest first."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", style="dim", no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column()
    for entry in list(log)[::-1][:most]:
        decision = entry.decision
        style = _STYLES.get(decision.reason, "bold") if decision.changed else "dim"
        moved = Text(f"floor {words.floor(decision)}", style=style)
        grid.add_row(
            words.clock(entry.uptime_seconds), moved, Text(decision.sentence, style="" if decision.changed else "dim")
        )
    return Group(Rule("before", align="left", style="dim"), grid)


def _load(frame: Frame) -> RenderableType:
    if frame.load is None:
        return Text()
    return Group(
        Rule("load", align="left", style="dim"),
        Text(words.load(frame.load), no_wrap=True, overflow="ellipsis"),
        Text(frame.load.note, style="dim", no_wrap=True, overflow="ellipsis"),
    )
