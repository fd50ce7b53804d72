"""`everwarm up` as users start it: a process of its own, with real servers behind it, found again through /proc."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

MODEL = """
import time

class Model:
    def load(self):
        {load}

    def predict(self, inputs):
        time.sleep({seconds})
        return {{"y": inputs["x"] * 2}}
"""
REQUEST = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.5, -2.0]}]}


def servers(model: Path) -> set[int]:
    """The processes, of whoever they may be the children now, that serve this model."""
    marker = f"EVERWARM_MODEL_URI={model}".encode()
    found = set()
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdecimal() and marker in (process / "environ").read_bytes().split(b"\0"):
                found.add(int(process.name))
        except OSError:  # it ended as we looked, or is not ours
            continue
    return found


def eventually(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)


class Up:
    """A running `everwarm up` on any free port."""

    def __init__(self, model: Path, *options: str) -> None:
        self.model = model
        command = [sys.executable, "-m", "everwarm_cli", "up", str(model), "--port", "0", "--plain", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.out: list[str] = []
        self.err: list[str] = []
        for stream, kept in ((self.process.stdout, self.out), (self.process.stderr, self.err)):
            threading.Thread(target=self._read, args=(stream, kept), daemon=True).start()

    def _read(self, stream: Iterator[str], kept: list[str]) -> None:
        kept.extend(line.rstrip() for line in stream)

    @property
    def url(self) -> str:
        eventually(lambda: any("answers at" in line for line in self.err), 20, "the gateway's address")
        return next(line for line in self.err if "answers at" in line).split("answers at ")[1].split(";")[0]

    def servers(self) -> set[int]:
        """The server processes of its model, wherever they hang in the tree of processes."""
        return servers(self.model)

    def eventually(self, holds: Callable[["Up"], bool], seconds: float, what: str) -> None:
        """Wait for something to become true of it."""
        try:
            eventually(lambda: holds(self), seconds, what)
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *self.out[-8:], *self.err[-8:]])) from None

    def said(self, part: str) -> bool:
        """Whether a line of either stream holds this."""
        return any(part in line for line in [*self.out, *self.err])

    def infer(self, timeout: float = 45.0) -> httpx.Response:
        url = f"{self.url}/v2/models/{self.model.name}/infer"
        return httpx.post(url, json=REQUEST, timeout=timeout, trust_env=False)

    def send(self, number: signal.Signals) -> int:
        """Send a signal and wait for the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=30)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        eventually(lambda: not servers(self.model), 10, "no server is left")
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def write_model(tmp_path: Path) -> Callable[..., Path]:
    """Write a Python model that doubles what it gets, in so many seconds."""

    def write(name: str, *, seconds: float = 0.0, load: str = "pass") -> Path:
        directory = tmp_path / name
        directory.mkdir()
        (directory / "model.py").write_text(MODEL.format(seconds=seconds, load=load))
        return directory

    return write


@pytest.fixture
def model(write_model: Callable[..., Path]) -> Path:
    """One that takes 100 ms."""
    return write_model("doubler", seconds=0.1)


@pytest.fixture
def up() -> Iterator[Callable[..., Up]]:
    """Start any number of them; all are gone afterwards."""
    started: list[Up] = []

    def start(model: Path, *options: str) -> Up:
        started.append(Up(model, *options))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("EVERWARM_"):
            monkeypatch.delenv(name)
