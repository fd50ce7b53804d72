"""Measures with goals, as text for people and as a JSON list for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure, and what it should be at least, or at most; a goal of None: nobody asks for anything."""

    name: str
    got: float
    goal: float | None
    unit: str
    at_most: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether it is good enough; `None` without a goal."""
        if self.goal is None:
            return None
        return self.got <= self.goal if self.at_most else self.got >= self.goal


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest cell; the first is aligned to the left, the others to the right."""
    cells = [list(heads), *map(list, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(line))
        for line in (list(zip(row, widths, strict=True)) for row in cells)
    )


def goals(measures: Sequence[Measure], digits: int = 2) -> str:
    """One line for each measure that has a goal, with so many digits after the point."""
    heads = ("goal", "wanted", "got", "")
    rows = [
        (
            m.name,
            f"{'<=' if m.at_most else '>='} {m.goal:g} {m.unit}",
            f"{m.got:.{digits}f}",
            "holds" if m.holds else "MISSED",
        )
        for m in measures
        if m.goal is not None
    ]
    return table(heads, rows)


def exit_code(measures: Sequence[Measure]) -> int:
    """0 where no goal is missed."""
    return 1 if any(measure.holds is False for measure in measures) else 0


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
