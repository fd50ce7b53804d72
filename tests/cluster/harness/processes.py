"""Starts and stops long-running programs, by files on disk that another process can act upon.

RUN/NAME.pid holds the process id and its start time, so that an id which the kernel has given to somebody else
meanwhile is never signalled; RUN/NAME.log holds what it says.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

POLITE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Process:
    """A program that runs under a `name`, with its files in `folder`."""

    name: str
    folder: Path

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        """Its process id and start time."""
        return self.folder / f"{self.name}.pid"

    def pid(self) -> int | None:
        """Returns the process id while it runs, else None."""
        try:
            pid, started = self.pid_file.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if _start_time(int(pid)) == started else None

    def start(self, argv: Sequence[str]) -> None:
        """Starts `argv` in a session of its own; a no-op while it runs."""
        if self.pid() is not None:
            return
        # Not by subprocess, whose objects want to outlive their programs; `env` replaces itself by the program.
        command = ["env", f"--chdir={self.folder}", *argv]
        with self.log.open("ab") as log:
            files = [
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
            ]
            pid = os.posix_spawnp("env", command, os.environ, file_actions=files, setsid=True)
        self.pid_file.write_text(f"{pid} {_start_time(pid)}")

    def stop(self) -> None:
        """Asks it to end, insists after 5 s, and returns when it is gone."""
        pid = self.pid()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if pid is None:
                break
            os.kill(pid, number)
            if wait(lambda: self.pid() is None, POLITE_SECONDS):
                _bury(pid)
                break
        self.pid_file.unlink(missing_ok=True)

    def last_words(self, lines: int = 15) -> str:
        """Returns the end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def wait(done: Callable[[], bool], timeout_seconds: float, every_seconds: float = 0.1) -> bool:
    """Returns True as soon as `done()` is, False after the timeout."""
    deadline = time.monotonic() + timeout_seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_seconds)
    return True


def _bury(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # another process started it


def _start_time(pid: int) -> str | None:
    """Returns the kernel's start time of a process that runs, None where there is none or only its corpse."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]
