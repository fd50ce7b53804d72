"""What `everwarm simulate` and `everwarm backtest` are asked with, as the types that typer reads."""

from pathlib import Path
from typing import Annotated, Any

import typer

from everwarm_cli import policies, prices
from everwarm_cli.errors import CommandError
from everwarm_cli.options import Output, duration_option, output_option, part_option
from everwarm_cli.plots import style
from everwarm_cli.policies import Choice
from everwarm_planner.policies.schedule import Window

Policies = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        metavar="NAME[:VALUE],...",
        help="hybrid[:PART], paper[:FACTOR], kpa[:PERCENT], hpa[:PERCENT], fixed[:REPLICAS], schedule[:hybrid]; "
        "a comma list, or repeat it. All by default.",
    ),
]
Windows = Annotated[
    list[str] | None,
    typer.Option("--window", metavar="WINDOW", help=f"Of the policy schedule: '{policies.WINDOW_EXAMPLE}'; repeat it."),
]
Column = Annotated[str | None, typer.Option(metavar="NAME", help="The series of a file that has several.")]
Scale = Annotated[
    float | None,
    typer.Option(min=1e-6, help="Multiplies the rates of a trace; by default such that a run has a million requests."),
]
Dispersion = Annotated[
    float | None,
    typer.Option(min=1.0, help="Of the arrivals within an interval: variance over mean per second; 1: Poisson."),
]
Slo = Annotated[float, duration_option("The latency objective.", "300ms")]
Objective = Annotated[float, part_option("Part of the requests that shall meet it.", "95%")]
ServiceSigma = Annotated[float, typer.Option(min=0, max=5, help="Of the logarithm of the work.")]
ColdStart = Annotated[float, duration_option("Mean time until a replica is ready.", "30s")]
Concurrency = Annotated[int, typer.Option(min=1, help="Requests that one replica computes at once.")]
MinReplicas = Annotated[int, typer.Option(min=0, help="No policy goes lower.")]
MaxReplicas = Annotated[int, typer.Option(min=1, help="No policy goes higher.")]
KNATIVE_TARGET = 70.0  # as Knative's own; the operator does not change it
KnativeTarget = Annotated[
    float,
    typer.Option(
        min=1,
        max=100,
        metavar="PERCENT",
        help="Target utilisation of Knative's autoscaler over the floors of policies.",
    ),
]
Interval = Annotated[int, typer.Option(min=1, help="Seconds between two decisions of the planner.")]
Price = Annotated[
    prices.Price,
    typer.Option(
        parser=prices.price,
        metavar="PRICE",
        help="Of one replica: USD per hour (0.05), fargate:VCPUSxGB, an EC2 instance, or a part of one (m5.xlarge/4).",
    ),
]
PRICE: Any = prices.DEFAULT  # typer reads it as if it had been written
Seeds = Annotated[int, typer.Option(min=1, help="Runs per policy.")]
PrometheusUrl = Annotated[
    str | None, typer.Option("--prometheus", metavar="URL", help="Or Thanos, Mimir, VictoriaMetrics.")
]
Headers = Annotated[list[str] | None, typer.Option("--header", metavar="NAME: VALUE", help="To Prometheus; a tenant.")]
HttpConfig = Annotated[
    Path | None, typer.Option("--http-config", metavar="FILE", help="Credentials and TLS files, as promtool's.")
]
Regret = Annotated[
    bool, typer.Option("--regret", help="Hold the costs against a clairvoyant plan's; takes as long again.")
]
Plot = Annotated[Path | None, typer.Option(help="Write a figure: .png, .svg or .pdf.", metavar="FILE")]
Report = Annotated[
    Path | None, typer.Option(help="Write a page: one HTML file that needs nothing else.", metavar="FILE")
]
Format = Annotated[Output, output_option()]


def checked(
    policy_texts: list[str] | None,
    window_texts: list[str] | None,
    files: tuple[Path | None, Path | None],
    bounds: tuple[int, int],
) -> tuple[list[Choice], tuple[Window, ...]]:
    """The policies and windows; and refuse at once what would fail at the end.

    Args:
        policy_texts: of --policy.
        window_texts: of --window.
        files: of --plot and --report.
        bounds: least and most replicas.

    Raises:
        CommandError: a policy is none, a file can't be written or drawn, no number of replicas is within the bounds.
        BadParameter: a window can't be read.
    """
    if bounds[0] > bounds[1]:
        raise CommandError(f"--min-replicas {bounds[0]} is over --max-replicas {bounds[1]}.", exit_code=2)
    endings = (("--plot", (".png", ".svg", ".pdf")), ("--report", (".html", ".htm")))
    for path, (option, known) in zip(files, endings, strict=True):
        if path is not None:
            style.check_ending(path, option, known)
            style.require(option)
    windows = policies.windows(window_texts or ())
    return policies.choices(policy_texts or (), windows), windows
