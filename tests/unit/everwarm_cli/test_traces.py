"""Trace files: each known shape, its holes, and what is refused."""

import gzip
import math
from pathlib import Path

import pytest

from everwarm_cli import traces
from everwarm_cli.errors import CommandError
from everwarm_cli.traces import Rates, Requests


def written(directory: Path, text: str, name: str = "trace.csv") -> Path:
    path = directory / name
    path.write_text(text)
    return path


RATES = "t_seconds,large,small\n0,2.5,10\n600,,11\n1200,3.5,\n"


def test_rates_with_a_hole(tmp_path: Path) -> None:
    read = traces.read(written(tmp_path, RATES))
    assert isinstance(read, Rates)
    assert (read.interval_seconds, read.per_second[0], read.per_second[2]) == (600.0, 2.5, 3.5)
    assert math.isnan(read.per_second[1])


def test_a_chosen_column_ends_where_its_values_do(tmp_path: Path) -> None:
    assert traces.read(written(tmp_path, RATES), "small") == Rates(600.0, [10.0, 11.0])


def test_counts_become_rates_and_a_left_out_timestamp_a_hole(tmp_path: Path) -> None:
    text = "timestamp,value\n2014-04-10 00:04:00,300\n2014-04-10 00:09:00,600\n2014-04-10 00:14:00,0\n"
    read = traces.read(written(tmp_path, text + "2014-04-10 00:24:00,30\n2014-04-10 00:29:00,30\n"))
    assert isinstance(read, Rates)
    assert read.interval_seconds == 300.0
    assert read.per_second[:3] == [1.0, 2.0, 0.0]
    assert math.isnan(read.per_second[3])
    assert read.per_second[4:] == [0.1, 0.1]


def test_single_requests_of_azure_and_of_mooncake(tmp_path: Path) -> None:
    azure = "TIMESTAMP,ContextTokens\n2023-11-16 18:15:46.6805900,374\n2023-11-16 18:15:50.9951690,396\n"
    read = traces.read(written(tmp_path, azure + "2023-11-16 18:15:46.9805900,3\n"))
    assert isinstance(read, Requests)
    assert read.at_seconds == pytest.approx([0.0, 0.3, 4.314579], abs=1e-6)
    mooncake = "timestamp_ms,input_length\n1000,6758\n1250,7322\n"
    assert traces.read(written(tmp_path, mooncake)) == Requests([0.0, 0.25])


def test_functions_per_minute_are_summed_and_gzip_is_read(tmp_path: Path) -> None:
    path = tmp_path / "functions.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write("HashOwner,HashApp,HashFunction,Trigger,1,2,3\na,b,c,http,60,0,\nd,e,f,queue,60,30,6\n")
    assert traces.read(path) == Rates(60.0, [2.0, 0.5, 0.1])


@pytest.mark.parametrize(
    ("text", "column", "sentence"),
    [
        ("t_seconds,a\n0,1\n600,2\n", "b", "it has no column 'b', but a"),
        ("when,what\n1,2\n3,4\n", None, "its header begins with 'when'; known are t_seconds"),
        ("timestamp,value\n2014-04-10,1\n2014-04-10,2\n", None, "its timestamps do not rise"),
        ("timestamp,value\nyesterday,1\ntoday,2\n", None, "Invalid isoformat string"),
        ("t_seconds,a\n0\n600,2\n", None, "list index out of range"),
        ("t_seconds,a\n", None, "has no header with at least two lines under it"),
    ],
)
def test_what_is_no_trace_is_refused(text: str, column: str | None, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=sentence) as refused:
        traces.read(written(tmp_path, text), column)
    assert refused.value.exit_code == 2


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="can't be read as a CSV file"):
        traces.read(tmp_path / "nothing.csv")
    with pytest.raises(CommandError, match="can't be read as a CSV file"):
        traces.read(written(tmp_path, "plain", "broken.csv.gz"))
