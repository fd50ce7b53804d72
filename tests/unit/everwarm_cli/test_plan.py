"""`everwarm plan`: the answer, its table and its JSON; wrong questions."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import respx
import yaml

from everwarm_cli import main, options


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["everwarm", "plan", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return ended.value.code


EXAMPLE = ["--rate", "40/s", "--p95", "380ms", "--service-time", "50ms"]


def test_the_table_shows_the_fewest_replicas_and_what_fewer_would_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert run(monkeypatch, *EXAMPLE) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert " ".join(lines[0]) == "3 replicas for 40 requests/s within 380 ms (p95): $108 a month."
    assert lines[2] == ["replicas", "busy", "wait", "at", "all", "mean", "wait", "p95", "USD/month"]
    assert lines[3] == ["1", "200", "%", "100", "%", "no", "end", "no", "end", "36", "too", "few"]
    assert lines[4] == ["2", "100", "%", "100", "%", "no", "end", "no", "end", "72", "too", "few"]
    assert lines[5][:7] == ["3", "66.7", "%", "44.4", "%", "13.89", "ms"]
    assert lines[5][-2:] == ["the", "fewest"]


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_documents_have_the_same_numbers_and_null_where_there_is_none(
    output: str, read: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *EXAMPLE, "--concurrency", "2", "--price", "g5.xlarge/2", "-o", output) == 0
    document = read(capsys.readouterr().out)
    assert (document["replicas"], document["load"]) == (2, 2.0)
    assert document["usd_per_month"] == pytest.approx(2 * 0.503 * 730)
    assert document["choices"][0] == {
        "replicas": 1,
        "utilization": 1.0,
        "waiting_fraction": 1.0,
        "mean_wait_seconds": None,
        "p95_seconds": None,
        "fits": False,
        "usd_per_month": pytest.approx(0.503 * 730),
    }
    assert [choice["fits"] for choice in document["choices"]] == [False, True, True, True]


def test_an_objective_under_the_service_time_is_answered_with_what_is_possible(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--rate", "1", "--p95", "60ms", "--service-time", "50ms") == 1
    assert capsys.readouterr().err == (
        "everwarm: No number of replicas answers within 60 ms: "
        "without any wait, 95 % of requests take up to 97.27 ms.\n"
    )


@pytest.mark.parametrize(
    ("text", "per_second"),
    [("40/s", 40.0), ("90/min", 1.5), ("90/m", 1.5), ("3600 / h", 1.0), ("2.5", 2.5), (40.0, 40.0)],
)
def test_a_rate_is_read_with_its_unit(text: str | float, per_second: float) -> None:
    assert options.rate(text) == pytest.approx(per_second)


@pytest.mark.parametrize("text", ["", "0/s", "-1/s", "s", "4/d", "nan", "1e3"])
def test_what_is_no_rate_is_refused_with_an_example(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--rate", text, *EXAMPLE[2:]) == 2
    assert "write for example 40/s, 90/min or 2.5" in " ".join(capsys.readouterr().err.split())


def test_memory_is_recommended_by_what_was_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], respx_mock: respx.MockRouter
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    data = {"resultType": "matrix", "result": [{"metric": {}, "values": [[1_800_000_000, "1073741824"]]}]}
    respx_mock.post("http://p:9090/api/v1/query_range").respond(json={"status": "success", "data": data})
    options = [*EXAMPLE, "--prometheus", "http://p:9090", "--service", "models/digits"]
    assert run(monkeypatch, *options) == 0
    assert capsys.readouterr().out.endswith(
        "\nMemory: The daily peaks of the last day reach 1024 Mi nine times in ten: "
        "with 15 % to spare, ask for 1178 Mi.\n"
    )
    assert run(monkeypatch, *options, "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["memory"]["request_bytes"] == 1178 * 2**20


def test_a_service_without_a_prometheus_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *EXAMPLE, "--service", "models/digits") == 2
    assert "everwarm: --prometheus and --service come together" in capsys.readouterr().err
