"""Runs a program to its end, within a time, with an error that shows what it said."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class CommandFailed(RuntimeError):
    """A program ended with another status than 0, or too late; the message ends with the last of its output."""


def run(
    argv: Sequence[str | Path],
    *,
    timeout_seconds: float = 60,
    stdin: str | None = None,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Returns the standard output of `argv`; raises `CommandFailed`."""
    command = " ".join(str(part) for part in argv[:6])
    try:
        done = subprocess.run(
            [str(part) for part in argv],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            cwd=cwd,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"{command} took longer than {timeout_seconds:g} s"
        raise CommandFailed(msg) from error
    except FileNotFoundError as error:
        raise CommandFailed(f"{argv[0]} is not installed") from error
    if done.returncode:
        said = f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}".strip()
        raise CommandFailed(f"{command} ended with {done.returncode}: {said}")
    return done.stdout


def find(program: str) -> str | None:
    """Returns the path of `program`, also where only root's PATH leads, or None."""
    return shutil.which(program) or shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin")
