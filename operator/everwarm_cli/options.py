"""Options that several commands share, as the types that typer reads: durations, rates, and how the answer is put."""

import enum
import math
import re
from typing import Any

import typer

from everwarm_cli import durations

_PER_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "": 1.0}
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:/\s*(s|m|min|h)|)", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(%|)", re.ASCII)


class Output(enum.StrEnum):
    """How the answer is put on stdout."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Pattern(enum.StrEnum):
    """Loads that need no file."""

    POISSON = "poisson"
    BURSTS = "bursts"


def duration(text: str | float) -> float:
    """`300ms` -> 0.3; what is none is a wrong argument."""
    try:
        return durations.seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def rate(text: str | float) -> float:
    """`40/s`, `90/min` or `2.5` (per second) -> requests per second; what is none is a wrong argument."""
    match = _RATE.fullmatch(str(text).strip())
    value = float(match[1]) / _PER_SECONDS[match[2] or ""] if match else math.nan
    if not (math.isfinite(value) and value > 0):
        raise typer.BadParameter(f"{text!r} is no rate over zero; write for example 40/s, 90/min or 2.5")
    return value


def part(text: str | float) -> float:
    """`95%` or `0.95` -> 0.95; what is not within 0 and 1 is a wrong argument."""
    match = _PART.fullmatch(str(text).strip())
    value = float(match[1]) / (100 if match[2] else 1) if match else math.nan
    if not 0 < value < 1:
        raise typer.BadParameter(f"{text!r} is no part of all requests; write for example 95% or 0.99")
    return value


def duration_option(help_text: str, shown: str | None = None) -> Any:
    """An option that takes a duration; `shown` is its default as people write it."""
    return typer.Option(help=help_text, parser=duration, metavar="DURATION", show_default=shown or False)


def rate_option(help_text: str, shown: str | None = None) -> Any:
    """An option that takes a rate; `shown` is its default as people write it."""
    return typer.Option(help=help_text, parser=rate, metavar="RATE", show_default=shown or False)


def part_option(help_text: str, shown: str | None = None) -> Any:
    """An option that takes a part of all requests; `shown` is its default as people write it."""
    return typer.Option(help=help_text, parser=part, metavar="PART", show_default=shown or False)


def output_option() -> Any:
    """`-o`, of every command that prints data."""
    return typer.Option("--output", "-o", help="table, json or yaml.")
