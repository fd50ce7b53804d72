"""Trace files: each known shape, its holes, and what is refused; the traces that ship with the package."""

import datetime as dt
import gzip
import json
import math
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from everwarm_cli import main
from everwarm_cli.errors import CommandError
from everwarm_cli.traces import shapes, shipped
from everwarm_cli.traces.series import Rates, Requests


def written(directory: Path, text: str, name: str = "trace.csv") -> Path:
    path = directory / name
    path.write_text(text)
    return path


RATES = "t_seconds,large,small\n0,2.5,10\n600,,11\n1200,3.5,\n"


def test_rates_with_a_hole(tmp_path: Path) -> None:
    read = shapes.read(written(tmp_path, RATES))
    assert isinstance(read, Rates)
    assert (read.interval_seconds, read.per_second[0], read.per_second[2]) == (600.0, 2.5, 3.5)
    assert math.isnan(read.per_second[1])
    assert (read.missing, read.mean_per_second, read.horizon_seconds) == (1, 3.0, 1800.0)


def test_a_chosen_column_ends_where_its_values_do(tmp_path: Path) -> None:
    assert shapes.read(written(tmp_path, RATES), "small") == Rates(600.0, [10.0, 11.0])


def test_counts_become_rates_and_a_left_out_timestamp_a_hole(tmp_path: Path) -> None:
    text = "timestamp,value\n2014-04-10 00:04:00,300\n2014-04-10 00:09:00,600\n2014-04-10 00:14:00,0\n"
    read = shapes.read(written(tmp_path, text + "2014-04-10 00:24:00,30\n2014-04-10 00:29:00,30\n"))
    assert isinstance(read, Rates)
    assert read.interval_seconds == 300.0
    assert read.begin_seconds == dt.datetime(2014, 4, 10, 0, 4, tzinfo=dt.UTC).timestamp()
    assert read.per_second[:3] == [1.0, 2.0, 0.0]
    assert math.isnan(read.per_second[3])
    assert read.per_second[4:] == [0.1, 0.1]


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("Time,rps\n0,4\n60,5\n", None, Rates(60.0, [4.0, 5.0])),
        ("ts_ms,count\n120000,6\n180000,12\n", None, Rates(60.0, [0.1, 0.2], 120.0)),
        ("time,model,requests\n0,a,60\n0,b,30\n60,a,60\n60,b,60\n", None, Rates(60.0, [1.5, 2.0])),
        ("time,hits,errors\n1,5,0\n2,7,1\n3,6,0\n", "hits", Rates(1.0, [5.0, 7.0, 6.0], 1.0)),
        ("timestamp,count\n1700000000000,5\n1700000001000,6\n", None, Rates(1.0, [5.0, 6.0], 1.7e9)),
        ("client,t,rate,cv\n0,0,1.5,2\n4,0,0.5,1\n0,600,3,2\n", None, Rates(600.0, [2.0, 3.0])),
    ],
    ids=["rates", "milliseconds", "lines of equal time", "named column", "epoch milliseconds", "ServeGen's clients"],
)
def test_columns_are_known_by_their_names(text: str, column: str | None, expected: Rates, tmp_path: Path) -> None:
    assert shapes.read(written(tmp_path, text), column) == expected


def test_single_requests_of_azure(tmp_path: Path) -> None:
    azure = "TIMESTAMP,ContextTokens\n2023-11-16 18:15:46.6805900,374\n2023-11-16 18:15:50.9951690,396\n"
    read = shapes.read(written(tmp_path, azure + "2023-11-16 18:15:46.9805900,3\n"))
    assert isinstance(read, Requests)
    assert read.at_seconds == pytest.approx([0.0, 0.3, 4.314579], abs=1e-6)
    later = "TIMESTAMP,ContextTokens\n2024-05-10 00:00:00.009930+00:00,1\n2024-05-10 00:00:01.009930+00:00,2\n"
    assert shapes.read(written(tmp_path, later)).horizon_seconds == 2.0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mooncake.csv", "timestamp_ms,input_length\n1000,6758\n1250,7322\n"),
        ("mooncake.jsonl", '{"timestamp": 1000, "input_length": 6758}\n{"timestamp": 1250, "input_length": 7322}\n'),
        ("burstgpt.csv", "Timestamp,Model,Request tokens,Log Type\n1,ChatGPT,472,x\n1.25,GPT-4,18,y\n"),
    ],
)
def test_single_requests_of_others(name: str, text: str, tmp_path: Path) -> None:
    assert shapes.read(written(tmp_path, text, name)) == Requests([0.0, 0.25], 1.0)


def test_requests_known_by_their_end_keep_their_durations(tmp_path: Path) -> None:
    text = "app,func,end_timestamp,duration\na,b,12.0,0.5\na,c,11.0,0.75\n"
    assert shapes.read(written(tmp_path, text)) == Requests([0.0, 1.25], 10.25, [0.75, 0.5])


def test_functions_per_minute_are_summed_and_gzip_is_read(tmp_path: Path) -> None:
    path = tmp_path / "functions.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write("HashOwner,HashApp,HashFunction,Trigger,1,2,3\na,b,c,http,60,0,\nd,e,f,queue,60,30,6\n")
    assert shapes.read(path) == Rates(60.0, [2.0, 0.5, 0.1])


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    at = [dt.datetime(2026, 1, 1, 0, minute, tzinfo=dt.UTC) for minute in range(4)]
    path = tmp_path / "counts.parquet"
    parquet.write_table(pa.table({"timestamp": at, "requests": [60, 120, None, 30]}), path)
    text = "timestamp,requests\n" + "".join(
        f"{time.isoformat()},{count}\n" for time, count in zip(at, ["60", "120", "", "30"], strict=True)
    )
    from_parquet, from_csv = shapes.read(path), shapes.read(written(tmp_path, text))
    assert repr(from_parquet) == repr(from_csv) == repr(Rates(60.0, [1.0, 2.0, math.nan, 0.5], at[0].timestamp()))


def test_parquet_of_single_requests(tmp_path: Path) -> None:
    path = tmp_path / "requests.parquet"
    parquet.write_table(pa.table({"tokens": [1, 2, 3], "timestamp": [10.5, 10.0, 12.0]}), path)
    assert shapes.read(path) == Requests([0.0, 0.5, 2.0], 10.0)


@pytest.mark.parametrize(
    ("text", "column", "sentence"),
    [
        ("t_seconds,a\n0,1\n600,2\n", "b", "it has no column 'b', but a"),
        ("time,a\n0,1\n600,2\n", "b", "it has no column 'b', but time, a"),
        ("when,what\n1,2\n3,4\n", None, "it has no column with times .* its header is when, what"),
        ("timestamp,value\n2014-04-10,1\n2014-04-10,2\n", None, "fewer than two lines with different times"),
        ("timestamp,value\n2014-04-10,1\n2014-04-11,2\n", None, "its intervals are 86400 s; .* 1 s to 3600 s"),
        ("timestamp,value\nyesterday,1\ntoday,2\n", None, "'yesterday' is no time; write ISO 8601"),
        ("timestamp,value\n0,-1\n60,2\n", None, "a rate that is negative or infinite"),
        ("timestamp,value\n0,many\n60,2\n", None, "could not convert string to float: 'many'"),
        ("t_seconds,a\n0\n600,2\n", None, "a line has fewer cells than the header"),
        ("t_seconds,a\n", None, "fewer than two lines"),
        ("timestamp,tokens\n0,1\n", None, "fewer than two requests"),
        ("", None, "its header is nothing"),
    ],
)
def test_what_is_no_trace_is_refused(text: str, column: str | None, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=sentence) as refused:
        shapes.read(written(tmp_path, text), column)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nothing.csv", "There is no file"),
        ("broken.csv.gz", "can't be read: Not a gzipped file"),
        ("broken.parquet", "can't be read: Parquet magic bytes not found"),
        ("broken.jsonl", "can't be read: Expecting value"),
    ],
)
def test_a_file_that_is_not_there_or_something_else_is_refused(name: str, sentence: str, tmp_path: Path) -> None:
    if name != "nothing.csv":
        written(tmp_path, "plain text", name)
    with pytest.raises(CommandError, match=sentence):
        shapes.read(tmp_path / name)


@given(st.lists(st.floats(0, 1e6) | st.just(math.nan), min_size=1, max_size=50), st.floats(1, 3600), st.floats(0, 1))
def test_two_parts_of_rates_are_the_whole(rates: list[float], interval: float, part: float) -> None:
    whole = Rates(interval, rates, 5.0)
    split = whole.horizon_seconds * part
    before, after = whole.between(0.0, split), whole.between(split, whole.horizon_seconds)
    assert repr(before.per_second + after.per_second) == repr(rates)
    assert after.begin_seconds == pytest.approx(5.0 + before.horizon_seconds)


SHIPPED = {
    "servegen-m-large": (Rates, 14.0, 195.8, 0),
    "servegen-m-mid": (Rates, 14.0, 1868.8, 85),
    "servegen-m-small": (Rates, 14.0, 1196.4, 37),
    "servegen-deepseek-r1": (Rates, 1.0, 16.0, 0),
    "servegen-mm-image": (Rates, 1.0, 9.5, 0),
    "azure-llm-code": (Requests, 0.04, 2.57, None),
    "azure-llm-conv": (Requests, 0.04, 5.53, None),
    "nab-elb": (Rates, 14.0, 0.206, 8),
    "nab-twitter-goog": (Rates, 55.0, 0.069, 0),
    "appserver": (Rates, 182.0, 40.8, 1),
}


def test_each_shipped_trace_is_what_its_description_says() -> None:
    assert [trace.name for trace in shipped.TRACES] == list(SHIPPED)
    sources = (Path(shipped.__file__).parent / "data" / "SOURCES.md").read_text()
    for name, (kind, days, rate, missing) in SHIPPED.items():
        trace = shipped.read(name)
        assert isinstance(trace, kind)
        assert trace.horizon_seconds / 86_400 == pytest.approx(days, rel=0.02)
        assert trace.mean_per_second == pytest.approx(rate, rel=0.01)
        assert missing == (trace.missing if isinstance(trace, Rates) else None)
        assert f"`{name}`" in sources
        assert shipped.find(name).licence in sources


def test_all_shipped_traces_are_small() -> None:
    files = (Path(shipped.__file__).parent / "data").iterdir()
    assert sum(file.stat().st_size for file in files) < 300_000


def test_a_name_that_is_no_trace_is_answered_with_those_near_it() -> None:
    with pytest.raises(
        CommandError, match=r"no file and no shipped trace 'servegen-large'; near it are servegen-m-large"
    ):
        shipped.read("servegen-large")


def test_the_command_lists_them(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in (["traces"], ["traces", "-o", "json"]):
        monkeypatch.setattr(sys, "argv", ["everwarm", *arguments])
        with pytest.raises(SystemExit) as ended:
            main.main()
        assert ended.value.code == 0
        out = capsys.readouterr().out
        assert all(name in out for name in SHIPPED)
        assert all(len(line) <= 80 for line in out.splitlines()) or "json" in arguments
    assert [trace["name"] for trace in json.loads(out)] == list(SHIPPED)
