"""Where a model lies in; it, loaded and warmed, out, from a thread that starts before the web server is imported."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from everwarm_server.errors import ModelError

if TYPE_CHECKING:
    from everwarm_server.catalogue import Source
    from everwarm_server.runtime.base import Runtime

_READ_AHEAD_FILES: Final = 64


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready, and how long each phase took in seconds: fetch, load, warmup."""

    runtime: "Runtime"
    phase_seconds: dict[str, float]


def read_ahead(uri: str) -> None:
    """Ask the kernel to read a local model's files while Python imports. A hint: whatever fails is no error here."""
    directory = Path(uri.removeprefix("file://"))
    with suppress(OSError):
        for path in sorted(directory.iterdir())[:_READ_AHEAD_FILES]:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(descriptor)


def start(source: "Source") -> "Future[Loaded]":
    """Load in a thread; the future has the model, or what was wrong with it.

    A daemon thread: a fetch that hangs must not keep the process from ending.
    """
    future: Future[Loaded] = Future()

    def work() -> None:
        try:
            future.set_result(load(source))
        except Exception as error:  # noqa: BLE001 - it is raised again where the future is read
            future.set_exception(error)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a model's code
            future.set_exception(ModelError(f"Loading it ended with {error!r}."))

    threading.Thread(target=work, name="everwarm-load", daemon=True).start()
    return future


def load(source: "Source") -> Loaded:
    """Fetch, load, warm up.

    Raises:
        ModelError: the model can't be served.
    """
    seconds: dict[str, float] = {}
    with _timed("fetch", seconds):
        from everwarm_server.artifacts.fetch import fetch

        directory = fetch(source.uri, source.cache_dir)
    with _timed("load", seconds):
        from everwarm_server.runtime.load import LoadOptions
        from everwarm_server.runtime.load import load as load_runtime

        runtime = load_runtime(
            directory,
            LoadOptions(
                name=source.name,
                version=source.version,
                format=source.format,
                device=source.device,
                concurrency=source.concurrency,
            ),
        )
    with _timed("warmup", seconds):
        from everwarm_server.runtime.warmup import warm_up

        warm_up(runtime, directory)
    return Loaded(runtime, seconds)


@contextmanager
def _timed(phase: str, seconds: dict[str, float]) -> Iterator[None]:
    start_seconds = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - start_seconds
