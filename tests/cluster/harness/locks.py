"""Lets one process at a time do what two would spoil: change the cluster, build an image."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from harness.paths import CACHE


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Waits until no other process is in a block of the same name; the kernel ends the block of one that dies."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
