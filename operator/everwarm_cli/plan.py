"""`everwarm plan`: a rate and a latency objective -> how many replicas, and why not fewer. Queueing theory alone."""

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from everwarm_cli import output as outputs
from everwarm_cli import simulation_options as options
from everwarm_cli.errors import CommandError
from everwarm_cli.options import Output, duration_option, rate_option
from everwarm_cli.prices import Price
from everwarm_planner import queueing, wording
from everwarm_planner.memory_recommendation import MemoryRecommendation
from everwarm_planner.queueing import Traffic

_PART = 0.95
_BEYOND = 2  # rows under and over the answer, to see what one more or fewer does
_HOURS_PER_MONTH = 730.0


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the traffic, within which time 95 % shall be answered, slots and price of a replica."""

    traffic: Traffic
    p95_seconds: float
    concurrency: int
    price: Price

    def usd_per_month(self, replicas: int) -> float:
        """What so many cost, were they to run all the time."""
        return replicas * self.price.usd_per_hour * _HOURS_PER_MONTH


@dataclass(frozen=True, slots=True)
class Choice:
    """What theory says of one number of replicas; infinite figures mean that the queue grows without end.

    Attributes:
        replicas: how many.
        utilization: busy part of their slots, over 1 where they can't keep up.
        waiting_fraction: part of the requests that find no free slot.
        mean_wait_seconds: of all requests.
        p95_seconds: latency, wait and service.
        fits: p95 is within the objective.
    """

    replicas: int
    utilization: float
    waiting_fraction: float
    mean_wait_seconds: float
    p95_seconds: float
    fits: bool


def choices(traffic: Traffic, p95_seconds: float, concurrency: int) -> tuple[int, list[Choice]]:
    """The fewest replicas that hold the objective, and the rows around them.

    Raises:
        CommandError: no number of replicas holds it.
    """
    servers = queueing.least_servers(traffic, p95_seconds, _PART)
    if servers is None:
        alone = wording.milliseconds(traffic.service_quantile(_PART))
        if traffic.service_quantile(_PART) <= p95_seconds:
            raise CommandError(f"A load of {traffic.load:.3g} busy slots needs more than a million.")
        raise CommandError(
            f"No number of replicas answers within {wording.milliseconds(p95_seconds)}: "
            f"without any wait, 95 % of requests take up to {alone}."
        )
    least = max(1, math.ceil(servers / concurrency))
    rows = range(max(1, least - _BEYOND), least + _BEYOND + 1)
    return least, [_choice(traffic, replicas, concurrency, replicas >= least) for replicas in rows]


def _choice(traffic: Traffic, replicas: int, concurrency: int, fits: bool) -> Choice:
    at = queueing.waiting(traffic, replicas * concurrency)
    busy = traffic.load / (replicas * concurrency)
    return Choice(replicas, busy, at.probability, at.mean_seconds, at.latency_quantile(_PART), fits)


def plan(
    rate: Annotated[float, rate_option("Requests that come, for example 40/s.")],
    p95: Annotated[float, duration_option("What 95 % of the requests shall be answered within.")],
    service_time: Annotated[float, duration_option("Mean time that one request keeps a slot busy.")],
    concurrency: options.Concurrency = 1,
    variation: Annotated[
        float, typer.Option(min=0, help="Of the service time: its variance over its squared mean; 0: constant.")
    ] = 0.25,
    dispersion: Annotated[
        float, typer.Option(min=0, help="Of the arrivals: variance over mean of the counts per second; 1: Poisson.")
    ] = 1.0,
    price: options.Price = options.PRICE,
    prometheus: options.PrometheusUrl = None,
    service: Annotated[
        str | None, typer.Option(metavar="NAMESPACE/NAME", help="Whose use of memory to look at.")
    ] = None,
    header: options.Headers = None,
    http_config: options.HttpConfig = None,
    output: options.Format = Output.TABLE,
) -> None:
    """Say how many replicas a rate needs and what they cost.

    By queueing theory, for a latency objective; with what one more or fewer would do. With --prometheus and --service
    it says how much memory a replica should ask for, too.
    """
    question = Question(Traffic(rate, service_time, variation, dispersion), p95, concurrency, price)
    least, rows = choices(question.traffic, p95, concurrency)
    memory = _memory(prometheus, service, header or [], http_config)
    if output is not Output.TABLE:
        outputs.write(_document(question, least, rows) | {"memory": memory and asdict(memory)}, output)
        return
    _print(Console(), question, least, rows)
    if memory is not None:
        outputs.prose(Console(), f"\nMemory: {memory.sentence}")


def _memory(
    url: str | None, service: str | None, headers: list[str], config: Path | None
) -> MemoryRecommendation | None:
    if url is None and service is None:
        return None
    if url is None or service is None:
        raise CommandError("--prometheus and --service come together: whose memory shall be looked at?", exit_code=2)
    from everwarm_cli.prometheus import http_config, memory_use
    from everwarm_cli.prometheus.client import Client

    with Client(http_config.access(url, headers, config)) as client:
        return memory_use.recommendation(client, service, time.time())


def _document(question: Question, least: int, rows: list[Choice]) -> dict[str, Any]:
    return {
        "replicas": least,
        "usd_per_month": question.usd_per_month(least),
        "load": question.traffic.load,
        "p95_target_seconds": question.p95_seconds,
        "concurrency": question.concurrency,
        "traffic": asdict(question.traffic),
        "price": {"usd_per_replica_hour": question.price.usd_per_hour, "what": question.price.what},
        "choices": [asdict(row) | {"usd_per_month": question.usd_per_month(row.replicas)} for row in rows],
    }


def _print(console: Console, question: Question, least: int, rows: list[Choice]) -> None:
    traffic, within = question.traffic, wording.milliseconds(question.p95_seconds)
    outputs.prose(
        console,
        f"{wording.replicas(least)} for {traffic.rate_per_second:.4g} requests/s within {within} (p95): "
        f"${question.usd_per_month(least):,.0f} a month.\n",
    )
    table = Table("replicas", "busy", "wait at all", "mean wait", "p95", "USD/month", "", box=None, pad_edge=False)
    for row in rows:
        mark = "the fewest" if row.replicas == least else "" if row.fits else "too few"
        table.add_row(
            str(row.replicas),
            wording.percent(row.utilization),
            wording.percent(row.waiting_fraction),
            _time(row.mean_wait_seconds),
            _time(row.p95_seconds),
            f"{question.usd_per_month(row.replicas):,.0f}",
            mark,
        )
    console.print(table)
    slots = f"{question.concurrency} slot{'s' if question.concurrency > 1 else ''}"
    outputs.prose(
        console,
        f"\n{traffic.load:.4g} slots are busy on average ({traffic.rate_per_second:.4g}/s x "
        f"{wording.milliseconds(traffic.service_seconds)}); a replica has {slots}.\n"
        f"Waits after Erlang C, times {traffic.factor:.3g} for arrivals of dispersion {traffic.dispersion:.3g} and "
        f"work of variation {traffic.service_variation:.3g}.\n"
        f"A replica is {question.price}.\n"
        "Not included: cold starts, and load that changes. See everwarm simulate.",
    )


def _time(seconds: float) -> str:
    return wording.milliseconds(seconds) if math.isfinite(seconds) else "no end"
