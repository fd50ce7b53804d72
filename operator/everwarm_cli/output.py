"""A command's answer on stdout: JSON or YAML, the same document in both; and text for people."""

import json
import math
import sys
from typing import Any

import yaml
from rich.console import Console

from everwarm_cli.options import Output


def write(document: Any, output: Output) -> None:
    """Print the document; values that are not finite become null, which both notations have."""
    plain = finite(document)
    if output is Output.YAML:
        sys.stdout.write(yaml.safe_dump(plain, sort_keys=False, width=120))
    else:
        sys.stdout.write(json.dumps(plain, indent=2, ensure_ascii=False) + "\n")


def finite(value: Any) -> Any:
    """The same value with null in place of nan and of infinity, and lists in place of tuples."""
    if isinstance(value, dict):
        return {str(name): finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def prose(console: Console, text: str, style: str = "") -> None:
    """Sentences as they are: wrapped between words on a terminal, and not at all in a file or a pipe."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=not console.is_terminal)
