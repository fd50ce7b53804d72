"""The documentation of the command line is the command line: the reference is generated, each line shown is parsed."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from everwarm_cli import main

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", ROOT / "docs" / "how-to" / "choose-a-policy.md"]
GROUP: Any = typer.main.get_command(main.app)


def shown() -> list[str]:
    found = [re.findall(r"^    (everwarm .*?)(?:  +#.*)?$", page.read_text(), re.MULTILINE) for page in PAGES]
    return [line for lines in found for line in lines]


def test_the_reference_is_what_the_commands_say() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.markdown() == generate.TARGET.read_text(), "run: python docs/generate.py"


@pytest.mark.parametrize("line", shown())
def test_a_command_that_is_shown_is_understood(line: str) -> None:
    _, name, *arguments = shlex.split(re.sub(r"   +or .*", "", line))
    context = GROUP.commands[name].make_context(name, arguments)
    assert context.params


def test_every_command_of_the_planner_is_shown() -> None:
    names = {line.split()[1] for line in shown()}
    assert {"plan", "simulate", "backtest", "reproduce", "traces", "serve"} <= names


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_there(shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("_EVERWARM_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "everwarm simulate --re")
    monkeypatch.setenv("COMP_WORDS", "everwarm simulate --re")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    monkeypatch.setattr(sys, "argv", ["everwarm"])
    with pytest.raises(SystemExit):
        main.main()
    out = capsys.readouterr().out
    assert all(option in out for option in ("--regret", "--report", "--replicas"))


def test_the_version_is_the_distributions(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["everwarm", "--version"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 0
    assert re.fullmatch(r"everwarm \d+\.\d+\.\d+\n", capsys.readouterr().out)
