"""The server's composition and its life: listen, load, serve, drain, end. Settings in, an exit code out."""

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import uvloop
from pydantic import SecretStr

from everwarm_server import loading, repository
from everwarm_server.admission import QueueLimits
from everwarm_server.batching.options import Options
from everwarm_server.catalogue import Source, StartPlan
from everwarm_server.dataplane import DataPlane
from everwarm_server.loading import Loaded
from everwarm_server.repository import Repository
from everwarm_server.settings import Settings, SettingsError
from everwarm_server.telemetry.metrics import Metrics
from everwarm_server.telemetry.watch import Watch
from everwarm_server.transport.inference import Inference
from everwarm_server.transport.limits import Limits, most_connections
from everwarm_server.transport.listener import Listener, bind
from everwarm_server.transport.router import Router, metrics_only

if TYPE_CHECKING:
    from everwarm_server.transport.grpc.listener import GrpcListener

Loads: TypeAlias = Mapping[Source, Future[Loaded]]
LAST_SPANS_SECONDS: Final = 5.0  # in which the collector takes what is left at the end
_LOG: Final = logging.getLogger(__name__)
_Serving: TypeAlias = "dict[Listener | GrpcListener, asyncio.Task[None]]"


class Signals:
    """SIGTERM and SIGINT: the first asks for an orderly end, the second for an end."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.number = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._came, number)

    def _came(self, number: int) -> None:
        self.number = number
        (self.second if self.first.is_set() else self.first).set()


class Application:
    """One replica."""

    def __init__(self, settings: Settings, start_seconds: float, loads: Loads) -> None:
        self._settings = settings
        self._start_seconds = start_seconds
        self._loads = dict(loads)
        self._metrics = Metrics(start_seconds)
        self._repository = Repository(settings.catalogue(), self._metrics, self._open, self._load, _patience(settings))
        self._watch = Watch.by_environment(os.environ, settings.access_log)
        inference = Inference(settings.max_body_bytes, settings.compress_bytes, self._watch)
        token = None if settings.api_token is None else settings.api_token.get_secret_value()
        management_token = settings.management_token
        router = Router(
            self._repository,
            inference,
            token,
            metrics_here=settings.metrics_port is None,
            management_token=None if management_token is None else management_token.get_secret_value(),
            server_name=settings.server_name,
        )
        limits = _limits(settings)
        self._main = Listener(router, bind(settings.host, settings.port), settings.shutdown_seconds, limits)
        self._listeners: list[Listener | GrpcListener] = [self._main]
        if settings.grpc_port is not None:
            self._listeners.append(self._grpc(settings.grpc_port))
        self._closed_last: list[Listener | GrpcListener] = []  # so that the last requests are still scraped
        if settings.metrics_port is not None:
            socket = bind(settings.host, settings.metrics_port)
            self._closed_last.append(Listener(metrics_only(self._metrics), socket, 0.0, limits))

    def _grpc(self, port: int) -> "GrpcListener":
        try:
            from everwarm_server.transport.grpc.listener import GrpcListener  # 0.1 s that HTTP alone does not need
        except ModuleNotFoundError as error:
            raise SettingsError(f"GRPC_PORT needs {error.name}: pip install 'everwarm[grpc]'.") from error

        return GrpcListener(
            (self._settings.host, port),
            self._repository,
            server_name=self._settings.server_name,
            tokens=(_revealed(self._settings.api_token), _revealed(self._settings.management_token)),
            max_message_bytes=self._settings.max_body_bytes,
            connection_seconds=self._settings.grpc_connection_seconds,
            shutdown_seconds=self._settings.shutdown_seconds,
            watch=self._watch,
        )

    def _open(self, source: Source) -> DataPlane:
        settings = self._settings
        metrics = self._metrics.model(source.name, source.concurrency)
        return DataPlane(
            source.name,
            source.concurrency,
            settings.queue_size,
            metrics,
            settings.inline_seconds,
            source.version,
            batching=Options(
                mode=settings.batching,
                max_rows=settings.batch_rows,
                max_delay_seconds=None if settings.batch_delay_seconds == "auto" else settings.batch_delay_seconds,
                slo_seconds=settings.slo_seconds,
            ),
            limits=QueueLimits(settings.tenant_share, settings.adaptive_limit),
        )

    async def _load(self, source: Source) -> Loaded:
        begun = self._loads.pop(source, None)
        return await asyncio.wrap_future(loading.start(source, politely=True) if begun is None else begun)

    async def run(self, plan: StartPlan) -> int:
        """Serve until a signal, or until it is clear that no model can be served; return the exit code."""
        starting = asyncio.create_task(self._repository.start(plan))
        signals = Signals()
        listeners = [*self._listeners, *self._closed_last]
        serving = {listener: asyncio.create_task(listener.serve_until_exit()) for listener in listeners}
        stopped = asyncio.create_task(signals.first.wait())
        imports_seconds = self._age_seconds()
        _LOG.info("Listening", extra={"host": self._settings.host, "port": self._main.port})
        anything: set[asyncio.Future[Any]] = {starting, stopped, *serving.values()}
        await asyncio.wait(anything, return_when=asyncio.FIRST_COMPLETED)
        code = 0
        if starting.done():
            code = self._started(starting.result(), imports_seconds)
            if code == 0:
                await asyncio.wait(anything - {starting}, return_when=asyncio.FIRST_COMPLETED)
        starting.cancel()
        if code == 0 and stopped.done():
            return await self._end(signals, serving)
        for task in serving.values():
            if task.done():
                task.result()
        return code or 1

    def _started(self, wrong: dict[str, str], imports_seconds: float) -> int:
        if wrong and not any(plane.is_loaded for plane in self._repository.planes()):
            _LOG.error("No model can be served: the process ends with code 1, for whoever started it to try again")
            return 1
        gc.freeze()  # what is here stays; each collection would look at it again, for 3 % of the time of a small model
        extra = {"models": self._repository.names, "imports_seconds": imports_seconds}
        extra["since_start_seconds"] = self._age_seconds()
        if wrong:
            _LOG.warning("Not ready, and serves the other models", extra=extra | {"wrong": sorted(wrong)})
        else:
            _LOG.info("Ready", extra=extra)
        return 0

    def _age_seconds(self) -> float:
        return round(time.time() - self._start_seconds, 3)

    async def _end(self, signals: Signals, serving: "_Serving") -> int:
        name = signal.Signals(signals.number).name
        _LOG.info("Draining", extra={"signal": name, "drain_seconds": self._settings.drain_seconds})
        was_ready = self._repository.is_ready
        self._repository.drain()
        self._main.close_connections_after_answers()
        orderly = asyncio.create_task(self._drain(serving, self._settings.drain_seconds if was_ready else 0.0))
        hurried = asyncio.create_task(signals.second.wait())
        await asyncio.wait({orderly, hurried}, return_when=asyncio.FIRST_COMPLETED)
        if not orderly.done():
            _LOG.warning("Stopping at once", extra={"in_flight": self._metrics.in_flight})
            return 128 + signals.number
        orderly.result()
        self._repository.close()
        self._watch.close(LAST_SPANS_SECONDS)
        unanswered = sum(listener.unanswered for listener in self._listeners)
        if unanswered:
            _LOG.warning("Stopped with requests unanswered", extra={"unanswered": unanswered})
            return 1
        _LOG.info("Stopped")
        return 0

    async def _drain(self, serving: "_Serving", drain_seconds: float) -> None:
        await asyncio.sleep(drain_seconds)
        for listeners in (self._listeners, self._closed_last):
            for listener in listeners:
                listener.should_exit = True
            await asyncio.gather(*(serving[listener] for listener in listeners))


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _limits(settings: Settings) -> Limits:
    return Limits(
        head_seconds=settings.head_seconds,
        head_bytes=settings.max_header_bytes,
        body_seconds=settings.body_seconds,
        unread_seconds=settings.unread_seconds,
        idle_seconds=settings.idle_seconds,
        connections=min(settings.max_connections, most_connections()),
    )


def _patience(settings: Settings) -> repository.Limits:
    return repository.Limits(
        memory_bytes=settings.model_memory_bytes,
        wait_seconds=settings.model_wait_seconds,
        waiting=settings.queue_size + settings.concurrency,
        close_seconds=settings.shutdown_seconds,
        by_request=settings.manages,
    )


def run(settings: Settings, start_seconds: float, plan: StartPlan, loads: Loads) -> int:
    """Serve until the end; return the exit code.

    Args:
        settings: how.
        start_seconds: unix time of the start of the process.
        plan: the models to begin with.
        loads: loads of them that have begun already.

    Raises:
        OSError: a port can't be had.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        application = Application(settings, start_seconds, loads)
        return runner.run(application.run(plan))
