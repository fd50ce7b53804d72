"""A server and a request in; requests per second, latencies and the server's CPU for each request out. By `wrk`."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.rig.processes import LOAD_CORE, BenchError, Process

_SCRIPT: Final = Path(__file__).with_name("post.lua")


@dataclass(frozen=True, slots=True)
class Request:
    """One POST: the path, the file that holds the body, headers."""

    path: str
    body: Path
    headers: Mapping[str, str]

    def send(self, process: Process) -> tuple[Mapping[str, str], bytes]:
        """Send it once; headers and body of the answer.

        Raises:
            BenchError: the answer is not 2xx.
        """
        url = f"http://127.0.0.1:{process.port}{self.path}"
        request = urllib.request.Request(url, self.body.read_bytes(), dict(self.headers), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            said = error.read()[:500].decode(errors="replace")
            log = process.log.read_text(errors="replace")[-2000:]
            raise BenchError(f"{self.path} was answered by {error.code}: {said}\n{log}") from error


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run of load showed."""

    requests_per_second: float
    p50_seconds: float
    p99_seconds: float
    cpu_seconds_per_request: float


def wrk() -> str:
    """The program.

    Raises:
        BenchError: it is not installed.
    """
    found = shutil.which("wrk")
    if found is None:
        raise BenchError("The bench makes its load with wrk, which is missing: install it (Debian: apt install wrk).")
    return found


def run(process: Process, request: Request, connections: int, seconds: float) -> Figures:
    """Send the request over some connections for some seconds, each as soon as the one before is answered.

    Raises:
        BenchError: an answer was not 2xx, or a connection broke.
    """
    duration = max(1, round(seconds))  # wrk knows whole seconds
    command = [
        "taskset", "-c", str(LOAD_CORE),
        wrk(), "--threads", "1", "--connections", str(connections), "--duration", f"{duration}s",
        "--timeout", "30s", "--script", str(_SCRIPT), f"http://127.0.0.1:{process.port}{request.path}", "--",
        str(request.body), *(f"{name}={value}" for name, value in request.headers.items()),
    ]  # fmt: skip
    before = process.cpu_seconds()
    done = subprocess.run(command, capture_output=True, text=True, timeout=duration + 60, check=False)
    cpu_seconds = process.cpu_seconds() - before
    if done.returncode != 0:
        raise BenchError(f"wrk failed: {(done.stdout + done.stderr).strip()[-500:]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if found["refused"] or found["broken"] or not found["requests"]:
        raise BenchError(f"{request.path} at port {process.port} was not answered well: {found}; see {process.log}.")
    return Figures(
        requests_per_second=found["requests"] / found["duration_us"] * 1e6,
        p50_seconds=found["p50_us"] / 1e6,
        p99_seconds=found["p99_us"] / 1e6,
        cpu_seconds_per_request=cpu_seconds / found["requests"],
    )
