"""`everwarm simulate`: what it compares, prints and draws."""

import json
import math
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from everwarm_cli import comparison, main
from everwarm_cli.comparison import Load, Setup
from everwarm_cli.options import Pattern, PolicyName
from everwarm_cli.traces import Rates, Requests

SHORT = ["--duration", "10m", "--rate", "4/s", "--seeds", "2", "--cold-start", "5s"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["everwarm", "simulate", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return ended.value.code


def test_it_compares_all_policies_on_the_same_requests(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *SHORT, "-o", "json") == 0
    outcomes = json.loads(capsys.readouterr().out)
    assert [outcome["policy"] for outcome in outcomes] == ["paper", "kpa", "hpa", "fixed"]
    assert len({outcome["requests"]["mean"] for outcome in outcomes}) == 1
    fixed = outcomes[3]
    assert fixed["mean_replicas"] == {"mean": 5.0, "low": 5.0, "high": 5.0}
    assert fixed["attainment"]["mean"] > 0.99


def test_equal_seeds_give_equal_numbers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for _ in range(2):
        assert run(monkeypatch, *SHORT, "--policy", "kpa", "--pattern", "bursts") == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert "kpa" in texts[0]
    assert "±" in texts[0]


def test_a_trace_is_played_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trace, picture = tmp_path / "trace.csv", tmp_path / "runs.svg"
    trace.write_text("t_seconds,a\n0,20\n300,\n600,40\n")
    options = ["--trace", str(trace), "--scale", "0.1", "--seeds", "1", "--policy", "paper", "--policy", "hpa"]
    assert run(monkeypatch, *options, "--plot", str(picture)) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("trace.csv, objective 300 ms, cold start 30 s. 1 seeds, ")
    assert "±" not in "".join(first)
    drawn = picture.read_text()
    assert drawn.count("<g id=") > 20
    assert "</svg>" in drawn


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--min-replicas", "9", "--max-replicas", "2"], 2, "everwarm: --min-replicas 9 is over --max-replicas 2."),
        (["--policy", "wish"], 2, "'wish' is not one of"),
        (["--trace", "none.csv"], 2, "everwarm: none.csv can't be read as a CSV file"),
        ([*SHORT, "--policy", "fixed", "--plot", "runs.doc"], 2, "everwarm: runs.doc can't be written"),
    ],
)
def test_wrong_questions_end_with_a_sentence(
    arguments: list[str],
    code: int,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *arguments) == code
    assert sentence in capsys.readouterr().err


def load_of(source: Pattern | Rates | Requests, horizon: float | None = None, scale: float = 1.0) -> Load:
    return Load(source, 5.0, horizon, 1.0, scale, 0.1, 0.3)


def test_bursts_keep_the_mean_rate() -> None:
    load = load_of(Pattern.BURSTS, 100_000.0).workload(np.random.default_rng(0))
    assert len(load.arrivals) / 100_000 == pytest.approx(5.0, rel=0.15)


def test_single_requests_are_thinned_and_cut() -> None:
    source = Requests([float(second) for second in range(1000)])
    load = load_of(source, 500.0, 0.5).workload(np.random.default_rng(0))
    assert 200 < len(load.arrivals) < 300
    assert all(after > before for before, after in pairwise(load.arrivals))
    assert load_of(source).workload(np.random.default_rng(0)).horizon_seconds == 1000.0


def test_a_trace_of_rates_keeps_its_holes() -> None:
    load = load_of(Rates(10.0, [1.0, math.nan, 1.0, 1.0]), 30.0, 2.0).workload(np.random.default_rng(0))
    assert (load.horizon_seconds, load.holes) == (30.0, ((10.0, 20.0),))


def test_the_first_tenth_is_not_counted() -> None:
    load = load_of(Pattern.POISSON, 2000.0)
    setup = Setup(load, 0.3, 5.0, 0.3, 1, 1, 5, 2)
    outcome = next(iter(comparison.compare(setup, [PolicyName.FIXED], 1, lambda: None)))
    arrivals = outcome.first.workload.arrivals
    assert outcome.reports[0].requests == int((arrivals >= 200.0).sum()) < len(arrivals)
