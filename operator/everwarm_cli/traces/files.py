"""A file -> its header and its lines, whatever it is written in: CSV or JSON lines (gzipped or not), or Parquet."""

import contextlib
import csv
import gzip
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from everwarm_cli.errors import CommandError


@dataclass(frozen=True, slots=True)
class Table:
    """Names of the columns, and lines of cells under them, read as they are asked for."""

    header: list[str]
    lines: Iterator[Sequence[Any]]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Table]:
    """A table that is open within; its lines may raise ValueError, OSError or EOFError as they are read.

    Raises:
        CommandError: the file can't be read, or its package is missing.
    """
    with contextlib.ExitStack() as stack:
        try:
            table = _table(path, stack)
        except FileNotFoundError as error:
            raise CommandError(f"There is no file {path}.", exit_code=2) from error
        except (OSError, ValueError, EOFError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise CommandError(f"{path} can't be read: {reason}.", exit_code=2) from error
        yield table


def _table(path: Path, stack: contextlib.ExitStack) -> Table:
    name = path.name.removesuffix(".gz")
    if name.endswith((".parquet", ".pq")):
        return _parquet(path, stack)
    if path.suffix == ".gz":
        lines: Iterable[str] = io.TextIOWrapper(stack.enter_context(gzip.GzipFile(path)), "utf-8", newline="")
    else:
        lines = stack.enter_context(path.open(encoding="utf-8", newline=""))
    return _json_lines(lines) if name.endswith((".jsonl", ".ndjson")) else _csv(lines)


def _csv(lines: Iterable[str]) -> Table:
    rows = (row for row in csv.reader(lines) if row)
    return Table([name.strip().lstrip("\ufeff") for name in next(rows, [])], rows)


def _json_lines(lines: Iterable[str]) -> Table:
    objects = (json.loads(line) for line in lines if line.strip())
    first: Any = next(objects, {})
    if not isinstance(first, dict):
        raise ValueError("its lines are no JSON objects")  # noqa: TRY004  # what is wrong is the file, not a type
    names = list(first)
    cells = ([entry.get(name) for name in names] for entry in itertools.chain([first], objects))
    return Table(names, cells if names else iter(()))


def _parquet(path: Path, stack: contextlib.ExitStack) -> Table:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise CommandError("Parquet files need pyarrow: pip install 'everwarm[parquet]'.", exit_code=2) from error
    file = stack.enter_context(parquet.ParquetFile(path))
    batches = (batch.to_pydict() for batch in file.iter_batches())
    lines = (line for batch in batches for line in zip(*batch.values(), strict=True))
    return Table(list(file.schema_arrow.names), lines)
