"""Real server processes on free loopback ports, each ended by its own pid; models made for the tests."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 30.0

# What `predict` does is said by the request's parameters.
BENDABLE = """
import time

import numpy as np

from everwarm_server import InvalidInput


class Model:
    metadata = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "calls", "datatype": "INT64", "shape": [1]},
        ],
    }

    def load(self):
        self.calls = 0
        seconds = self.directory / "load_seconds"
        time.sleep(float(seconds.read_text()) if seconds.exists() else 0)

    def predict(self, inputs, parameters):
        self.calls += 1
        end = time.monotonic() + parameters.get("busy_seconds", 0)
        while time.monotonic() < end:
            sum(range(1000))
        time.sleep(parameters.get("sleep_seconds", 0))
        if "raise" in parameters:
            raise RuntimeError("boom")
        if "refuse" in parameters:
            raise InvalidInput("x must be friendlier")
        return {"y": inputs["x"] * 2, "calls": np.array([self.calls])}
"""


@dataclass
class Reply:
    """An HTTP answer."""

    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """A running `python -m everwarm_server`."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path
    grpc_port: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, timeout: float = 20
    ) -> Reply:
        """One request on a connection of its own; a body that is not bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def infer(self, *, timeout: float = 20, **parameters: Any) -> Reply:
        """One V2 request to the bendable model."""
        return self.ask("POST", "/v2/models/bendable/infer", infer_body(**parameters), timeout=timeout)

    def metric(self, name: str, port: int | None = None, **labels: str) -> float:
        """The value of a series; NaN if it is not there."""
        text = Server(self.process, port or self.port, self.log).ask("GET", "/metrics").body.decode()
        for line in text.splitlines():
            series, _, value = line.rpartition(" ")
            found, _, rest = series.partition("{")
            if found == name and all(f'{k}="{v}"' in rest for k, v in labels.items()):
                return float(value)
        return float("nan")

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = 20) -> int:
        return self.process.wait(timeout)

    def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"it did not come to hold; the log says: {self.log.read_text()}"
            time.sleep(0.01)

    def answers(self, path: str) -> int:
        """The code of a GET; 0 if nobody listens."""
        try:
            return self.ask("GET", path).code
        except OSError:
            return 0


def infer_body(**parameters: Any) -> bytes:
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    return json.dumps({"inputs": [tensor], "parameters": parameters}).encode()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


StartServer = Callable[..., Server]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """That of the tests, without settings of ours; compiled modules are kept: each start takes a second less."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("EVERWARM_")}
    for name in ("PORT", "PYTHONDONTWRITEBYTECODE"):
        kept.pop(name, None)
    return kept | {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("pyc"))}


@pytest.fixture(scope="session")
def bendable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python model that sleeps, spins, raises or refuses as the request says."""
    directory = tmp_path_factory.mktemp("models") / "bendable"
    directory.mkdir()
    (directory / "model.py").write_text(BENDABLE)
    return directory


@pytest.fixture(scope="session")
def digits() -> Path:
    """An ONNX model."""
    return ROOT / "examples" / "digits"


def _starter(environment: dict[str, str], logs: Path) -> Iterator[StartServer]:
    started: list[Server] = []

    def start(model: Path | str, *, wait_ready: bool = True, grpc: bool = False, **settings: Any) -> Server:
        port = settings.setdefault("port", free_port())
        if grpc:
            settings["grpc_port"] = free_port()
        python = settings.pop("python", sys.executable)
        given = {f"EVERWARM_{name.upper()}": str(value) for name, value in settings.items()}
        log = logs / f"server-{len(started)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [str(python), "-m", "everwarm_server"],
                env=environment | {"EVERWARM_MODEL_URI": str(model), "EVERWARM_DRAIN_SECONDS": "0"} | given,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        server = Server(process, port, log, settings.get("grpc_port", 0))
        started.append(server)
        if wait_ready:
            server.until(lambda: process.poll() is not None or server.answers("/v2/health/ready") == 200, START_SECONDS)
            assert process.poll() is None, log.read_text()
        return server

    yield start
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(10)


@pytest.fixture
def start_server(environment: dict[str, str], tmp_path: Path) -> Iterator[StartServer]:
    """Start servers that end with the test: `start_server(model_directory, concurrency=2, ...)`."""
    yield from _starter(environment, tmp_path)


@pytest.fixture(scope="module")
def start_shared(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Start servers that end with the module."""
    yield from _starter(environment, tmp_path_factory.mktemp("logs"))
