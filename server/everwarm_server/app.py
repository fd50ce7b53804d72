"""The server's composition and its life: listen, load, serve, drain, end. Settings in, an exit code out."""

import asyncio
import gc
import logging
import signal
import time
from concurrent.futures import Future
from typing import Any, Final

import uvloop

from everwarm_server import loading
from everwarm_server.catalogue import Source
from everwarm_server.dataplane import DataPlane
from everwarm_server.errors import ServingError
from everwarm_server.loading import Loaded
from everwarm_server.repository import Repository
from everwarm_server.settings import Settings
from everwarm_server.telemetry.metrics import Metrics
from everwarm_server.transport.inference import Inference
from everwarm_server.transport.limits import Limits, most_connections
from everwarm_server.transport.listener import Listener, bind
from everwarm_server.transport.router import Router, metrics_only

_LOG: Final = logging.getLogger(__name__)


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

    def __init__(self, settings: Settings, start_seconds: float) -> None:
        self._settings = settings
        self._start_seconds = start_seconds
        self._imports_seconds = 0.0
        self._metrics = Metrics(start_seconds)
        self._repository = Repository(
            [settings.source()], self._metrics, self._open, self._load, settings.shutdown_seconds
        )
        ((_, self._plane),) = self._repository.start()
        inference = Inference(settings.max_body_bytes, settings.compress_bytes)
        token = None if settings.api_token is None else settings.api_token.get_secret_value()
        router = Router(self._repository, inference, token, metrics_here=settings.metrics_port is None)
        limits = _limits(settings)
        self._main = Listener(router, bind(settings.host, settings.port), settings.shutdown_seconds, limits)
        self._listeners = [self._main]
        if settings.metrics_port is not None:
            # Closed last, so that the last requests are still scraped.
            socket = bind(settings.host, settings.metrics_port)
            self._listeners.append(Listener(metrics_only(self._metrics), socket, 0.0, limits))

    def _open(self, source: Source) -> DataPlane:
        settings = self._settings
        metrics = self._metrics.model(source.name, source.concurrency)
        return DataPlane(
            source.name, source.concurrency, settings.queue_size, metrics, settings.inline_seconds, source.version
        )

    async def _load(self, source: Source) -> Loaded:
        return await asyncio.wrap_future(loading.start(source))

    async def run(self, first: "Future[Loaded]") -> int:
        """Serve until a signal or the failure of the model; return the exit code."""
        signals = Signals()
        serving = [asyncio.create_task(listener.serve_until_exit()) for listener in self._listeners]
        stopped = asyncio.create_task(signals.first.wait())
        self._imports_seconds = self._age_seconds()
        self._log("Listening", host=self._settings.host, port=self._main.port)
        loaded = asyncio.wrap_future(first)
        anything: set[asyncio.Future[Any]] = {loaded, stopped, *serving}
        await asyncio.wait(anything, return_when=asyncio.FIRST_COMPLETED)
        code = 0
        if loaded.done():
            code = self._loaded(loaded)
            if code == 0:
                await asyncio.wait(anything - {loaded}, return_when=asyncio.FIRST_COMPLETED)
        loaded.cancel()
        if code == 0 and stopped.done():
            return await self._end(signals, serving)
        for task in serving:
            if task.done():
                task.result()
        return code or 1

    def _loaded(self, loaded: "asyncio.Future[Loaded]") -> int:
        restart = "the process ends with code 1, for whoever started it to try again"
        try:
            result = loaded.result()
        except ServingError as error:
            _LOG.error("The model can't be served: %s; %s", str(error).rstrip("."), restart)
            return 1
        except Exception:  # noqa: BLE001 - whatever it is, it is logged and ends the process
            _LOG.exception("The model can't be served: it failed to load; %s", restart)
            return 1
        gc.freeze()  # what is here stays; each collection would look at it again, for 3 % of the time of a small model
        self._repository.serve(self._plane, result)
        phases = {f"{phase}_seconds": round(seconds, 3) for phase, seconds in result.phase_seconds.items()}
        phases |= {"imports_seconds": self._imports_seconds, "since_start_seconds": self._age_seconds()}
        self._log("Ready", device=result.runtime.device, **phases)
        return 0

    def _age_seconds(self) -> float:
        return round(time.time() - self._start_seconds, 3)

    def _log(self, message: str, **extra: object) -> None:
        _LOG.info(message, extra={"model": self._plane.name, **extra})

    async def _end(self, signals: Signals, serving: "list[asyncio.Task[None]]") -> int:
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
        if self._main.unanswered:
            _LOG.warning("Stopped with requests unanswered", extra={"unanswered": self._main.unanswered})
            return 1
        _LOG.info("Stopped")
        return 0

    async def _drain(self, serving: "list[asyncio.Task[None]]", drain_seconds: float) -> None:
        await asyncio.sleep(drain_seconds)
        for listener, task in zip(self._listeners, serving, strict=True):
            listener.should_exit = True
            await task


def _limits(settings: Settings) -> Limits:
    return Limits(
        head_seconds=settings.head_seconds,
        head_bytes=settings.max_header_bytes,
        body_seconds=settings.body_seconds,
        unread_seconds=settings.unread_seconds,
        idle_seconds=settings.idle_seconds,
        connections=min(settings.max_connections, most_connections()),
    )


def run(settings: Settings, start_seconds: float, first: "Future[Loaded]") -> int:
    """Serve until the end; return the exit code.

    Raises:
        OSError: a port can't be had.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        application = Application(settings, start_seconds)
        return runner.run(application.run(first))
