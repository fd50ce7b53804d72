"""`everwarm backtest`: a service's past -> what each policy would have given and cost, and which to choose."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from everwarm_cli import output as outputs
from everwarm_cli import progress, simulate
from everwarm_cli import simulation_options as options
from everwarm_cli.backtest.question import Question, Work
from everwarm_cli.options import Output, duration_option
from everwarm_cli.policies import Choice
from everwarm_planner import wording

if TYPE_CHECKING:  # numpy comes with an extra, and costs a tenth of a second
    from everwarm_cli.backtest.advice import Advice
    from everwarm_cli.backtest.source import Past
    from everwarm_cli.comparison import Setup
    from everwarm_cli.presentation import Judged

_FIRST_DATE_SECONDS = 86_400.0 * 366  # what begins before 1971 has no date, but counts from 0

_Trace = Annotated[
    str | None, typer.Option(metavar="NAME|FILE", help="CSV, JSON lines or Parquet; see everwarm traces.")
]
_Scale = Annotated[float, typer.Option(min=1e-6, help="Multiplies the rates of the past.")]
_Service = Annotated[str | None, typer.Option(metavar="NAMESPACE/NAME", help="By everwarm's metrics or Knative's.")]
_Query = Annotated[str | None, typer.Option(metavar="PROMQL", help="Your own, in requests/s; $step is the step.")]
_Since = Annotated[float, duration_option("How long the past is.", "14d")]
_Until = Annotated[
    dt.datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC; now by default.")
]
_Step = Annotated[float, duration_option("Of the question to Prometheus.", "60s")]
_Test = Annotated[float | None, duration_option("The end of the past is played: by default a third, at most 2d.")]
_ServiceTime = Annotated[
    float | None, duration_option("Mean work of a request; by default as measured, where somebody does.")
]
_ColdStart = Annotated[float, duration_option("Mean time until a replica is ready, its pod's start included.", "30s")]


@dataclass(frozen=True, slots=True)
class _Answer:
    """Where the answer goes, and how it is made."""

    seeds: int
    regret: bool
    plot: Path | None
    report: Path | None
    output: Output


def backtest(
    trace: _Trace = None,
    column: options.Column = None,
    scale: _Scale = 1.0,
    prometheus: options.PrometheusUrl = None,
    service: _Service = None,
    query: _Query = None,
    since: _Since = 14 * 86_400.0,
    until: _Until = None,
    step: _Step = 60.0,
    header: options.Headers = None,
    http_config: options.HttpConfig = None,
    test: _Test = None,
    policy: options.Policies = None,
    window: options.Windows = None,
    slo: options.Slo = 0.3,
    objective: options.Objective = 0.95,
    service_time: _ServiceTime = None,
    service_sigma: options.ServiceSigma = 0.47,
    dispersion: options.Dispersion = None,
    cold_start: _ColdStart = 30.0,
    concurrency: options.Concurrency = 1,
    min_replicas: options.MinReplicas = 1,
    max_replicas: options.MaxReplicas = 50,
    knative_target: options.KnativeTarget = options.KNATIVE_TARGET,
    price: options.Price = options.PRICE,
    seeds: options.Seeds = 3,
    regret: options.Regret = False,
    plot: options.Plot = None,
    report: options.Report = None,
    output: options.Format = Output.TABLE,
) -> None:
    """Replay a service's past and say which policy to choose.

    What each would have given and cost on the last days, with the days before to learn from; from a file, or from
    Prometheus by everwarm's metrics or Knative's. Ends with the YAML for spec of the ModelService.
    """
    chosen, windows = options.checked(policy, window, (plot, report), (min_replicas, max_replicas))
    access, source, comparison = simulate.modules("backtest", "prometheus.http_config", "backtest.source", "comparison")
    answers = access.access(prometheus, header or [], http_config) if prometheus else None
    asked = Question(trace, column, answers, service, query, since, until, int(step), test)
    past = source.read(asked, Work(service_time, service_sigma, dispersion, scale))
    setup = comparison.Setup(past.load, slo, cold_start, concurrency, min_replicas, max_replicas, 0, objective)
    setup = replace(setup, windows=windows, price=price, knative_target=knative_target)
    _play(past, setup, chosen, _Answer(seeds, regret, plot, report, output))


def _play(past: "Past", setup: "Setup", chosen: Sequence[Choice], answer: _Answer) -> None:
    from everwarm_cli import comparison, presentation
    from everwarm_cli.backtest import advice

    setup = replace(setup, fixed_replicas=advice.fixed_replicas(setup))
    chosen = [advice.spelled_out(one, setup) for one in chosen]
    with progress.bar("replaying", len(chosen) * answer.seeds) as done:
        outcomes = comparison.compare(setup, chosen, answer.seeds, done, regret=answer.regret)
    judged = presentation.judge(outcomes, setup)
    advised = advice.advise(judged, setup)
    title = presentation.title(past.name, setup)
    if answer.plot is not None or answer.report is not None:
        _draw(title, past, setup, judged, advised, answer)
    if answer.output is not Output.TABLE:
        outputs.write(_document(past, setup, judged, advised), answer.output)
        return
    console = Console()
    lines = [f"{title}.", split(setup), presentation.played(setup, outcomes[0]), *past.notes, ""]
    outputs.prose(console, "\n".join(lines))
    console.print(presentation.table(console, judged, advised.chosen))
    outputs.prose(console, f"\n{advised.sentence}", "bold")
    outputs.prose(console, "\n".join(advised.doubts))
    outputs.prose(console, f"\n{advised.scaling.rstrip()}")


def split(setup: "Setup") -> str:
    """Which days were known beforehand, and which were played."""
    load = setup.load
    if load.history is None:
        return "Nothing was known beforehand."
    known = load.history.step_seconds * len(load.history.rates_per_second)
    begin, end = load.begin_seconds, load.begin_seconds + load.seconds
    dates = f", from {_date(begin)} to {_date(end)} UTC" if begin > _FIRST_DATE_SECONDS else ""
    return (
        f"Known beforehand: {wording.duration(known)} (hybrid learns from it, fixed is chosen by it). "
        f"Tested on: the {wording.duration(load.seconds)} after it{dates}."
    )


def _date(at_seconds: float) -> str:
    return dt.datetime.fromtimestamp(at_seconds, dt.UTC).strftime("%Y-%m-%d %H:%M")


def _document(past: "Past", setup: "Setup", judged: "list[Judged]", advised: "Advice") -> dict[str, Any]:
    from everwarm_cli import presentation

    return presentation.document(past.name, setup, judged) | {
        "split": split(setup),
        "notes": list(past.notes),
        "recommendation": {
            "policy": advised.policy,
            "sentence": advised.sentence,
            "doubts": list(advised.doubts),
            "scaling": advised.scaling,
        },
    }


def _draw(title: str, past: "Past", setup: "Setup", judged: "list[Judged]", advised: "Advice", answer: _Answer) -> None:
    from everwarm_cli import page, presentation
    from everwarm_cli.plots import runs, style

    figure = runs.draw(title, [one.outcome for one in judged], setup)
    if answer.plot is not None:
        style.save(figure, answer.plot)
    if answer.report is not None:
        choice = page.Section(
            "Which to choose", [advised.sentence, page.Points(advised.doubts), page.Code(advised.scaling)]
        )
        about = page.Section(
            "What was played", [split(setup), presentation.played(setup, judged[0].outcome), *past.notes]
        )
        sections = [choice, *presentation.sections(judged, setup, style.inline(figure, "runs"), advised.chosen), about]
        page.write(answer.report, page.render(f"Backtest of {title}", split(setup), sections))
