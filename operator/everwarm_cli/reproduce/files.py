"""Results -> a folder: each figure as PNG, SVG and CSV, the tables as CSV, a page that shows it all."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from everwarm_cli import page
from everwarm_cli.errors import CommandError
from everwarm_cli.plots import style
from everwarm_cli.reproduce import figures, pages
from everwarm_cli.reproduce.adaptive import Control, Outcome
from everwarm_cli.reproduce.claims import Claim
from everwarm_cli.reproduce.results import Results
from everwarm_simulator.quantiles import quantile
from everwarm_simulator.report import Interval

_QUANTILES = tuple(part / 200 for part in range(1, 200))


def prepare(folder: Path) -> None:
    """Make the folder before minutes are spent on what goes there.

    Raises:
        CommandError: it can't be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "claims.csv").touch()
    except OSError as error:
        raise CommandError(f"--directory {folder} can't be written: {error.strerror}.", exit_code=2) from error


def write(folder: Path, results: Results, claims: Sequence[Claim]) -> list[str]:
    """Write all files; their names.

    Raises:
        CommandError: one can't be written.
    """
    drawn = figures.all_figures(results)
    for name, figure in drawn.items():
        for ending in (".png", ".svg"):
            style.save(figure, folder / f"{name}{ending}")
    tables = _tables(results, claims)
    for name, (head, rows) in tables.items():
        _write_csv(folder / name, head, rows)
    page.write(folder / "index.html", pages.render(results, claims, drawn))
    return [*(f"{name}{ending}" for name in drawn for ending in (".png", ".svg")), *tables, "index.html"]


def _write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(head)
            writer.writerows(rows)
    except OSError as error:
        raise CommandError(f"{path} can't be written: {error.strerror}.") from error


def _tables(results: Results, claims: Sequence[Claim]) -> dict[str, tuple[Sequence[str], Sequence[Sequence[Any]]]]:
    ends = ("mean", "low", "high")
    figure_2 = [
        (point.rate_per_second, *_ends(point.single_seconds), *_ends(point.serverless_seconds))
        for point in results.figure_2
    ]
    distribution = [
        (part, *(quantile(results.headline.latencies[control], part) for control in Control)) for part in _QUANTILES
    ]
    outcome_head = ("control", *(f"{name}_{end}" for name in _OUTCOME for end in ends))
    headline = [(control.value, *_flat(one)) for control, one in results.headline.outcomes.items()]
    by_expiry = [
        (expiry, control.value, *_flat(one)) for expiry, pair in results.by_expiry for control, one in pair.items()
    ]
    cases = [(name, control.value, *_flat(one)) for name, pair in results.cases for control, one in pair.items()]
    two = [f"{name}_p95_seconds_{end}" for name in ("single", "serverless") for end in ends]
    costs = ("requests_per_month", "lambda_usd", "fargate_usd", "ec2_usd")
    return {
        "claims.csv": (("claim", "paper", "reproduced", "verdict", "why"), [_claim(one) for one in claims]),
        "figure-2.csv": (("rate_per_second", *two), figure_2),
        "figure-3.csv": (costs, list(results.pricing.curves)),
        "adaptive.csv": (outcome_head, headline),
        "adaptive-latencies.csv": (("part", *(f"{control.value}_seconds" for control in Control)), distribution),
        "expiry.csv": (("expiry_seconds", *outcome_head), by_expiry),
        "other-loads.csv": (("load", *outcome_head), cases),
        "table-1.csv": (pages.TABLE_1_HEAD, [list(row) for row in pages.table_1(results)]),
    }


_OUTCOME = ("p95_seconds", "cold_fraction", "cold_delay_seconds", "provisioned", "instances")


def _flat(outcome: Outcome) -> list[float]:
    return [end for name in _OUTCOME for end in _ends(getattr(outcome, name))]


def _ends(interval: Interval) -> tuple[float, float, float]:
    return interval.mean, interval.low, interval.high


def _claim(claim: Claim) -> tuple[str, ...]:
    return claim.what, claim.paper, claim.found, claim.verdict.value, claim.why
