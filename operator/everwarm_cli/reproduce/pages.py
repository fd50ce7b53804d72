"""Results -> the page that shows them: claims, figures, Table I, and every assumption."""

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from everwarm_cli import page
from everwarm_cli.numbers import around, around_seconds, number
from everwarm_cli.page import Cell, Part, Picture, Points, Section, Table
from everwarm_cli.plots import style
from everwarm_cli.reproduce.adaptive import Control, Outcome
from everwarm_cli.reproduce.assumptions import PAPER
from everwarm_cli.reproduce.claims import Claim, Verdict
from everwarm_cli.reproduce.pricing import PAPER_COLD, PAPER_IDLE_USD, PAPER_P95_SECONDS, PAPER_USD
from everwarm_cli.reproduce.results import Results
from everwarm_planner.cost.prices import SOURCES, US_EAST_1

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Naayini 2024, reproduced"
_KINDS = {Verdict.HOLDS: "good", Verdict.FAILS: "bad"}
TABLE_1_HEAD = (
    "platform",
    "cold start (paper)",
    "p95 (paper)",
    "p95 of the same work",
    "USD a month (paper)",
    "USD a month",
    "idle (paper)",
    "idle",
)


def lead(results: Results, claims: Sequence[Claim]) -> str:
    """What came out, in two sentences."""
    counts = {verdict: sum(claim.verdict is verdict for claim in claims) for verdict in Verdict}
    headline = results.headline.outcomes
    return (
        f"The headline can be reproduced: p95 {around_seconds(headline[Control.REACTIVE].p95_seconds)} reactive, "
        f"{around_seconds(headline[Control.ADAPTIVE].p95_seconds)} adaptive. Of {len(claims)} claims "
        f"{counts[Verdict.HOLDS]} hold, {counts[Verdict.CONDITIONAL]} hold under a condition that the paper does not "
        f"state, {counts[Verdict.FAILS]} fail, {counts[Verdict.UNKNOWN]} can't be checked."
    )


def render(results: Results, claims: Sequence[Claim], drawn: "dict[str, Figure]") -> str:
    """The whole page."""
    rows: list[list[str | Cell]] = [
        [one.what, one.paper, one.found, Cell(one.verdict.value, _KINDS.get(one.verdict, "")), one.why]
        for one in claims
    ]
    table = Table(
        "Each claim beside what came out", ("claim", "paper", "reproduced", "verdict", "why"), rows, frozenset(range(5))
    )
    pictures = {name: style.inline(figure, name) for name, figure in drawn.items()}
    sections = [
        Section("Claims", [table]),
        Section("Reactive against adaptive", [*_headline(results), _picture("adaptive", pictures, results)]),
        Section("Where it holds", [*_where(results), _picture("expiry", pictures, results)]),
        Section("Figure 2", [_picture("figure-2", pictures, results)]),
        Section("Figure 3", [_picture("figure-3", pictures, results)]),
        Section("Table I", _table_1(results)),
        Section("What was assumed", _assumptions()),
    ]
    return page.render(TITLE, lead(results, claims), sections)


def table_1(results: Results) -> list[tuple[str, ...]]:
    """Table I beside what the price list says of one consistent configuration."""
    priced = results.pricing
    warm = f"{priced.ec2_p95_seconds * 1000:.0f} ms"
    found = {
        "Lambda": (warm, f"{number(PAPER_USD['Lambda'])} at {priced.lambda_requests / 1e6:.1f} million requests", "0"),
        "EC2": (warm, number(priced.ec2_usd, 4), number(priced.ec2_usd, 4)),
        "Fargate": (
            warm,
            f"{number(PAPER_USD['Fargate'])} at {number(priced.fargate_tasks)} tasks",
            number(priced.fargate_idle_usd),
        ),
    }
    return [
        (
            name,
            PAPER_COLD[name],
            f"{PAPER_P95_SECONDS[name] * 1000:.0f} ms",
            p95,
            number(PAPER_USD[name]),
            usd,
            number(PAPER_IDLE_USD[name]),
            idle,
        )
        for name, (p95, usd, idle) in found.items()
    ]


def _picture(name: str, pictures: dict[str, str], results: Results) -> Picture:
    caption, description = _words(name, results)
    return Picture(pictures[name], caption, description)


def _words(name: str, results: Results) -> tuple[str, str]:
    """What a figure shows: for who sees it, and for who does not."""
    headline, priced = results.headline.outcomes, results.pricing
    last = results.figure_2[-1]
    reactive, adaptive = headline[Control.REACTIVE], headline[Control.ADAPTIVE]
    words = {
        "adaptive": (
            "Latencies of the first seed, dots at its p95; the legend has the mean over all seeds. The p95 crosses "
            "from the cold requests to the warm ones; with one instance always warm it does so without Algorithm 1.",
            f"Cumulative latencies: p95 {around_seconds(reactive.p95_seconds)} reactive, "
            f"{around_seconds(adaptive.p95_seconds)} adaptive, "
            f"{around_seconds(headline[Control.MINIMUM].p95_seconds)} with one instance kept warm.",
        ),
        "expiry": (
            "The same load where idle instances live longer; bands are 95 % intervals over the seeds.",
            "p95 and cold requests by expiry: "
            + "; ".join(
                f"{expiry:g} s: {around_seconds(pair[Control.REACTIVE].p95_seconds)} reactive and "
                f"{around_seconds(pair[Control.ADAPTIVE].p95_seconds)} adaptive"
                for expiry, pair in results.by_expiry
            )
            + ".",
        ),
        "figure-2": (
            f"Requests of {PAPER.service_seconds * 1000:g} ms on average. Bands are 95 % intervals over the seeds.",
            f"p95 by rate: one server reaches {around_seconds(last.single_seconds)} at {last.rate_per_second:g}/s, "
            f"function instances stay at {around_seconds(last.serverless_seconds)}.",
        ),
        "figure-3": (
            f"List prices of {US_EAST_1.as_of}, {US_EAST_1.region}; dots are the paper's figures at the load that "
            "explains them.",
            f"USD a month by requests: Lambda rises by {number(priced.lambda_usd_per_million, 4)} per million, "
            f"EC2 stays at {number(priced.ec2_usd, 4)}, Fargate begins at {number(priced.fargate_idle_usd)}.",
        ),
    }
    return words[name]


def _headline(results: Results) -> list[Part]:
    effort = results.efforts.headline
    rows = [[control.value, *_outcome(one)] for control, one in results.headline.outcomes.items()]
    caption = f"{effort.seeds} seeds of {effort.hours:g} hours each; ± is the 95 % interval over them"
    return [Table(caption, ("provisioning", *_OUTCOME_HEAD), rows)]


def _where(results: Results) -> list[Part]:
    effort = results.efforts.rest
    pairs = [(f"{name}, {control.value}", one) for name, pair in results.cases for control, one in pair.items()]
    caption = f"Other loads at an expiry of 10 minutes; {effort.seeds} seeds of {effort.hours:g} hours"
    return [Table(caption, ("load", *_OUTCOME_HEAD), [[name, *_outcome(one)] for name, one in pairs])]


_OUTCOME_HEAD = ("p95", "cold (%)", "cold delay per request", "kept warm (mean)", "instances (mean)")


def _outcome(one: Outcome) -> list[str]:
    return [
        around_seconds(one.p95_seconds),
        around(one.cold_fraction, 100),
        around_seconds(one.cold_delay_seconds),
        around(one.provisioned),
        around(one.instances),
    ]


def _table_1(results: Results) -> list[Part]:
    rows = [list(row) for row in table_1(results)]
    return [Table("The paper's figures beside what the price list says", TABLE_1_HEAD, rows, frozenset({1}))]


def _assumptions() -> list[Part]:
    values = [[field.name.replace("_", " "), f"{getattr(PAPER, field.name):g}"] for field in fields(PAPER)]
    sources = [f"{name}: {source}." for name, source in SOURCES.items()]
    seeds = "Equal versions of everwarm give equal numbers: seeds are 0, 1, 2 and so on."
    return [
        "The paper gives no workload, rate, duration, memory size, seed, interval or date of its prices. "
        f"These values are ours, one consistent set and not the only one. {seeds}",
        Table("The preset `paper`", ("parameter", "value"), values),
        Points(sources),
    ]
