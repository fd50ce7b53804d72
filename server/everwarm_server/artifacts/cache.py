"""A directory of immutable entries: each is filled in a staging directory of its own and published by one rename.

No locks: on network file systems they do not hold. Two processes that fetch the same model both fetch it, and the
second to finish finds the entry there and drops its own. rename(2) may fail over NFS although it was done, so after an
error the entry itself is looked at.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from everwarm_server.errors import ModelError

_STAGING: Final = ".staging-"
STALE_SECONDS: Final = 24 * 3600.0  # no download takes so long: its process is dead


def default_directory() -> Path:
    """Where models are kept that nobody gave a directory for.

    Raises:
        ModelError: no temporary directory can be written.
    """
    try:
        return Path(tempfile.gettempdir()) / "everwarm-models"
    except OSError:
        raise ModelError(
            "There is no directory that can be written for the downloaded model; name one by EVERWARM_CACHE_DIR."
        ) from None


def entry_name(name: str, identity: str) -> str:
    """A directory name that people can read and that changes with `identity`."""
    readable = re.sub(r"[^A-Za-z0-9._-]", "_", name).strip(".")[:64] or "model"
    return f"{readable}-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"


@contextmanager
def staging(cache_dir: Path, needed_bytes: int) -> Iterator[Path]:
    """A new directory within `cache_dir`, removed at the end with all that was not published from it.

    Raises:
        ModelError: the cache can't be written, or has less than `needed_bytes` free.
    """
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        free_bytes = shutil.disk_usage(cache_dir).free
        directory = Path(tempfile.mkdtemp(prefix=_STAGING, dir=cache_dir))
    except OSError as error:
        raise ModelError(f"The model cache {cache_dir} can't be written: {error.strerror}.") from error
    try:
        if needed_bytes > free_bytes:
            raise ModelError(
                f"The model needs {needed_bytes} bytes, but the cache {cache_dir} has {free_bytes} bytes free."
            )
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def publish(filled: Path, entry: Path) -> Path:
    """Make a filled directory the entry, all or nothing and surviving a crash; whoever comes second keeps the first's.

    Raises:
        OSError: it could be neither made nor found.
    """
    for path in sorted(filled.rglob("*"), reverse=True):
        _sync(path)
    _sync(filled)
    try:
        filled.rename(entry)
    except OSError:
        if not entry.is_dir():
            raise
    _sync(entry.parent)
    return entry


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(cache_dir: Path, now_seconds: float) -> None:
    """Remove what dead processes left in staging; `now_seconds` is unix time."""
    for directory in cache_dir.glob(f"{_STAGING}*"):
        try:
            age_seconds = now_seconds - directory.stat().st_mtime
        except OSError:
            continue  # another process swept it
        if age_seconds > STALE_SECONDS:
            shutil.rmtree(directory, ignore_errors=True)
