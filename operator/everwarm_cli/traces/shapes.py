"""A table with a measured load -> rates per interval, or the times of single requests. Told apart by the header alone.

    t_seconds,NAME[,NAME...]           requests per second (one column is one series; an empty cell is a hole)
    TIME,COUNT                         requests per interval: requests, count, value, invocations, or any `column`
    TIME,RATE                          requests per second: rate, rps, qps, requests_per_second
    TIME[,anything]                    one line per request: Azure LLM inference, Mooncake, BurstGPT
    ...,end_timestamp,duration         one line per request, by its end: Azure Functions 2021
    HashOwner,...,1,2,...,1440         requests per minute, one line per function, summed: Azure Functions 2019
    client,t,rate,...                  requests per second of many clients, summed: ServeGen

TIME is timestamp, time, ts, t, date, datetime or start_timestamp in any case: ISO 8601 (UTC unless it says otherwise),
or a number of seconds; `_ms`, `_us`, `_ns` say other units, as do numbers that can be nothing else. Lines of equal time
are summed. An interval that is left out is a hole, never a zero.
"""

import datetime as dt
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from everwarm_cli.errors import CommandError
from everwarm_cli.traces import files
from everwarm_cli.traces.files import Table
from everwarm_cli.traces.series import Rates, Requests, Trace

_TIMES = ("timestamp", "time", "ts", "t", "date", "datetime", "start_timestamp", "start", "arrived_at")
_COUNTS = ("requests", "count", "counts", "value", "invocations")
_RATES = ("rate", "rps", "qps", "requests_per_second", "req/s")
_UNITS = {"_seconds": 1.0, "_s": 1.0, "_ms": 1e-3, "_us": 1e-6, "_ns": 1e-9}
_EPOCHS = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3))  # a unix time over this is in that part of a second
_INTERVALS_SECONDS = (1.0, 3600.0)

Line = Sequence[Any]


def read(path: Path, column: str | None = None) -> Trace:
    """Read a trace; `column` chooses the series where a file has several (the first by default).

    Raises:
        CommandError: the file can't be read, or has none of the known shapes.
    """
    try:
        with files.opened(path) as table:
            return parse(table, column)
    except (ValueError, TypeError, OSError, EOFError) as error:
        raise CommandError(f"{path} is no trace that can be read: {error}.", exit_code=2) from error
    except IndexError as error:
        wrong = "a line has fewer cells than the header"
        raise CommandError(f"{path} is no trace that can be read: {wrong}.", exit_code=2) from error


def parse(table: Table, column: str | None = None) -> Trace:
    """The trace that a table holds.

    Raises:
        ValueError: it has none of the known shapes; the text says what was found.
    """
    names = [name.lower() for name in table.header]
    if names[:1] == ["t_seconds"]:
        return _rates(table, column)
    if names[:1] == ["hashowner"]:
        return _functions(table)
    if {"client", "t", "rate"} <= set(names):
        return _summed(table, "t", "rate", counts=False)
    if "end_timestamp" in names and "duration" in names:
        return _ended(table, names.index("end_timestamp"), names.index("duration"))
    time = next((position for position, name in enumerate(names) if _stem(name) in _TIMES), None)
    if time is None:
        found = ", ".join(table.header[:6]) or "nothing"
        raise ValueError(f"it has no column with times (timestamp, time, t_seconds, ...): its header is {found}")
    if column is not None and column not in table.header:
        raise ValueError(f"it has no column {column!r}, but {', '.join(table.header)}")
    value = column or next((name for name in table.header if name.lower() in _COUNTS + _RATES), None)
    if value is not None:
        return _summed(table, table.header[time], value, counts=value.lower() not in _RATES)
    return _requests(_times(table, time, names))


def _stem(name: str) -> str:
    """The name without the unit at its end."""
    unit = _unit(name)
    return name.removesuffix(unit) if unit else name


def _unit(name: str) -> str | None:
    return next((unit for unit in _UNITS if name.endswith(unit)), None)


def _rates(table: Table, column: str | None) -> Rates:
    names = table.header[1:]
    if column is not None and column not in names:
        raise ValueError(f"it has no column {column!r}, but {', '.join(names)}")
    position = 1 if column is None else table.header.index(column)
    lines = [(float(line[0]), _number(line[position])) for line in table.lines]
    while lines and math.isnan(lines[-1][1]):  # a series that ends before the others is no hole
        lines.pop()
    return _by_interval(lines, counts=False)


def _functions(table: Table) -> Rates:
    minutes = [position for position, name in enumerate(table.header) if name.isdigit()]
    totals = [0.0] * len(minutes)
    for line in table.lines:
        for minute, position in enumerate(minutes):
            totals[minute] += float(line[position] or 0)
    return Rates(60.0, [total / 60 for total in totals])


def _summed(table: Table, time: str, value: str, *, counts: bool) -> Rates:
    at, amount = table.header.index(time), table.header.index(value)
    clock = _clock(time.lower())
    totals: dict[float, float] = {}
    for line in table.lines:
        moment = clock(line[at])
        totals[moment] = totals.get(moment, 0.0) + _number(line[amount])
    return _by_interval(totals.items(), counts=counts)


def _by_interval(values: Iterable[tuple[float, float]], *, counts: bool) -> Rates:
    """Values by the time at which their interval begins -> rates without gaps, holes where no value was."""
    moments = sorted(values)
    if len(moments) < 2:
        raise ValueError("it has fewer than two lines with different times under its header")
    interval = statistics.median(after[0] - before[0] for before, after in pairwise(moments))
    shortest, longest = _INTERVALS_SECONDS
    if not shortest <= interval <= longest:
        raise ValueError(f"its intervals are {interval:g} s; what can be played are {shortest:g} s to {longest:g} s")
    begin = moments[0][0]
    per_second = [math.nan] * (round((moments[-1][0] - begin) / interval) + 1)
    for at, value in moments:
        per_second[round((at - begin) / interval)] = value / interval if counts else value
    if any(rate < 0 or math.isinf(rate) for rate in per_second):
        raise ValueError("it has a rate that is negative or infinite; leave a cell empty where nothing was measured")
    return Rates(interval, per_second, begin)


def _times(table: Table, position: int, names: list[str]) -> list[float]:
    # Mooncake's own files say `timestamp` and mean milliseconds.
    clock = _clock("timestamp_ms" if "input_length" in names else names[position])
    return [clock(line[position]) for line in table.lines]


def _ended(table: Table, end: int, duration: int) -> Requests:
    pairs = sorted((float(line[end]) - float(line[duration]), float(line[duration])) for line in table.lines)
    times = _requests([begin for begin, _ in pairs])
    return Requests(times.at_seconds, times.begin_seconds, [took for _, took in pairs])


def _requests(times: list[float]) -> Requests:
    if len(times) < 2:
        raise ValueError("it has fewer than two requests under its header")
    if not all(map(math.isfinite, times)):
        raise ValueError("it has a request without a time")
    times = sorted(times)
    return Requests([at - times[0] for at in times], times[0])


def _number(cell: Any) -> float:
    """A cell's number; nan where it is empty."""
    return math.nan if cell is None or cell == "" else float(cell)


def _clock(name: str) -> Callable[[Any], float]:
    """How the cells of a column of times become seconds."""
    factor = _UNITS[unit] if (unit := _unit(name)) else None

    def seconds(cell: Any) -> float:
        if isinstance(cell, dt.datetime):
            return (cell if cell.tzinfo else cell.replace(tzinfo=dt.UTC)).timestamp()
        try:
            value = float(cell)
        except ValueError:
            return _iso_seconds(str(cell))
        return value * (factor or next((part for least, part in _EPOCHS if abs(value) > least), 1.0))

    return seconds


def _iso_seconds(text: str) -> float:
    """Seconds of unix time; fractions of any length, of which a datetime keeps microseconds."""
    whole, _, rest = text.strip().partition(".")
    digits = "".join(_digits(rest))
    try:
        moment = dt.datetime.fromisoformat(whole + rest[len(digits) :])
    except ValueError as error:
        raise ValueError(f"{text!r} is no time; write ISO 8601 or a number of seconds") from error
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return zoned.timestamp() + (float(f"0.{digits}") if digits else 0.0)


def _digits(text: str) -> Iterator[str]:
    for character in text:
        if not character.isdigit():
            return
        yield character
