"""`everwarm serve`: the options of a person -> the server's environment; then this process becomes the server."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from everwarm_cli.errors import CommandError

_ENDINGS = (".tar.gz", ".tgz", ".tar", ".zip", ".onnx", ".pt2", ".pt", ".skops", ".py")


def model_uri(model: str) -> str:
    """A path as an absolute one, a URI as it is.

    Raises:
        CommandError: there is no such path.
    """
    if "://" in model:
        return model
    path = Path(model).absolute()
    if not path.exists():
        raise CommandError(f"There is no model at {path}.", exit_code=2)
    return str(path)


def model_name(uri: str) -> str:
    """The last part of a path or URI without the ending of a file, as the server would name it."""
    name = uri.partition("?")[0].rstrip("/").rpartition("/")[2]
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return name


def environment(options: Mapping[str, object]) -> dict[str, str]:
    """EVERWARM_* for the options that were given; the others keep the server's own defaults."""
    given = {name: value for name, value in options.items() if value is not None}
    return {f"EVERWARM_{name.upper()}": str(value) for name, value in given.items()}


def become_server(settings: Mapping[str, str]) -> None:
    """Replace this process by `python -m everwarm_server`; signals and exit status are then its own."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-m", "everwarm_server"], {**os.environ, **settings})  # noqa: S606
