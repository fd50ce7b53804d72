"""`everwarm simulate`: policies on a pattern or a trace -> what each gives and costs, with intervals over seeds."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from everwarm_cli import output as outputs
from everwarm_cli import progress
from everwarm_cli import simulation_options as options
from everwarm_cli.errors import CommandError
from everwarm_cli.options import Output, Pattern, duration_option, rate_option
from everwarm_cli.policies import Choice

if TYPE_CHECKING:  # numpy comes with an extra, and costs a tenth of a second
    from everwarm_cli.comparison import Setup
    from everwarm_cli.presentation import Judged

_Trace = Annotated[
    str | None, typer.Option(metavar="NAME|FILE", help="A measured load: see everwarm traces, or a file of yours.")
]
_Duration = Annotated[
    float | None,
    duration_option("Of a pattern, 1h by default; of a trace its end, 1d by default: policies know what was before."),
]
_ServiceTime = Annotated[float, duration_option("Mean work of a request.", "100ms")]
_Replicas = Annotated[int, typer.Option(min=0, help="Of the policy fixed.")]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the answer is about, and where it goes."""

    name: str
    regret: bool
    plot: Path | None
    report: Path | None
    output: Output


def simulate(
    policy: options.Policies = None,
    pattern: Annotated[Pattern, typer.Option(help="poisson or bursts.")] = Pattern.POISSON,
    trace: _Trace = None,
    column: options.Column = None,
    scale: options.Scale = None,
    dispersion: options.Dispersion = None,
    rate: Annotated[float, rate_option("Mean rate of the pattern.", "10/s")] = 10.0,
    duration: _Duration = None,
    slo: options.Slo = 0.3,
    objective: options.Objective = 0.95,
    service_time: _ServiceTime = 0.1,
    service_sigma: options.ServiceSigma = 0.47,
    cold_start: options.ColdStart = 30.0,
    concurrency: options.Concurrency = 1,
    min_replicas: options.MinReplicas = 1,
    max_replicas: options.MaxReplicas = 50,
    replicas: _Replicas = 5,
    window: options.Windows = None,
    knative_target: options.KnativeTarget = options.KNATIVE_TARGET,
    interval: options.Interval = 15,
    price: options.Price = options.PRICE,
    seeds: options.Seeds = 5,
    regret: options.Regret = False,
    plot: options.Plot = None,
    report: options.Report = None,
    output: options.Format = Output.TABLE,
) -> None:
    """Play a load against policies: what each gives and costs.

    Equal seeds give equal numbers. Each policy sees the same requests, work and cold starts.
    """
    chosen, windows = options.checked(policy, window, (plot, report), (min_replicas, max_replicas))
    loads, comparison = modules("simulate", "loads", "comparison")
    load = loads.Load(pattern, service_time, service_sigma, rate, duration or 3600.0)
    if trace is not None:
        load = loads.of_trace(load, trace, column, loads.Extent(duration, scale, dispersion))
    load = loads.checked(
        load, trace or pattern.value, f"shorter --duration or a smaller {'--scale' if trace else '--rate'}"
    )
    bounds = (concurrency, min_replicas, max_replicas, replicas)
    setup = comparison.Setup(load, slo, cold_start, *bounds, objective, 0.3, windows, interval, price, knative_target)
    _play(setup, chosen, seeds, _Answer(trace or pattern.value, regret, plot, report, output))


def modules(command: str, *names: str) -> list[ModuleType]:
    """Modules of ours that need more than the command line itself does.

    Raises:
        CommandError: a package is missing; the text says how to get it.
    """
    try:
        return [importlib.import_module(f"everwarm_cli.{name}") for name in names]
    except ModuleNotFoundError as error:
        wanted = "pip install 'everwarm[simulator]'"
        raise CommandError(f"everwarm {command} needs the package {error.name}: {wanted}.") from error


def _play(setup: "Setup", chosen: Sequence[Choice], seeds: int, answer: _Answer) -> None:
    from everwarm_cli import comparison, presentation

    with progress.bar("simulating", len(chosen) * seeds) as done:
        outcomes = comparison.compare(setup, chosen, seeds, done, regret=answer.regret)
    judged = presentation.judge(outcomes, setup)
    title = presentation.title(answer.name, setup)
    if answer.plot is not None or answer.report is not None:
        _draw(title, judged, setup, answer)
    if answer.output is not Output.TABLE:
        outputs.write(presentation.document(answer.name, setup, judged), answer.output)
        return
    console = Console()
    outputs.prose(console, f"{title}.\n{presentation.played(setup, outcomes[0])}\n")
    console.print(presentation.table(console, judged))
    outputs.prose(console, f"\n{presentation.note(setup)}")


def _draw(title: str, judged: "list[Judged]", setup: "Setup", answer: _Answer) -> None:
    from everwarm_cli import page, presentation
    from everwarm_cli.plots import runs, style

    figure = runs.draw(title, [one.outcome for one in judged], setup)
    if answer.plot is not None:
        style.save(figure, answer.plot)
    if answer.report is not None:
        page.write(answer.report, presentation.report(title, judged, setup, style.inline(figure, "runs")))
