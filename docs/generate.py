"""Write docs/reference/cli.md from the commands themselves: python docs/generate.py. A test holds the two equal."""

import re
from pathlib import Path
from typing import Any

import typer

from everwarm_cli.main import app

TARGET = Path(__file__).parent / "reference" / "cli.md"
_HEAD = """# The command `everwarm`

Written by `docs/generate.py` from the commands. Data goes to stdout, all else to stderr; a progress bar only to a
terminal. Exit code 0: done. 1: it failed, and a sentence says why. 2: it was asked wrongly. `-o json` and `-o yaml` are
the interface for programs: the same document, with null where there is no figure. `everwarm --install-completion`
teaches your shell the commands and options.

How to use them: [choose a policy](../how-to/choose-a-policy.md).
"""


def markdown() -> str:
    """The page."""
    group: Any = typer.main.get_command(app)
    return "\n".join([_HEAD, *(_command(name, command) for name, command in group.commands.items())])


def _command(name: str, command: Any) -> str:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join([f"everwarm {name}", *(argument.metavar for argument in arguments), "[OPTIONS]"])
    rows = [_option(option) for option in options if option.name != "help"]
    table = "\n".join(["| option | | default |", "|---|---|---|", *rows]) if rows else ""
    return "\n".join([f"## {usage}", "", re.sub(r"\n\s*", "\n", command.help).strip(), "", table, ""])


def _option(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    default = option.show_default if isinstance(option.show_default, str) else option.default
    silent = option.is_flag or default is None
    shown = "" if silent else f"`{getattr(default, 'value', default)}`"
    return f"| {names} | {(option.help or '').replace('|', chr(92) + '|')} | {shown} |"


if __name__ == "__main__":
    TARGET.write_text(markdown(), encoding="utf-8")
