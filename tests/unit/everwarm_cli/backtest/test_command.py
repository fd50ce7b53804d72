"""`everwarm backtest` from a file and from a Prometheus: what it prints, and what it refuses."""

import json
import math
import re
import sys
from pathlib import Path

import httpx
import pytest
import respx
import yaml

from everwarm_cli import main

URL = "http://prometheus.example:9090"
RANGE, INSTANT = f"{URL}/api/v1/query_range", f"{URL}/api/v1/query"
QUICK = ["--seeds", "1", "--policy", "kpa,fixed"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["everwarm", "backtest", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return ended.value.code


@pytest.fixture
def trace(tmp_path: Path) -> str:
    """Three hours by the minute, 2 to 6 requests per second, with a hole of a minute in the last hour."""
    path = tmp_path / "past.csv"
    rates = [4 + 2 * math.sin(minute / 20) for minute in range(180)]
    lines = [f"{1_790_000_040 + 60 * minute},{rate:.3f}" for minute, rate in enumerate(rates) if minute != 150]
    path.write_text("timestamp,rps\n" + "\n".join(lines) + "\n")
    return str(path)


def test_a_file_is_split_played_and_judged(
    trace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    page = tmp_path / "page.html"
    options = ["--trace", trace, "--service-time", "100ms", "--report", str(page), *QUICK]
    assert run(monkeypatch, *options) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[:5] == [
        f"{trace}: 95 % within 300 ms, cold start 30 s.",
        "Known beforehand: 2 h (hybrid learns from it, fixed is chosen by it). "
        "Tested on: the 1 h after it, from 2026-09-21 16:14 to 2026-09-21 17:14 UTC.",
        "1 h: 5.22 requests/s of 100 ms, after 2 h that policies may learn from. 1 seed.",
        "Arrivals within 1 min are of dispersion 1 (nobody measured it).",
        "1 min were not measured: nothing is played or counted there.",
    ]
    assert all(len(line) <= 80 for line in lines[6:10])
    (chosen,) = [line for line in lines[6:10] if line.startswith("> ")]
    label = chosen.split()[1]
    assert re.search(rf"\n{label} answered \S+ % within the objective \(95 % within 300 ms\) for \$", text)
    assert yaml.safe_load(text[text.index("\nspec:\n") :])["spec"]["scaling"]["policy"] == "fixed"
    html = page.read_text()
    assert "Which to choose" in html
    assert re.findall(r"https?://|<script|src=", html) == []


def test_json_has_the_split_and_the_recommendation(
    trace: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--trace", trace, "--service-time", "100ms", "--test", "30m", "--regret", *QUICK]
    assert run(monkeypatch, *options, "-o", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["load"]["seconds"] == 1800.0
    assert document["load"]["history_seconds"] == 9000.0
    names = [policy["policy"] for policy in document["policies"]]
    assert names[0] == "kpa"
    assert re.fullmatch(r"fixed:\d", names[1])
    assert document["recommendation"]["policy"] in names
    assert document["recommendation"]["sentence"].endswith(".")
    assert all(policy["regret"]["mean"] >= 1 for policy in document["policies"])


def test_a_prometheus_says_the_work_and_the_dispersion_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], respx_mock: respx.MockRouter
) -> None:
    def past(request: httpx.Request) -> httpx.Response:
        values = [[1_790_000_040 + 60 * step, "3"] for step in range(5, 60)]
        data = {"resultType": "matrix", "result": [{"metric": {}, "values": values}]}
        return httpx.Response(200, json={"status": "success", "data": data})

    def figure(request: httpx.Request) -> httpx.Response:
        value = "0.05" if b"inference" in request.content else "2"
        data = {"resultType": "vector", "result": [{"metric": {}, "value": [0, value]}]}
        return httpx.Response(200, json={"status": "success", "data": data})

    respx_mock.post(RANGE).mock(side_effect=past)
    route = respx_mock.post(INSTANT).mock(side_effect=figure)
    options = ["--prometheus", URL, "--service", "ns/digits", "--since", "1h", "--until", "2026-09-21T15:24:00"]
    assert run(monkeypatch, *options, "--header", "X-Scope-OrgID: team", *QUICK) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ns/digits: 95 % within 300 ms, cold start 30 s."
    assert "Requests by everwarm's metrics." in lines
    assert "A request is 50 ms of work, as measured." in lines
    assert "Arrivals within 1 min are of dispersion 2 (as measured)." in lines
    assert {call.request.headers["x-scope-orgid"] for call in route.calls} == {"team"}


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ([], 2, "Give either --trace or --prometheus: whose past shall be played?"),
        (["--trace", "nab-elb", "--prometheus", URL], 2, "Give either --trace or --prometheus"),
        (["--prometheus", URL], 2, "--prometheus needs either --service NAMESPACE/NAME or --query."),
        (["--prometheus", "localhost:9090", "--service", "a/b"], 2, "localhost:9090 is no URL; write for example"),
        (["--trace", "nab-elb"], 2, "Nobody measured how much work a request is: give --service-time."),
        (["--trace", "nab-elb", "--service-time", "1s", "--test", "20d"], 2, "of 20 d leaves nothing to learn from"),
        (["--trace", "servegen-m-mid", "--service-time", "1s"], 2, "too many for one run: give a shorter --test"),
        (["--trace", "nab-elb", "--http-config", "none"], 2, "whose past"),
        (["--prometheus", URL, "--service", "a/b", "--step", "100ms"], 2, "--step must be at least 1s."),
        (["--trace", "azure-llm-code", "--scale", "3", "--service-time", "1s"], 2, "--scale can't be over 1 where"),
        (["--trace", "nab-elb", "--until", "yesterday"], 2, "'yesterday' does not match the formats"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_questions_end_with_a_sentence(
    arguments: list[str],
    code: int,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    if sentence == "whose past":
        arguments, sentence = ["--prometheus", URL, *arguments[2:]], "--http-config none can't be read"
    assert run(monkeypatch, *arguments) == code
    out, err = capsys.readouterr()
    assert sentence in " ".join(err.split())
    assert (out, "Traceback" in err) == ("", False)
