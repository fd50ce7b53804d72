"""Measures with goals, as text for people and as a JSON list for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure, and what it should be at least."""

    name: str
    got: float
    goal: float
    unit: str

    @property
    def holds(self) -> bool:
        """Whether it is good enough."""
        return self.got >= self.goal


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest cell; the first is aligned to the left, the others to the right."""
    cells = [list(heads), *map(list, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(line))
        for line in (list(zip(row, widths, strict=True)) for row in cells)
    )


def goals(measures: Sequence[Measure]) -> str:
    """One line for each measure."""
    heads = ("goal", "wanted", "got", "")
    rows = [(m.name, f">= {m.goal:g} {m.unit}", f"{m.got:.2f}", "holds" if m.holds else "MISSED") for m in measures]
    return table(heads, rows)


def write_json(measures: Sequence[Measure], path: Path) -> None:
    """A list of name, got, goal, unit, holds."""
    document = [asdict(measure) | {"holds": measure.holds} for measure in measures]
    path.write_text(json.dumps(document, indent=2) + "\n")
