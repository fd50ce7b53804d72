"""Measures with goals, as text for people and as a JSON list for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure, and what it should be at least, or at most."""

    name: str
    got: float
    goal: float
    unit: str
    at_most: bool = False

    @property
    def holds(self) -> bool:
        """Whether it is good enough."""
        return self.got <= self.goal if self.at_most else self.got >= self.goal


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
    rows = [
        (m.name, f"{'<=' if m.at_most else '>='} {m.goal:g} {m.unit}", f"{m.got:.2f}", "holds" if m.holds else "MISSED")
        for m in measures
    ]
    return table(heads, rows)


def write_json(measures: Sequence[Measure], path: Path) -> None:
    """A list of name, got, goal, unit, holds."""
    document = [{"name": m.name, "got": m.got, "goal": m.goal, "unit": m.unit, "holds": m.holds} for m in measures]
    path.write_text(json.dumps(document, indent=2) + "\n")


def collect(files: Mapping[str, Path], path: Path) -> None:
    """The lists of several benches as one, each entry with its bench's name; files that are missing are left out."""
    entries = [
        {"bench": name} | entry
        for name, file in files.items()
        if file.exists()
        for entry in json.loads(file.read_text())
    ]
    path.write_text(json.dumps(entries, indent=2) + "\n")
