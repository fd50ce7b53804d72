"""One server process: started so that it can't outlive us, watched, and ended. In: a command and an environment.

It leads a session of its own, so a Ctrl-C at the terminal does not reach it and its whole group can be killed. On Linux
the kernel kills it when we die, however we die (PR_SET_PDEATHSIG); elsewhere a SIGKILL of `everwarm up` would leave it.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence

_TAIL_LINES = 40
_LINE_LIMIT_BYTES = 1 << 20
_PR_SET_PDEATHSIG = 1


class ServerProcess:
    """A running child and the last lines that it wrote."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls, command: Sequence[str], environment: Mapping[str, str], cpus: frozenset[int] = frozenset()
    ) -> "ServerProcess":
        """Start it, on these CPUs only if any are given (on Linux).

        Raises:
            OSError: it can't be started.
        """
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LINE_LIMIT_BYTES,
            start_new_session=True,
            preexec_fn=_die_with_parent(os.getpid()),
        )
        if cpus and sys.platform.startswith("linux"):
            # It has no thread yet but its first, which is still busy becoming Python: all others inherit this.
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(process.pid, cpus)
        return cls(process)

    @property
    def pid(self) -> int:
        """Of the child, which is its group's and session's too."""
        return self._process.pid

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines of its output."""
        return tuple(self._tail)

    async def wait(self) -> int:
        """Wait until it has ended and its last words are read."""
        status = await self._process.wait()
        with contextlib.suppress(TimeoutError):  # a grandchild may hold the pipe open
            await asyncio.wait_for(asyncio.shield(self._reader), 1.0)
        return status

    async def stop(self, grace_seconds: float) -> None:
        """SIGTERM, and after `grace_seconds` SIGKILL for whatever is left of its group."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), grace_seconds)
        self.kill()
        await self.wait()
        self._reader.cancel()

    def kill(self) -> None:
        """SIGKILL to its whole group, now."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _read(self) -> None:
        stream = self._process.stdout
        while stream is not None:
            try:
                line = await stream.readline()
            except ValueError:  # a line over the limit: its beginning is dropped, the rest is read on
                continue
            if not line:
                return
            self._tail.append(line.decode(errors="replace").rstrip())


def _die_with_parent(parent: int) -> Callable[[], None] | None:
    """What the child does between fork and exec; the library is loaded before, since little is safe there."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def arm() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the signal was armed
            os._exit(1)

    return arm
