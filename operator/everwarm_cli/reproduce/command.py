"""`everwarm reproduce`: every figure and table of the paper, with what was assumed and where it contradicts itself."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from everwarm_cli import output as outputs
from everwarm_cli import progress, simulate
from everwarm_cli.options import Output, output_option
from everwarm_cli.plots import style

if TYPE_CHECKING:  # numpy comes with an extra, and costs a tenth of a second
    from everwarm_cli.reproduce.claims import Claim
    from everwarm_cli.reproduce.results import Results

_STYLES = {"holds": "green", "only if": "yellow", "fails": "red", "unclear": "dim"}


def reproduce(
    directory: Annotated[Path, typer.Option(help="Where figures, tables and the page go.")] = Path("reproduction"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer seeds and hours: seconds, and wider intervals.")
    ] = False,
    output: Annotated[Output, output_option()] = Output.TABLE,
) -> None:
    """Redraw the paper's figures and tables; say which claims hold.

    The paper is Naayini 2024, whose Algorithm 1 is the policy paper. Takes a minute, or seconds with --quick.
    """
    modules = simulate.modules("reproduce", "reproduce.results", "reproduce.claims", "reproduce.files")
    results, claims, files = modules
    style.require("everwarm reproduce")
    files.prepare(directory)
    assumptions = simulate.modules("reproduce", "reproduce.assumptions")[0]
    begun = time.monotonic()
    with progress.bar("reproducing", results.PARTS) as done:
        found = results.compute(assumptions.QUICK if quick else assumptions.FULL, done)
    judged = claims.claims(found)
    names = files.write(directory, found, judged)
    if output is not Output.TABLE:
        outputs.write(_document(found, judged, directory, names), output)
        return
    _print(Console(), found, judged)
    spent = f"{time.monotonic() - begun:.0f} s"
    outputs.prose(
        Console(), f"\n{len(names)} files in {directory} after {spent}: begin with {directory / 'index.html'}"
    )


def _print(console: Console, results: "Results", claims: "list[Claim]") -> None:
    from everwarm_cli.reproduce import pages

    outputs.prose(console, f"{pages.lead(results, claims)}\n")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("claim", "paper", "reproduced", "verdict"):
        table.add_column(head, no_wrap=head == "verdict")
    for claim in claims:
        verdict = Text(claim.verdict.value, _STYLES[claim.verdict.value])
        table.add_row(claim.what, claim.paper, claim.found, verdict)
    console.print(table)
    console.print()
    for claim in claims:
        outputs.prose(console, f"{claim.what}: {claim.why}", "dim")


def _document(results: "Results", claims: "list[Claim]", directory: Path, names: list[str]) -> dict[str, Any]:
    from everwarm_cli.reproduce.assumptions import PAPER

    def outcomes(pair: Any) -> dict[str, Any]:
        return {control.value: asdict(one) for control, one in pair.items()}

    return {
        "claims": [asdict(claim) | {"verdict": claim.verdict.value} for claim in claims],
        "headline": outcomes(results.headline.outcomes),
        "by_expiry": [{"expiry_seconds": expiry, **outcomes(pair)} for expiry, pair in results.by_expiry],
        "other_loads": [{"load": name, **outcomes(pair)} for name, pair in results.cases],
        "figure_2": [asdict(point) for point in results.figure_2],
        "pricing": asdict(results.pricing),
        "assumptions": asdict(PAPER),
        "efforts": asdict(results.efforts),
        "files": [str(directory / name) for name in names],
    }
