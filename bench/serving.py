"""This server beside its limit and its peers: `python -m bench.serving [--quick] [--only NAMES] [--json FILE]`.

One numpy model is the same code everywhere: a bare ASGI application (the limit: no checks, queue or metrics), this
server, KServe and MLServer, the last two at their best (no lines of log, no worker processes), each with its pinned
requirements in an environment of its own. The servers share core 0, one at a time under load; wrk, or for gRPC the same
small client for all, has core 1.

Rounds are interleaved: in each, every server gets every workload once. Each cell of the table is the round in which
the server took the least CPU for a request: on a shared machine others add to it and never take away. Ratios are of
requests per second of CPU, by the same minimum.
"""

import argparse
import contextlib
import os
import socket
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.rig import environments, grpc_load, load, onnx_mlp, report
from bench.rig.contenders import CONTENDERS, LIMIT, OURS, Contender
from bench.rig.grpc_load import GrpcRequest
from bench.rig.load import Figures, Request
from bench.rig.processes import LOAD_CORE, SERVER_CORE, BenchError, Process, running
from bench.rig.report import Measure
from bench.rig.workloads import WORKLOADS, Workload, is_right, prepare

WARM_UP_SECONDS: Final = 1.0
ENDURANCE: Final = ("json-c32", 10.0)  # the workload of the many requests, and the seconds of each of its parts
GROWTH_GOAL_MIB: Final = 8.0  # by a million requests
# Of bare ASGI, and of the best peer; None: nothing is promised.
GOALS: Final[dict[str, tuple[float | None, float | None]]] = {
    "json-c1": (None, None),
    "json-c32": (0.80, 4.0),
    "binary-c32": (0.85, None),
    "image-binary": (0.85, None),
    "image-json": (1.0, None),
    "grpc-c32": (None, 1.0),
    "image-grpc": (None, 1.0),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A workload on a server that runs."""

    workload: Workload
    contender: Contender
    process: Process
    request: Request | GrpcRequest

    def run(self, seconds: float) -> Figures:
        """Load it."""
        loader = grpc_load if self.workload.grpc else load
        return loader.run(self.process, self.request, self.workload.connections, seconds)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Result:
    """A workload on a server: its rounds, its memory after the last, and how long it took to start."""

    workload: str
    server: str
    rounds: Sequence[Figures]
    resident_bytes: int
    start_seconds: float = 0.0

    @property
    def best(self) -> Figures:
        """The round that took the least CPU for a request."""
        return min(self.rounds, key=lambda one: one.cpu_seconds_per_request)

    @property
    def median_cpu_seconds(self) -> float:
        """The median of the rounds' CPU for a request."""
        return statistics.median(one.cpu_seconds_per_request for one in self.rounds)


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The options."""
    names = [w.name for w in WORKLOADS] + list(dict.fromkeys(c.name for c in CONTENDERS))
    parser = argparse.ArgumentParser(prog="python -m bench.serving", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--quick", action="store_true", help="at most 5 minutes, environments included")
    parser.add_argument("--rounds", type=int, default=None, help="rounds (default: 5; --quick: 2)")
    parser.add_argument("--seconds", type=int, default=None, help="seconds of load for each cell (default: 4; 1)")
    parser.add_argument(
        "--requests", type=int, default=None, help="that we get before memory is compared (default: 1000000; 0)"
    )
    parser.add_argument("--only", default="", help=f"workloads or servers, by commas: {', '.join(names)}")
    parser.add_argument("--json", type=Path, help="file for a list of {name, got, goal, unit, holds}")
    options = parser.parse_args(given)
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 4)
    if options.requests is None:
        options.requests = 0 if options.quick else 1_000_000
    options.only = {name.strip() for name in options.only.split(",")} - {""}
    if unknown := sorted(options.only - set(names)):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(names)}")
    return options


@contextlib.contextmanager
def started(contenders: Sequence[Contender], directory: Path) -> Iterator[dict[Contender, Process]]:
    """All servers, ready."""
    with contextlib.ExitStack() as stack:
        processes = {}
        for index, contender in enumerate(contenders):
            port, grpc_port = free_port(), free_port()
            command, environment = contender.command(port, grpc_port)
            log = directory / f"{index}.log"
            processes[contender] = stack.enter_context(running(command, port, environment, log, grpc_port))
        yield processes


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def chosen(only: set[str]) -> list[tuple[Workload, Contender]]:
    """What runs on what."""
    workloads = [w for w in WORKLOADS if w.name in only or not only & {w.name for w in WORKLOADS}]
    contenders = [c for c in CONTENDERS if c.name in only or not only & {c.name for c in CONTENDERS}]
    return [
        (w, c)
        for w in workloads
        for c in contenders
        if w.model in c.models and (c.grpc if w.grpc else c.binary or not w.binary)
    ]


def measure(cells: Sequence[Cell], rounds: int, seconds: float) -> list[Result]:
    """Run all rounds.

    Raises:
        BenchError: a server answers wrongly.
    """
    for cell in cells:
        if not is_right(cell.workload, *cell.request.send(cell.process)):
            raise BenchError(f"{cell.contender.name} answers {cell.workload.name} wrongly.")
        cell.run(WARM_UP_SECONDS)
    figures: list[list[Figures]] = [[] for _ in cells]
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for cell, found in zip(cells, figures, strict=True):
            found.append(cell.run(seconds))
    return [
        Result(
            cell.workload.name,
            cell.contender.name,
            found,
            cell.process.resident_bytes(),
            cell.process.start_seconds,
        )
        for cell, found in zip(cells, figures, strict=True)
    ]


def growth_bytes(cells: Sequence[Cell], requests: int) -> float | None:
    """How much memory we have gained after so many requests; None if they are none, or nobody is there to get them."""
    workload, part_seconds = ENDURANCE
    cell = next((c for c in cells if (c.workload.name, c.contender.name) == (workload, OURS)), None)
    if cell is None or not requests:
        return None
    before, sent = cell.process.resident_bytes(), 0.0
    while sent < requests:
        sent += cell.run(part_seconds).requests_per_second * part_seconds
        print(f"{sent:.0f} of {requests} requests", file=sys.stderr)
    return cell.process.resident_bytes() - before


def ratio(result: Result | None, other: Result | None) -> float | None:
    """Requests of `result` for one of `other` in the same CPU time."""
    if result is None or other is None:
        return None
    return other.best.cpu_seconds_per_request / result.best.cpu_seconds_per_request


def of(results: Sequence[Result], workload: str, server: str) -> Result | None:
    """The result of a server for a workload, if it was measured."""
    return next((r for r in results if (r.workload, r.server) == (workload, server)), None)


def best_peer(results: Sequence[Result], workload: str) -> Result | None:
    """The fastest of those that are neither the limit nor ours."""
    peers = [r for r in results if r.workload == workload and r.server != LIMIT and not r.server.startswith(OURS)]
    return min(peers, key=lambda r: r.best.cpu_seconds_per_request, default=None)


def shown(results: Sequence[Result]) -> str:
    """The table."""
    heads = (
        "workload, server",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "CPU us/request",
        "median",
        "of bare ASGI",
        "RSS MiB",
        "start s",
    )
    rows = []
    for result in results:
        share = ratio(result, of(results, result.workload, LIMIT))
        best = result.best
        rows.append(
            (
                f"{result.workload}, {result.server}",
                f"{best.requests_per_second:.0f}",
                f"{best.p50_seconds * 1e3:.2f}",
                f"{best.p99_seconds * 1e3:.2f}",
                f"{best.cpu_seconds_per_request * 1e6:.0f}",
                f"{result.median_cpu_seconds * 1e6:.0f}",
                "-" if share is None else f"{share:.2f}",
                f"{result.resident_bytes / 2**20:.0f}",
                f"{result.start_seconds:.2f}",
            )
        )
    return report.table(heads, rows)


def measures(results: Sequence[Result]) -> list[Measure]:
    """The goals that can be judged by what was measured."""
    found = []
    for workload, (of_limit, of_peer) in GOALS.items():
        ours = of(results, workload, OURS)
        limit = ratio(ours, of(results, workload, LIMIT))
        peer = ratio(ours, best_peer(results, workload))
        if of_limit is not None and limit is not None:
            found.append(Measure(f"{workload}: requests per CPU second against bare ASGI", limit, of_limit, "times"))
        if of_peer is not None and peer is not None:
            found.append(Measure(f"{workload}: requests per CPU second against the best peer", peer, of_peer, "times"))
    return found


def main(given: Sequence[str]) -> int:
    """Run; 0: all goals hold, 1: some are missed, 2: it could not run."""
    options = arguments(given)
    pairs = chosen(options.only)
    try:
        if not {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
            raise BenchError("The bench needs the cores 0 and 1: one for the server, one for its load.")
        load.wrk()
        onnx_mlp.write(environments.cache_directory() / "onnx-mlp")
        with tempfile.TemporaryDirectory(prefix="everwarm-bench-") as name:
            directory = Path(name)
            requests = {w: prepare(w, directory) for w, _ in pairs}
            with started(list(dict.fromkeys(c for _, c in pairs)), directory) as processes:
                cells = [Cell(w, c, processes[c], requests[w]) for w, c in pairs]
                results = measure(cells, options.rounds, options.seconds)
                growth = growth_bytes(cells, options.requests)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    found = measures(results)
    if growth is not None:
        name = f"growth of memory by {options.requests} requests"
        found.append(Measure(name, growth / 2**20, GROWTH_GOAL_MIB, "MiB", at_most=True))
    print(f"{shown(results)}\n\n{report.goals(found)}")
    if options.json is not None:
        report.write_json(found, options.json)
    return report.exit_code(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
