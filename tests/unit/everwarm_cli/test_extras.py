"""Commands without the packages of their extras: a sentence that says what to install, and the rest goes on."""

import sys

import pytest

from everwarm_cli import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["everwarm", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return ended.value.code


def test_simulate_without_numpy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, "everwarm_cli.comparison", raising=False)
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert run(monkeypatch, "simulate") == 1
    assert capsys.readouterr().err == (
        "everwarm: everwarm simulate needs the package numpy: pip install 'everwarm[simulator]'.\n"
    )


def test_plot_without_matplotlib(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    short = ("--policy", "fixed", "--duration", "1m", "--seeds", "1")
    assert run(monkeypatch, "simulate", *short, "--plot", "runs.png") == 1
    assert capsys.readouterr().err == "everwarm: --plot needs matplotlib: pip install 'everwarm[plots]'.\n"
