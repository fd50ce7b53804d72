"""`everwarm traces`: what can be played without a file of one's own."""

from typing import Annotated, Any

from rich.console import Console
from rich.table import Table

from everwarm_cli import output as outputs
from everwarm_cli.options import Output, output_option
from everwarm_cli.traces.series import Rates
from everwarm_cli.traces.shipped import TRACES
from everwarm_planner import wording


def traces(output: Annotated[Output, output_option()] = Output.TABLE) -> None:
    """List the traces that simulate and backtest can play."""
    rows = _rows()
    if output is not Output.TABLE:
        outputs.write(rows, output)
        return
    table = Table("name", "length", "every", "rate/s", "what", "licence", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for row in rows:
        interval = row["interval_seconds"]
        every = "request" if interval is None else wording.duration(interval)
        rate = f"{row['mean_per_second']:.3g}" if row["mean_per_second"] < 1000 else f"{row['mean_per_second']:.0f}"
        table.add_row(row["name"], wording.duration(row["seconds"]), every, rate, row["what"], row["licence"])
    Console().print(table)


def _rows() -> list[dict[str, Any]]:
    rows = []
    for shipped in TRACES:
        trace = shipped.read()
        rows.append(
            {
                "name": shipped.name,
                "seconds": trace.horizon_seconds,
                "interval_seconds": trace.interval_seconds if isinstance(trace, Rates) else None,
                "mean_per_second": trace.mean_per_second,
                "missing_intervals": trace.missing if isinstance(trace, Rates) else None,
                "dispersion": shipped.dispersion if isinstance(trace, Rates) else None,
                "what": shipped.what,
                "licence": shipped.licence,
            }
        )
    return rows
