"""A file with a measured load -> rates per interval, or the times of single requests. CSV, gzipped or not.

Four shapes are told apart by their header:

    t_seconds,NAME[,NAME...]       requests per second by interval (one column is one series; an empty cell is a hole)
    timestamp,COUNT                requests per interval; a timestamp that is left out is a hole
    TIMESTAMP,... | timestamp_ms   one line per request (Azure LLM inference, Mooncake)
    HashOwner,...,1,2,...,1440     requests per minute, one line per function, summed (Azure Functions 2019)
"""

import csv
import datetime as dt
import gzip
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from everwarm_cli.errors import CommandError


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests per second, interval by interval; nan is a hole."""

    interval_seconds: float
    per_second: list[float]


@dataclass(frozen=True, slots=True)
class Requests:
    """When each request came, in seconds from the first, in order."""

    at_seconds: list[float]


def read(path: Path, column: str | None = None) -> Rates | Requests:
    """Read a trace; `column` chooses the series where a file has several (the first by default).

    Raises:
        CommandError: the file can't be read, or has none of the known shapes.
    """
    try:
        rows = list(_rows(path))
    except (OSError, UnicodeDecodeError, EOFError, csv.Error) as error:
        raise CommandError(f"{path} can't be read as a CSV file: {error}", exit_code=2) from error
    if len(rows) < 3:
        raise CommandError(f"{path} has no header with at least two lines under it.", exit_code=2)
    header, lines = rows[0], rows[1:]
    try:
        return _parse(header, lines, column)
    except (ValueError, IndexError) as error:
        raise CommandError(f"{path} is no trace that can be read: {error}", exit_code=2) from error


def _rows(path: Path) -> Iterator[list[str]]:
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
        yield from (row for row in csv.reader(file) if row)


def _parse(header: list[str], lines: list[list[str]], column: str | None) -> Rates | Requests:
    first = header[0]
    if first == "t_seconds":
        return _rates(header, lines, column)
    if first == "HashOwner":
        minutes = [position for position, name in enumerate(header) if name.isdigit()]
        return Rates(60.0, [sum(float(line[position] or 0) for line in lines) / 60 for position in minutes])
    if first == "timestamp_ms":
        return _requests([float(line[0]) / 1000 for line in lines])
    if first == "TIMESTAMP":
        return _requests([_time(line[0]) for line in lines])
    if first == "timestamp" and len(header) == 2:
        return _counts([_time(line[0]) for line in lines], [float(line[1]) for line in lines])
    raise ValueError(f"its header begins with {first!r}; known are t_seconds, timestamp, timestamp_ms and HashOwner")


def _rates(header: list[str], lines: list[list[str]], column: str | None) -> Rates:
    names = header[1:]
    if column is not None and column not in names:
        raise ValueError(f"it has no column {column!r}, but {', '.join(names)}")
    position = 1 if column is None else header.index(column)
    values = [float(line[position]) if line[position] else math.nan for line in lines]
    while values and math.isnan(values[-1]):  # a series that ends before the others is no hole
        values.pop()
    return Rates(float(lines[1][0]) - float(lines[0][0]), values)


def _counts(times: list[float], counts: list[float]) -> Rates:
    interval = statistics.median(after - before for before, after in pairwise(times))
    if interval <= 0:
        raise ValueError("its timestamps do not rise")
    per_second = [math.nan] * (round((times[-1] - times[0]) / interval) + 1)
    for at, count in zip(times, counts, strict=True):
        per_second[round((at - times[0]) / interval)] = count / interval
    return Rates(interval, per_second)


def _requests(times: list[float]) -> Requests:
    times = sorted(times)
    return Requests([at - times[0] for at in times])


def _time(text: str) -> float:
    """Seconds; fractions of any length, of which a datetime keeps microseconds. Without a zone it is UTC."""
    whole, _, fraction = text.partition(".")
    moment = dt.datetime.fromisoformat(whole)
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return zoned.timestamp() + (float(f"0.{fraction}") if fraction else 0.0)
