"""Replicas as processes: as many as wanted, restarted when they crash, drained when they go; the dispatcher is told.

A crash is counted until a replica has stayed ready for a minute; too many in a row and the fleet fails with the
server's last words.
"""

import asyncio
import contextlib
import enum
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from everwarm_cli.errors import CommandError
from everwarm_cli.up.dispatch import Backend, Dispatcher
from everwarm_cli.up.process import ServerProcess

_POLL_SECONDS = 0.05
_STARTS = 20  # of which the slowest says how long a replica takes


class State(enum.Enum):
    """Where a replica is in its life."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    GONE = "gone"


_WANTED = {State.STARTING, State.READY}  # an end from any other state was asked for, so it is no crash


@dataclass(frozen=True, slots=True)
class Launch:
    """How a replica is started and how long things may take (seconds); `environment` gets the port from the fleet.

    `cpus` is for each replica, as the CPU limit of a pod is; 0: all of this machine.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    cpus: int = 0
    start_seconds: float = 120.0
    drain_seconds: float = 30.0
    stop_seconds: float = 12.0
    crashes: int = 3
    backoff_seconds: float = 0.5
    healthy_seconds: float = 60.0


@dataclass(eq=False, slots=True)
class Replica:
    """One process of the server and what is known of it."""

    number: int
    backend: Backend
    process: ServerProcess
    started_at: float
    state: State = State.STARTING
    ready_at: float | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Fleet:
    """All replicas. `scale_to` is level-triggered: call it as often as you like.

    `before_stop` is called with a replica that still runs and takes no requests any more: the last time to read it.
    """

    def __init__(
        self,
        launch: Launch,
        dispatcher: Dispatcher,
        client: httpx.AsyncClient,
        before_stop: Callable[[Replica], Awaitable[None]],
    ) -> None:
        self._launch = launch
        self._dispatcher = dispatcher
        self._client = client
        self._before_stop = before_stop
        self._replicas: list[Replica] = []
        self._numbers = 0
        self._starts_seconds: deque[float] = deque(maxlen=_STARTS)
        self._crashes = 0
        self._not_before = 0.0
        self.failure: asyncio.Future[CommandError] = asyncio.get_running_loop().create_future()
        self.changed: Callable[[], None] = lambda: None

    def count(self, *states: State) -> int:
        """Replicas in one of these states."""
        return sum(replica.state in states for replica in self._replicas)

    @property
    def ready(self) -> tuple[Replica, ...]:
        """The replicas that can answer now."""
        return tuple(replica for replica in self._replicas if replica.state is State.READY)

    @property
    def time_to_ready_seconds(self) -> float | None:
        """How long the slowest of the last replicas took to be ready; `None` before the first."""
        return max(self._starts_seconds, default=None)

    async def scale_to(self, wanted: int) -> None:
        """Start what is missing; drain what is too many, starting ones and idle ones first."""
        alive = [r for r in self._replicas if r.state in _WANTED]
        if len(alive) < wanted and time.monotonic() >= self._not_before and not self.failure.done():
            for _ in range(wanted - len(alive)):
                await self._start()
        spare = sorted(alive, key=lambda r: (r.state is State.READY, r.backend.busy, -r.number))
        for replica in spare[: max(0, len(alive) - wanted)]:
            self._retire(replica)

    async def close(self) -> None:
        """End all: SIGTERM to each at once, SIGKILL for who does not go."""
        for replica in self._replicas:
            self._withdraw(replica)
            replica.state = State.STOPPING
        await asyncio.gather(*(replica.process.stop(self._launch.stop_seconds) for replica in self._replicas))
        tasks = [replica.task for replica in self._replicas if replica.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._replicas.clear()
        self.changed()

    def kill(self) -> None:
        """SIGKILL to all, without waiting: for the user who can't wait."""
        for replica in self._replicas:
            replica.process.kill()

    async def _start(self) -> None:
        port = free_port()
        environment = {**self._launch.environment, "EVERWARM_HOST": "127.0.0.1", "EVERWARM_PORT": str(port)}
        cpus = cpus_of(self._numbers, self._launch.cpus, available_cpus())
        process = await ServerProcess.start(self._launch.command, environment, cpus)
        self._numbers += 1
        replica = Replica(self._numbers, Backend(f"http://127.0.0.1:{port}"), process, time.monotonic())
        self._replicas.append(replica)
        self.changed()
        replica.task = asyncio.create_task(self._live(replica))

    async def _live(self, replica: Replica) -> None:
        """Follow a replica from its start to its end, whichever way it ends."""
        ending = asyncio.create_task(replica.process.wait())
        try:
            ready = await self._until_ready(replica, ending)
            if ready and replica.state is State.STARTING:
                replica.state, replica.ready_at = State.READY, time.monotonic()
                self._starts_seconds.append(replica.ready_at - replica.started_at)
                self._dispatcher.add(replica.backend)
                self.changed()
            if not ready and not ending.done():
                replica.process.kill()
            status = await ending
            if replica.state in _WANTED:
                self._crashed(replica, status)
        finally:
            ending.cancel()
            self._withdraw(replica)
            if replica.state in _WANTED:
                self._forget(replica)

    async def _until_ready(self, replica: Replica, ending: asyncio.Task[int]) -> bool:
        """Poll its readiness until it is ready, has ended, or had its time."""
        deadline = replica.started_at + self._launch.start_seconds
        while not ending.done() and time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                response = await self._client.get(f"{replica.backend.url}/v2/health/ready", timeout=2.0)
                if response.status_code == httpx.codes.OK:
                    return True
            await asyncio.wait([ending], timeout=_POLL_SECONDS)
        return False

    def _crashed(self, replica: Replica, status: int) -> None:
        now = time.monotonic()
        if replica.ready_at is not None and now - replica.ready_at >= self._launch.healthy_seconds:
            self._crashes = 0
        self._crashes += 1
        self._not_before = now + self._launch.backoff_seconds * 2 ** (self._crashes - 1)
        if self._crashes >= self._launch.crashes and not self.failure.done():
            self.failure.set_result(
                CommandError(_why(replica, status, self._crashes, self._launch), replica.process.tail)
            )

    def _retire(self, replica: Replica) -> None:
        self._withdraw(replica)
        replica.state = State.STOPPING
        self.changed()
        following, replica.task = replica.task, asyncio.create_task(self._drain(replica))
        replica.task.add_done_callback(lambda _: following.cancel() if following is not None else None)

    async def _drain(self, replica: Replica) -> None:
        await replica.backend.drained(self._launch.drain_seconds)
        if replica.ready_at is not None:
            await self._before_stop(replica)
        await replica.process.stop(self._launch.stop_seconds)
        self._forget(replica)

    def _withdraw(self, replica: Replica) -> None:
        replica.backend.retired = True
        self._dispatcher.remove(replica.backend)

    def _forget(self, replica: Replica) -> None:
        replica.state = State.GONE
        if replica in self._replicas:
            self._replicas.remove(replica)
        self.changed()


def _why(replica: Replica, status: int, crashes: int, launch: Launch) -> str:
    """The sentence for a server that does not stay up."""
    times = "once" if crashes == 1 else f"{crashes} times in a row"
    if replica.ready_at is None and status == -9:
        what = f"was not ready within {launch.start_seconds:g} s or was killed"
    elif status < 0:
        what = f"was ended by signal {-status}"
    else:
        what = f"ended with exit status {status}"
    when = "" if replica.ready_at is not None else " before it was ready"
    return f"The server {what}{when}, {times}; its last lines:"


def available_cpus() -> tuple[int, ...]:
    """The CPUs that this process may use; empty where the system does not tell."""
    return tuple(sorted(os.sched_getaffinity(0))) if sys.platform.startswith("linux") else ()


def cpus_of(number: int, each: int, available: Sequence[int]) -> frozenset[int]:
    """The CPUs of the replica `number`: `each` of them, dealt in turn; none for no limit."""
    if each <= 0 or each >= len(available):
        return frozenset()
    return frozenset(available[(number * each + index) % len(available)] for index in range(each))


def free_port() -> int:
    """A loopback port that was free a moment ago; who loses the race for it crashes and is restarted."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
