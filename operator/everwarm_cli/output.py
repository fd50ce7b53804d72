"""A command's answer -> JSON or YAML on stdout: the same document in both, null where there is no figure."""

import json
import math
import sys
from typing import Any

import yaml

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
