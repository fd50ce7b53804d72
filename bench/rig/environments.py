"""Pinned requirements in, the Python of a virtual environment that has them out; made once, outside of the checkout."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.rig.processes import BenchError


def cache_directory() -> Path:
    """Where environments are kept: EVERWARM_BENCH_CACHE, or everwarm/bench of the user's cache directory."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("EVERWARM_BENCH_CACHE") or home / "everwarm" / "bench")


def python_of(name: str, requirements: Sequence[str]) -> Path:
    """The interpreter of the environment `name`; installs it where it is missing or its requirements changed.

    Raises:
        BenchError: uv is missing, or the requirements can't be installed.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256("\n".join((version, *requirements)).encode()).hexdigest()[:12]
    directory = cache_directory() / f"{name}-{digest}"
    python = directory / "bin" / "python"
    if (directory / "complete").exists():
        return python
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        raise BenchError("The bench makes an environment for each peer with uv, which is missing: run `make venv`.")
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(directory)],
        [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), *requirements],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"{' '.join(requirements)} can't be installed: {done.stderr.strip()[-1000:]}")
    (directory / "complete").touch()
    return python
