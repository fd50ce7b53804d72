"""`everwarm simulate`: what it compares, prints and draws."""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from everwarm_cli import comparison, main
from everwarm_cli.comparison import Setup
from everwarm_cli.loads import Load
from everwarm_cli.numbers import number
from everwarm_cli.options import Pattern
from everwarm_cli.policies import Choice, PolicyName

SHORT = ["--duration", "10m", "--rate", "4/s", "--seeds", "2", "--cold-start", "5s"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["everwarm", "simulate", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return ended.value.code


def test_it_compares_all_policies_on_the_same_requests(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *SHORT, "-o", "json", "--price", "0.1") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["objective"] == {"seconds": 0.3, "part": 0.95}
    outcomes = document["policies"]
    assert [outcome["policy"] for outcome in outcomes] == ["hybrid", "paper", "kpa", "hpa", "fixed"]
    assert len({outcome["requests"]["mean"] for outcome in outcomes}) == 1
    fixed = outcomes[4]
    assert fixed["mean_replicas"] == {"mean": 5.0, "low": 5.0, "high": 5.0}
    assert fixed["usd_per_month"]["mean"] == pytest.approx(5 * 0.1 * 730)
    assert (fixed["met"], fixed["attainment"]["mean"] > 0.99) == (True, True)


def test_yaml_says_what_json_says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    documents = []
    for output, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        assert run(monkeypatch, *SHORT, "--policy", "fixed:1", "--seeds", "1", "-o", output) == 0
        documents.append(read(capsys.readouterr().out))
    assert documents[0] == documents[1]
    assert documents[0]["policies"][0]["attainment"]["low"] is None


@pytest.mark.parametrize("width", [80, 130])
def test_equal_seeds_give_equal_tables_that_fit(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    texts = []
    for _ in range(2):
        assert run(monkeypatch, *SHORT, "--policy", "kpa,fixed:1", "--pattern", "bursts") == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    lines = texts[0].splitlines()
    assert lines[0] == "bursts: 95 % within 300 ms, cold start 5000 ms."
    assert lines[1] == "10 min: 4 requests/s of 100 ms. 2 seeds."
    assert ("p99" in lines[3]) == (width == 130)
    assert [line.split()[0] for line in lines[5:7]] == ["kpa", "fixed:1"]
    assert all(len(line) <= width for line in lines[3:7])
    assert "±" in lines[5]


def test_a_trace_is_played_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trace, picture, page = tmp_path / "trace.csv", tmp_path / "runs.svg", tmp_path / "runs.html"
    trace.write_text("t_seconds,a\n0,20\n300,\n600,40\n900,20\n")
    options = ["--trace", str(trace), "--scale", "0.1", "--duration", "15m", "--seeds", "1", "--policy", "paper,hpa"]
    assert run(monkeypatch, *options, "--plot", str(picture), "--report", str(page)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{trace}: 95 % within 300 ms, cold start 30 s."
    assert lines[1].startswith("15 min at 0.1 of its rate: ")
    assert "after 5 min that policies may learn from. 1 seed." in lines[1]
    assert "±" not in "".join(lines[:6])
    assert "hatched where nothing was measured" in picture.read_text()
    assert_self_contained(page.read_text(), figures=1)


def assert_self_contained(text: str, figures: int) -> None:
    """One file: nothing is loaded, nothing is run, every reference is to within it and each id is there once."""
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert re.findall(r"https?://|<script|<link|<img|@import|src=", text) == []
    identifiers = re.findall(r'\bid="([^"]*)"', text)
    assert len(identifiers) == len(set(identifiers))
    references = re.findall(r'(?:href="#|url\(#|labelledby=")([^")]*)', text)
    assert set(references) <= set(identifiers)
    assert text.count('role="img" aria-label="') == text.count("<svg ") == figures
    assert "prefers-color-scheme:dark" in text
    assert text.count("<table>") == text.count("<caption>") > 0


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--min-replicas", "9", "--max-replicas", "2"], 2, "everwarm: --min-replicas 9 is over --max-replicas 2."),
        (["--policy", "wish"], 2, "everwarm: There is no policy 'wish'; there are hybrid, paper, kpa"),
        (["--policy", "schedule"], 2, "everwarm: --policy schedule needs at least one --window"),
        (["--window", "soon"], 2, "'soon' is no window; write for example"),
        (["--trace", "none.csv"], 2, "everwarm: There is no file none.csv."),
        (["--trace", "none"], 2, "everwarm: There is no file and no shipped trace 'none'"),
        (["--objective", "95"], 2, "'95' is no part of all requests; write for example 95% or 0.99"),
        (["--trace", "."], 2, "everwarm: . can't be read: Is a directory."),
        (
            ["--rate", "100000000/s"],
            2,
            "requests, too many for one run: give a shorter --duration or a smaller --rate.",
        ),
        (["--plot", "runs.doc"], 2, "everwarm: --plot runs.doc can't be written: its name must end with .png"),
        (["--plot", "nowhere/runs.png"], 2, "can't be written: there is no folder nowhere"),
        (["--report", "runs.pdf"], 2, "--report runs.pdf can't be written: its name must end with .html"),
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
    assert run(monkeypatch, *arguments) == code
    out, err = capsys.readouterr()
    assert sentence in " ".join(err.split())
    assert (out, "Traceback" in err) == ("", False)


def test_the_first_tenth_is_not_counted() -> None:
    setup = Setup(Load(Pattern.POISSON, 0.1, 0.3, 5.0, 2000.0), 0.3, 5.0)
    (outcome,) = comparison.compare(setup, [Choice(PolicyName.FIXED, 2)], 1, lambda _: None)
    arrivals = outcome.first.workload.arrivals
    assert outcome.reports[0].requests == int((arrivals >= 200.0).sum()) < len(arrivals)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.01854, "0.0185"), (11.42, "11.4"), (100.4, "100"), (1063.2, "1,063"), (2.0, "2"), (-0.5, "-0.5")],
)
def test_numbers_have_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.timeout(180)  # two processes that import all anew, on a machine that may be busy
def test_several_processes_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = Setup(Load(Pattern.POISSON, 0.1, 0.3, 5.0, 600.0), 0.3, 5.0, max_replicas=6)
    choices = [Choice(PolicyName.KPA), Choice(PolicyName.FIXED, 2)]
    counted: list[int] = []
    alone = comparison.compare(setup, choices, 2, counted.append, regret=True)
    monkeypatch.setattr(comparison, "_MUCH_REQUESTS", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    together = comparison.compare(setup, choices, 2, counted.append, regret=True)
    assert counted == [1, 1, 1, 1, 2, 2]
    for one, other in zip(alone, together, strict=True):
        assert (one.choice, one.reports, one.regrets) == (other.choice, other.reports, other.regrets)
        assert np.array_equal(one.first.starts, other.first.starts)
