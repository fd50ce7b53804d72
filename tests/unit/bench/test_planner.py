"""The planner's bench runs, on few services."""

import json

from bench import planner


def test_each_pass_is_timed_and_the_goal_is_the_longest(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(planner, "SERVICES", 40)
    monkeypatch.setattr("sys.argv", ["planner", "--quick", "--json", str(tmp_path / "figures.json")])
    assert planner.main() == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [(figure["goal"], figure["holds"]) for figure in figures] == [(1.0, True), (None, None)]
    assert all(figure["got"] >= 0 for figure in figures)
    assert "the longest of 9" in capsys.readouterr().out
