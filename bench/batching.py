"""Batches beside the ideal and the peers: `python -m bench.batching [--quick] [--json FILE]`.

One model is the same code everywhere (bench/peers/device.py): up to 32 rows take 5 ms, in which the CPU has nothing to
do. 64 connections send one row each, as soon as the one before is answered. The ideal is a full batch after the other
with nothing in between: 32 rows for each call of the model, which is timed here. This server, LitServe and MLServer
each have their own environment and core 0, one at a time under load; wrk has core 1. Idle CPU is what a server uses in
the seconds after its load.

Rounds are short, many and interleaved. Each cell of the table is the round with the most requests per second: on a
shared machine others take away and never add.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from bench.peers import device
from bench.rig import environments, load, report
from bench.rig.load import Figures, Request
from bench.rig.processes import LOAD_CORE, SERVER_CORE, BenchError, Process, running
from bench.rig.report import Measure
from bench.serving import free_port

CONNECTIONS: Final = 64
ROUND_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 3.0
OURS: Final = "everwarm"
PEERS: Final = Path(__file__).resolve().parent / "peers"
THROUGHPUT_GOAL: Final = 0.90
IDLE_GOAL: Final = 0.99  # the kernel counts in hundredths of a second


@dataclass(frozen=True, slots=True, eq=False)
class Server:
    """One that batches: its name, requirements of its environment (none: that of the bench), command, variables."""

    name: str
    requirements: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    def command(self, port: int) -> tuple[list[str], dict[str, str]]:
        """The command and its environment; installs what is missing."""
        python = environments.python_of(self.name, self.requirements) if self.requirements else Path(sys.executable)
        variables = {name: value.format(port=port) for name, value in self.environment.items()}
        variables |= {"PYTHONPATH": str(PEERS), "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
        return [str(python), *(argument.format(port=port) for argument in self.arguments)], variables


SERVERS: Final = (
    Server(
        OURS,
        (),
        ("-m", "everwarm_server", "--model-uri", str(PEERS / "batching" / "everwarm"), "--model-name", "device",
         "--port", "{port}", "--batching", "on", "--batch-rows", str(device.ROWS)),
        {"EVERWARM_DRAIN_SECONDS": "0"},
    ),
    Server("LitServe", ("litserve==0.2.19", "numpy==2.4.6"), (str(PEERS / "litserve_device.py"), "{port}"), {}),
    Server(
        "MLServer",
        ("mlserver==1.7.1", "uvloop<0.22"),
        ("-m", "mlserver.cli.main", "start", str(PEERS / "batching" / "mlserver")),
        {
            "MLSERVER_HTTP_PORT": "{port}",
            "MLSERVER_GRPC_PORT": "0",
            "MLSERVER_METRICS_PORT": "0",
            "MLSERVER_METRICS_DIR": str(environments.cache_directory()),
        },
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """A server: its best round, and the share of a core that it used idle after the last."""

    server: str
    best: Figures
    idle_cores: float


def ideal_rows_per_second(calls: int = 100) -> float:
    """Rows per second of full batches without a pause, by the mean time of a call here."""
    x = np.zeros((device.ROWS, device.COLUMNS), np.float32)
    start = time.perf_counter()
    for _ in range(calls):
        device.device(x)
    return device.ROWS * calls / (time.perf_counter() - start)


def request(directory: Path) -> Request:
    """One row."""
    values = ",".join(map(str, range(device.COLUMNS)))
    body = directory / "body"
    body.write_text(f'{{"inputs":[{{"name":"x","datatype":"FP32","shape":[1,{device.COLUMNS}],"data":[{values}]}}]}}')
    return Request("/v2/models/device/infer", body, {"Content-Type": "application/json"})


def idle_cores(process: Process, seconds: float) -> float:
    """The share of a core that a server uses while nobody asks it anything."""
    before = process.cpu_seconds()
    time.sleep(seconds)
    return (process.cpu_seconds() - before) / seconds


def measure(processes: Mapping[Server, Process], sent: Request, rounds: int) -> list[Result]:
    """Run all rounds.

    Raises:
        BenchError: a server does not answer well.
    """
    for process in processes.values():
        sent.send(process)
        load.run(process, sent, CONNECTIONS, ROUND_SECONDS)
    figures: dict[Server, list[Figures]] = {server: [] for server in processes}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for server, process in processes.items():
            figures[server].append(load.run(process, sent, CONNECTIONS, ROUND_SECONDS))
    return [
        Result(
            server.name,
            max(found, key=lambda one: one.requests_per_second),
            idle_cores(processes[server], IDLE_SECONDS),
        )
        for server, found in figures.items()
    ]


def shown(results: Sequence[Result], ideal: float) -> str:
    """The table."""
    heads = ("server", "requests/s", "of the ideal", "p50 ms", "p99 ms", "CPU us/request", "idle cores")
    rows = [
        (
            result.server,
            f"{result.best.requests_per_second:.0f}",
            f"{result.best.requests_per_second / ideal:.2f}",
            f"{result.best.p50_seconds * 1e3:.1f}",
            f"{result.best.p99_seconds * 1e3:.1f}",
            f"{result.best.cpu_seconds_per_request * 1e6:.0f}",
            f"{result.idle_cores:.3f}",
        )
        for result in results
    ]
    return report.table(heads, rows)


def measures(results: Sequence[Result], ideal: float) -> list[Measure]:
    """The goals."""
    (ours,) = (result for result in results if result.server == OURS)
    found = [
        Measure("throughput of the ideal batch", ours.best.requests_per_second / ideal, THROUGHPUT_GOAL, "times"),
        Measure("share of a core that is free while idle", 1.0 - ours.idle_cores, IDLE_GOAL, "cores"),
    ]
    for peer in results:
        if peer is not ours:
            ratio = peer.best.p99_seconds / ours.best.p99_seconds
            found.append(Measure(f"p99 of {peer.server} over ours", ratio, 1.0, "times"))
    return found


def main(given: Sequence[str]) -> int:
    """Run; 0: all goals hold, 1: some are missed, 2: it could not run."""
    parser = argparse.ArgumentParser(prog="python -m bench.batching", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--quick", action="store_true", help="at most 5 minutes, environments included")
    parser.add_argument("--json", type=Path, help="file for a list of {name, got, goal, unit, holds}")
    options = parser.parse_args(given)
    try:
        if not {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
            raise BenchError("The bench needs the cores 0 and 1: one for the server, one for its load.")
        load.wrk()
        ideal = ideal_rows_per_second()
        with tempfile.TemporaryDirectory(prefix="everwarm-bench-") as name, contextlib.ExitStack() as stack:
            processes = {}
            for server in SERVERS:
                port = free_port()
                command, environment = server.command(port)
                log = Path(name) / f"{server.name}.log"
                processes[server] = stack.enter_context(running(command, port, environment, log))
            sent = request(Path(name))
            results = measure(processes, sent, 6 if options.quick else 20)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    found = measures(results, ideal)
    print(f"ideal: {ideal:.0f} requests/s\n\n{shown(results, ideal)}\n\n{report.goals(found)}")
    if options.json is not None:
        report.write_json(found, options.json)
    return report.exit_code(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
