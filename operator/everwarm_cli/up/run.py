"""`everwarm up`, put together: gateway, replicas, autoscaler, planner and load in one event loop."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from everwarm_cli.errors import CommandError
from everwarm_cli.up import scrape
from everwarm_cli.up.counts import Counts, Ledger
from everwarm_cli.up.dispatch import Dispatcher
from everwarm_cli.up.frame import Frame, History
from everwarm_cli.up.gateway import Gateway
from everwarm_cli.up.load import BurstLoad
from everwarm_cli.up.meter import Meter
from everwarm_cli.up.observe import Reading, Window
from everwarm_cli.up.replicas import Fleet, Launch, Replica, State
from everwarm_cli.up.scale import Autoscaler, Limits
from everwarm_cli.up.settings import LoadKind, PolicyKind, UpSettings
from everwarm_planner.guardrails import Bounds
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, MissingReason, Observation
from everwarm_planner.pace import Pace
from everwarm_planner.plan import Planner
from everwarm_planner.policies.base import Policy
from everwarm_planner.policies.fixed import Fixed
from everwarm_planner.policies.hybrid import Hybrid
from everwarm_planner.policies.paper import Paper

_SCALE_SECONDS = 1.0
_GATEWAY_STOP_SECONDS = 5
# The server closes an idle connection after 5 s; one that we close earlier is never used as it closes.
_IDLE_SECONDS = 3.0


class Up:
    """One run. `stop` may be set at any time; `run` then ends load, gateway and replicas, in this order."""

    def __init__(
        self,
        settings: UpSettings,
        launch: Launch,
        listener: socket.socket,
        client: httpx.AsyncClient,
        load_client: httpx.AsyncClient,
    ) -> None:
        now = time.monotonic()
        self._settings = settings
        self._client = client
        self._listener = listener
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._began, self._began_unix = now, time.time()
        self._meter = Meter(now)
        self._ledger = Ledger()
        self._dispatcher = Dispatcher(settings.concurrency, settings.queue_size)
        self._fleet = Fleet(launch, self._dispatcher, client, self._read_last)
        self._fleet.changed = self._count_replicas
        self._gateway = Gateway(self._dispatcher, self._meter, client, settings.timeout_seconds)
        self._poked = asyncio.Event()
        self._gateway.wake = self._poked.set
        self._planner = planner(settings)
        self._memory = Memory.start(settings.min_replicas)
        self._window = Window(settings.window_seconds, settings.concurrency, Reading(self._meter.read(now), Counts()))
        window = max(1, round(settings.stable_window_seconds))  # it averages over whole seconds
        limits = Limits(settings.min_replicas, settings.max_replicas, settings.concurrency, window)
        self._autoscaler = Autoscaler(limits, now)
        self._sampled = self._meter.read(now)
        self._history = History()
        self._load = self._make_load(load_client)
        self.frame: Frame | None = None
        self.stop = asyncio.Event()

    async def run(self, show: Callable[[Frame], None]) -> None:
        """Run until `stop`, the duration or a failure; `show` gets a frame after each tick of the planner.

        Raises:
            CommandError: the replicas don't stay up, or the load can't be sent.
        """
        try:
            async with self._serving(), self._loading() as load:
                await self._tick_until_stopped(show, load)
                self.frame = self._ended(self.frame)
        finally:
            await self._fleet.close()

    def kill(self) -> None:
        """End the replicas now, without drain."""
        self._fleet.kill()

    async def _tick_until_stopped(self, show: Callable[[Frame], None], load: asyncio.Task[None] | None) -> None:
        next_plan = self._began
        while not self.stop.is_set():
            now = time.monotonic()
            if self._settings.duration_seconds is not None and now - self._began >= self._settings.duration_seconds:
                return
            if self._fleet.failure.done():
                raise self._fleet.failure.result()
            if load is not None and load.done():
                load.result()
            await self._autoscale(now)
            if now >= next_plan:
                next_plan = now + self._settings.interval_seconds
                show(await self._plan())
            await self._pause(min(_SCALE_SECONDS, max(0.0, next_plan - time.monotonic())))

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not through a stop, a crash loop or a first request at zero replicas."""
        self._poked.clear()
        waits: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self.stop.wait()),
            asyncio.ensure_future(self._poked.wait()),
        ]
        try:
            await asyncio.wait([*waits, self._fleet.failure], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _autoscale(self, now: float) -> None:
        totals = self._meter.read(now)
        span = totals.at_seconds - self._sampled.at_seconds
        mean = (totals.in_flight_seconds - self._sampled.in_flight_seconds) / span if span > 0 else 0.0
        self._sampled = totals
        ready, running = self._fleet.count(State.READY), self._fleet.count(State.READY, State.STARTING)
        wanted = self._autoscaler.replicas(now, mean, totals.in_flight > 0, ready, running, self._memory.floor)
        await self._fleet.scale_to(wanted)

    async def _plan(self) -> Frame:
        observation = await self._observe()
        decision, self._memory = self._planner.decide(observation, self._memory)
        now = time.monotonic()
        uptime = now - self._began
        self._history.note(uptime, observation, decision)
        self.frame = Frame(
            settings=self._settings,
            url=self.url,
            uptime_seconds=uptime,
            observation=observation,
            decision=decision,
            totals=self._meter.read(now),
            counts=self._ledger.total(),
            ready=self._fleet.count(State.READY),
            starting=self._fleet.count(State.STARTING),
            stopping=self._fleet.count(State.STOPPING),
            waiting=self._dispatcher.waiting,
            history=self._history,
            load=self._load.stats if self._load is not None else None,
        )
        return self.frame

    def _ended(self, last: Frame | None) -> Frame | None:
        """The last frame with the counts of now, before the end cuts requests off."""
        if last is None:
            return None
        now = time.monotonic()
        load = None if self._load is None else replace(self._load.stats)
        totals, counts = self._meter.read(now), self._ledger.total()
        return replace(last, uptime_seconds=now - self._began, totals=totals, counts=counts, load=load)

    async def _observe(self) -> Observation | MissingObservation:
        ready = self._fleet.ready
        failure = await scrape.read(self._client, ready, self._ledger)
        now = self._unix_seconds(time.monotonic())
        if failure is not None:
            return MissingObservation(now, MissingReason.UNREACHABLE, failure)
        reading = Reading(self._meter.read(time.monotonic()), self._ledger.total())
        observed = self._window.observe(reading, len(ready), self._settings.target_p95_seconds)
        if observed is None:
            return MissingObservation(now, MissingReason.STALE, "no time has passed since the last reading")
        return replace(
            observed,
            at_seconds=self._unix_seconds(observed.at_seconds),
            starting_replicas=self._fleet.count(State.STARTING),
            time_to_ready_seconds=self._fleet.time_to_ready_seconds,
        )

    def _unix_seconds(self, monotonic_seconds: float) -> float:
        """As the planner wants it, which knows days and weeks; a clock that is set meanwhile changes nothing here."""
        return self._began_unix + monotonic_seconds - self._began

    async def _read_last(self, replica: Replica) -> None:
        await scrape.read(self._client, [replica], self._ledger)

    def _count_replicas(self) -> None:
        alive = self._fleet.count(State.STARTING, State.READY, State.STOPPING)
        self._meter.replicas(time.monotonic(), self._fleet.count(State.READY), alive)

    def _make_load(self, load_client: httpx.AsyncClient) -> BurstLoad | None:
        settings = self._settings
        if settings.load is LoadKind.NONE:
            return None
        samples = Path(settings.model_uri.removeprefix("file://")) / "samples.npz"
        return BurstLoad(load_client, self.url, settings.model_name, samples, settings.seed)

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        config = uvicorn.Config(
            self._gateway,
            lifespan="off",
            interface="asgi3",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_GATEWAY_STOP_SECONDS,
        )
        server = _QuietServer(config)
        task = asyncio.create_task(server.serve([self._listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await task

    @contextlib.asynccontextmanager
    async def _loading(self) -> AsyncIterator[asyncio.Task[None] | None]:
        if self._load is None:
            yield None
            return
        task = asyncio.create_task(self._load.run())
        try:
            yield task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, CommandError):
                await task


def planner(settings: UpSettings) -> Planner:
    """Who moves the floor."""
    policy: Policy
    if settings.policy is PolicyKind.FIXED:
        policy = Fixed(settings.min_replicas)
    elif settings.policy is PolicyKind.PAPER:
        seconds = settings.low_utilization_seconds
        policy = Paper(settings.target_p95_seconds, settings.concurrency, low_utilization_seconds=seconds)
    else:
        policy = Hybrid(settings.target_p95_seconds, settings.concurrency)
    bounds = Bounds(settings.min_replicas, settings.max_replicas)
    return Planner(policy, bounds, pace=Pace(settle_seconds=settings.window_seconds))


class _QuietServer(uvicorn.Server):
    """uvicorn without its signal handlers: the run has its own, which end more than a web server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def client() -> httpx.AsyncClient:
    """An HTTP client for loopback: without limits, and without the proxies of the environment."""
    return httpx.AsyncClient(
        trust_env=False,
        timeout=httpx.Timeout(None, connect=5.0),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=_IDLE_SECONDS),
    )


def listen(port: int) -> socket.socket:
    """The gateway's socket, on loopback.

    Raises:
        CommandError: the port is taken.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise CommandError(f"Port {port} can't be used ({error.strerror}); choose another with --port.") from error
    return listener
