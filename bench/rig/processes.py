"""A command in, a server process on one core out, and what the kernel says of it and its children: CPU and memory."""

import contextlib
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SERVER_CORE: Final = 0
LOAD_CORE: Final = 1
START_SECONDS: Final = 60.0
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
# One row of a small model gains nothing from threads, and all of them would share one core.
_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class BenchError(Exception):
    """The bench can't run; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Process:
    """A server that runs; `start_seconds` is how long it took to be ready, `grpc_port` 0 where there is none."""

    pid: int
    port: int
    log: Path
    start_seconds: float = 0.0
    grpc_port: int = 0

    def cpu_seconds(self) -> float:
        """CPU time of the process and all that it started, since their start."""
        ticks = 0
        for pid in self._tree():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICKS_PER_SECOND

    def resident_bytes(self) -> int:
        """Resident memory of the process and all that it started."""
        pages = 0
        for pid in self._tree():
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * _PAGE_BYTES

    def _tree(self) -> list[int]:
        found = [self.pid]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    found += map(int, children.read_text().split())
        return found


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, environment: Mapping[str, str], log: Path, grpc_port: int = 0
) -> Iterator[Process]:
    """The server that a command starts, ready; it ends with the block.

    Args:
        command: what to run.
        port: where it will listen on loopback.
        environment: added to that of this process.
        log: the file that takes its output.
        grpc_port: where it will also listen for gRPC, if it does.

    Raises:
        BenchError: it ended, or did not answer GET /v2/health/ready by 200 within a minute.
    """
    inherited = {k: v for k, v in os.environ.items() if k not in {"PYTHONDONTWRITEBYTECODE", "PORT"}}
    start = time.monotonic()
    with log.open("wb") as out:
        started = subprocess.Popen(
            ["taskset", "-c", str(SERVER_CORE), *command],
            env={**inherited, **_ONE_THREAD, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        _wait_ready(started, port, log)
        yield Process(started.pid, port, log, time.monotonic() - start, grpc_port)
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait(10)


def _wait_ready(started: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if started.poll() is not None:
            break
        with contextlib.suppress(OSError):
            if urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5).status == 200:
                return
        time.sleep(0.02)
    tail = log.read_text(errors="replace")[-2000:]
    raise BenchError(f"{started.args!r} did not become ready; its output ends with:\n{tail}")
