"""`everwarm simulate`: policies on a pattern or a trace -> what each gives and costs, with intervals over seeds."""

import importlib
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from everwarm_cli import traces
from everwarm_cli.errors import CommandError
from everwarm_cli.options import Output, Pattern, PolicyName, duration_option, rate_option
from everwarm_planner import wording

if TYPE_CHECKING:  # numpy comes with an extra, and costs a tenth of a second
    from everwarm_cli.comparison import Outcome
    from everwarm_simulator.report import Interval


_Policies = Annotated[
    list[PolicyName] | None, typer.Option(help="paper, kpa, hpa or fixed; repeat it to compare; all by default.")
]
_Dispersion = Annotated[
    float, typer.Option(min=1.0, help="Of the arrivals within an interval of the trace; 1: Poisson.")
]


def simulate(
    policy: _Policies = None,
    pattern: Annotated[Pattern, typer.Option(help="poisson or bursts.")] = Pattern.POISSON,
    trace: Annotated[Path | None, typer.Option(help="A CSV file with a measured load.")] = None,
    column: Annotated[str | None, typer.Option(help="The series of a trace that has several.")] = None,
    scale: Annotated[float, typer.Option(min=0.0, help="Multiplies the rates of the trace.")] = 1.0,
    dispersion: _Dispersion = 1.0,
    rate: Annotated[float, rate_option("Mean rate of the pattern.", "10/s")] = 10.0,
    duration: Annotated[float | None, duration_option("Of the pattern, 1h by default; or of the trace, all.")] = None,
    slo: Annotated[float, duration_option("The latency objective.", "300ms")] = 0.3,
    service_time: Annotated[float, duration_option("Mean work of a request.", "100ms")] = 0.1,
    service_sigma: Annotated[float, typer.Option(min=0, help="Of the logarithm of the work.")] = 0.47,
    cold_start: Annotated[float, duration_option("Mean time until a replica is ready.", "30s")] = 30.0,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests that one replica computes at once.")] = 1,
    min_replicas: Annotated[int, typer.Option(min=0)] = 1,
    max_replicas: Annotated[int, typer.Option(min=1)] = 50,
    replicas: Annotated[int, typer.Option(min=0, help="Of the policy fixed.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Runs per policy.")] = 5,
    plot: Annotated[Path | None, typer.Option(help="Write a picture: .png, .svg or .pdf.")] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="table or json.")] = Output.TABLE,
) -> None:
    """Play a load against policies and say what each gives and costs. Equal seeds give equal numbers."""
    if min_replicas > max_replicas:
        raise CommandError(f"--min-replicas {min_replicas} is over --max-replicas {max_replicas}.", exit_code=2)
    comparison = _comparison()
    names = policy or list(PolicyName)
    source = pattern if trace is None else traces.read(trace, column)
    load = comparison.Load(source, rate, duration, dispersion, scale, service_time, service_sigma)
    setup = comparison.Setup(load, slo, cold_start, 0.3, concurrency, min_replicas, max_replicas, replicas)
    with Progress(console=(err := Console(stderr=True)), transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("simulating", total=len(names) * seeds)
        outcomes = list(comparison.compare(setup, names, seeds, lambda: bar.advance(task)))
    title = _title(pattern, trace, column, slo, cold_start)
    if plot is not None:
        importlib.import_module("everwarm_cli.plots").write(plot, title, outcomes, slo)
    if output is Output.JSON:
        sys.stdout.write(json.dumps(_document(outcomes), indent=2) + "\n")
    else:
        _print(Console(), title, outcomes)


def _title(pattern: Pattern, trace: Path | None, column: str | None, slo: float, cold_start: float) -> str:
    name = pattern.value if trace is None else trace.name if column is None else f"{trace.name}: {column}"
    return f"{name}, objective {wording.milliseconds(slo)}, cold start {wording.milliseconds(cold_start)}"


def _comparison() -> ModuleType:
    try:
        return importlib.import_module("everwarm_cli.comparison")
    except ModuleNotFoundError as error:
        wanted = "pip install 'everwarm[simulator]'"
        raise CommandError(f"everwarm simulate needs the package {error.name}: {wanted}.") from error


def _document(outcomes: "list[Outcome]") -> list[dict[str, object]]:
    from everwarm_simulator import report

    def figure(interval: "Interval") -> dict[str, float | None]:
        ends = {"mean": interval.mean, "low": interval.low, "high": interval.high}
        return {name: value if math.isfinite(value) else None for name, value in ends.items()}

    return [
        {"policy": outcome.policy.value, "seeds": len(outcome.reports)}
        | {name: figure(value) for name, value in report.over_seeds(outcome.reports).items()}
        for outcome in outcomes
    ]


def _print(console: Console, title: str, outcomes: "list[Outcome]") -> None:
    from everwarm_simulator import report

    first = outcomes[0]
    console.print(f"{title}. {len(first.reports)} seeds, {first.reports[0].requests} requests in the first.\n")
    heads = ("policy", "replicas", "in time %", "p95 s", "p99 s", "cold %", "busy %", "moves")
    table = Table(*heads, box=None, pad_edge=False)
    for outcome in outcomes:
        figures = report.over_seeds(outcome.reports)
        table.add_row(
            outcome.policy.value,
            _around(figures["mean_replicas"]),
            _around(figures["attainment"], 100.0),
            _around(figures["p95_seconds"]),
            _around(figures["p99_seconds"]),
            _around(figures["cold_fraction"], 100.0),
            f"{figures['utilization'].mean * 100:.3g}",
            f"{figures['floor_changes'].mean:.3g}",
        )
    console.print(table)
    console.print(
        "\n± is the 95 % interval over the seeds; moves are those of the floor. Replicas are paid from being asked for "
        "until they are gone; the first tenth of the time (at most 10 min) is not counted.",
        soft_wrap=True,
    )


def _around(interval: "Interval", factor: float = 1.0) -> str:
    """`11.4 ±2.5`; without the second where one seed tells nothing of the others, `never` where it is infinite."""
    if not math.isfinite(interval.mean):
        return "never"
    half = (interval.high - interval.mean) * factor
    return f"{interval.mean * factor:.3g}" + (f" ±{half:.2g}" if math.isfinite(half) else "")
