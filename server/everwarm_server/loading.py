"""Where a model lies in; it, loaded and warmed, out, from a thread that starts before the web server is imported."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from everwarm_server.errors import ModelError

if TYPE_CHECKING:
    from everwarm_server.catalogue import Source
    from everwarm_server.runtime.base import Runtime

_READ_AHEAD_FILES: Final = 64
NICE: Final = 10  # nice(1)
AT_ONCE: Final = 4
_PLACES: Final = threading.BoundedSemaphore(AT_ONCE)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready.

    Attributes:
        runtime: the model.
        phase_seconds: how long each phase took: fetch, load, warmup.
        size_bytes: what it takes in memory: by its own account, or by what the process has grown.
        batching: what its model.toml says of batches.
    """

    runtime: "Runtime"
    phase_seconds: dict[str, float]
    size_bytes: int = 0
    batching: Mapping[str, Any] = field(default_factory=dict)


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


def start(source: "Source", *, politely: bool = False) -> "Future[Loaded]":
    """Load in a thread; the future has the model, or what was wrong with it.

    A daemon thread: a fetch that hangs must not keep the process from ending. At most `AT_ONCE` load at once.
    """
    future: Future[Loaded] = Future()

    def work() -> None:
        with _PLACES:
            _settle(future, lambda: load(source, politely=politely))

    threading.Thread(target=work, name="everwarm-load", daemon=True).start()
    return future


def _settle(future: "Future[_T]", call: Callable[[], _T]) -> None:
    try:
        future.set_result(call())
    except Exception as error:  # noqa: BLE001 - it is raised again where the future is read
        future.set_exception(error)
    except BaseException as error:  # noqa: BLE001 - sys.exit() in a model's code
        future.set_exception(ModelError(f"Loading it ended with {error!r}."))


def load(source: "Source", *, politely: bool = False) -> Loaded:
    """Fetch, load, warm up.

    Args:
        source: where it lies.
        politely: leave the CPU to others while it is fetched, unpacked and verified.

    Raises:
        ModelError: the model can't be served.
    """
    seconds: dict[str, float] = {}
    with _timed("fetch", seconds):
        directory = _fetched(source, politely)
    before_bytes = _resident_bytes()
    with _timed("load", seconds):
        from everwarm_server.runtime import model_toml
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
    size_bytes = runtime.weights_bytes or max(0, _resident_bytes() - before_bytes)
    return Loaded(runtime, seconds, size_bytes, model_toml.read(directory).batching)


def _fetched(source: "Source", politely: bool) -> Path:
    from everwarm_server.artifacts.fetch import fetch

    if not politely or source.directory is not None:
        return fetch(source.uri, source.cache_dir)
    # A thread of its own: threads inherit what is nice from who starts them, and can't take it back; those that a
    # framework starts while it loads would compute nicely for ever.
    found: Future[Path] = Future()

    def work() -> None:
        with suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)  # Linux: of the thread
        _settle(found, lambda: fetch(source.uri, source.cache_dir))

    threading.Thread(target=work, name="everwarm-fetch", daemon=True).start()
    return found.result()


def _resident_bytes() -> int:
    """Memory of this process; 0 where the kernel does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


@contextmanager
def _timed(phase: str, seconds: dict[str, float]) -> Iterator[None]:
    start_seconds = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - start_seconds
