"""The models of one server: which are there, in which state, and which of their versions answers a request.

A model is served by its name and a version, or by its name alone: then by its default version, the highest that is
ready. To load a version again, or a newer one, hurts no request: it is loaded beside the old one, then takes over
between two turns of the event loop; the old one answers what it has, and is closed.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from everwarm_server.catalogue import Source
from everwarm_server.dataplane import DataPlane
from everwarm_server.errors import ModelNotFound, ModelNotReady, ServingError
from everwarm_server.loading import Loaded
from everwarm_server.protocol.sentences import listed, shown
from everwarm_server.telemetry.metrics import Metrics

Load: TypeAlias = Callable[[Source], Awaitable[Loaded]]
Open: TypeAlias = Callable[[Source], DataPlane]
Observer: TypeAlias = Callable[[str, str | None, DataPlane | None], None]

TICK_SECONDS: Final = 0.02  # between looks at a version that answers its last requests
_LOG: Final = logging.getLogger(__name__)


class State(StrEnum):
    """Of a version; the names are those of Triton's repository index."""

    LOADING = "LOADING"
    READY = "READY"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class Entry:
    """A version in the index; `reason` says why it is not ready, if there is something to say."""

    name: str
    version: str
    state: State
    reason: str = ""


class _Model:
    """A name, and what is served by it."""

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}
        self.planes: dict[str, DataPlane] = {}
        self.reasons: dict[str, str] = {}  # why a version is not there
        self.lock = asyncio.Lock()  # one load or unload at a time

    @property
    def default(self) -> DataPlane | None:
        """The highest version that is ready; the highest of those that are being loaded, where none is."""
        planes = [plane for plane in self.planes.values() if plane.is_loaded] or list(self.planes.values())
        return max(planes, key=lambda plane: int(plane.version), default=None)


class Repository:
    """See the module. Its methods belong to the event loop's thread.

    Args:
        sources: the models that may be served.
        metrics: of the process.
        open_plane: makes the path of a version, before it is loaded.
        load: loads a version; raises whatever was wrong with it.
        close_seconds: time that the requests of a version that goes may take.
    """

    def __init__(
        self, sources: Iterable[Source], metrics: Metrics, open_plane: Open, load: Load, close_seconds: float = 60.0
    ) -> None:
        self.metrics = metrics
        self._open = open_plane
        self._load = load
        self._close_seconds = close_seconds
        self._models: dict[str, _Model] = {}
        self._routes: dict[tuple[str, str | None], DataPlane] = {}
        self._observers: list[Observer] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._awaited: set[tuple[str, str]] = set()  # at the start, for the server to be ready
        self._draining = False
        for source in sources:
            self._models.setdefault(source.name, _Model()).sources[source.version] = source

    def find(self, name: str, version: str | None = None) -> DataPlane:
        """Who answers requests to a model. It may still be loading: then it refuses them.

        What counts as answering is between `plane.metrics.arrived` and `answered`; call the first one before the next
        await, since a version that is not in use may go at any time.

        Raises:
            ModelNotFound: nobody.
            ModelNotReady: it is not loaded.
        """
        plane = self._routes.get((name, version))
        if plane is None:
            raise self.not_served(name, version)
        return plane

    def not_served(self, name: str, version: str | None) -> ServingError:
        """What to say of a name or a version that nobody answers."""
        model = self._models.get(name)
        if model is None:
            return ModelNotFound(f"There is no model {shown(name)} here; this server has {listed(list(self._models))}.")
        if version is not None and version not in model.sources:
            return ModelNotFound(
                f"The model {shown(name)} has no version {shown(version)} here; it has {listed(list(model.sources))}."
            )
        reasons = [model.reasons.get(each, "") for each in ([version] if version else model.sources)]
        reason = next((f": {each}" for each in reasons if each), ".")
        return ModelNotReady(f"The model {shown(name)} is not loaded{reason}")

    def planes(self) -> Iterator[DataPlane]:
        """All versions that are loaded or being loaded."""
        for model in self._models.values():
            yield from model.planes.values()

    @property
    def names(self) -> list[str]:
        """The names of all models."""
        return list(self._models)

    def versions(self, name: str) -> list[str]:
        """The versions of a model that are loaded or being loaded, lowest first."""
        return sorted(self._models[name].planes, key=int)

    def observe(self, observer: Observer) -> None:
        """Call it with a name, a version or None and who answers them, now for all and then at each change.

        A plane of None says that nobody answers any more.
        """
        self._observers.append(observer)
        for (name, version), plane in self._routes.items():
            observer(name, version, plane)

    def _route(self, name: str) -> None:
        """Bring the routes of a model up to date, and tell the observers."""
        model = self._models[name]
        wanted: dict[str | None, DataPlane] = {}
        wanted.update(model.planes)
        if model.default is not None:
            wanted[None] = model.default
        for version in [version for routed, version in self._routes if routed == name and version not in wanted]:
            del self._routes[name, version]
            self._tell(name, version, None)
        for version, plane in wanted.items():
            if self._routes.get((name, version)) is not plane:
                self._routes[name, version] = plane
                self._tell(name, version, plane)

    def _tell(self, name: str, version: str | None, plane: DataPlane | None) -> None:
        for observer in self._observers:
            observer(name, version, plane)

    @property
    def is_ready(self) -> bool:
        """Whether new requests should come here."""
        return not self._draining and not self._awaited

    def check_ready(self) -> None:
        """See that new requests should come here.

        Raises:
            ModelNotReady: a model is still being loaded, or the server drains.
        """
        if self._draining:
            raise ModelNotReady("The server drains: it answers what it gets, but send new requests elsewhere.")
        for name, _ in self._awaited:
            raise ModelNotReady(f"The model {name!r} is still being loaded; try again later.")

    def start(self) -> list[tuple[Source, DataPlane]]:
        """Open all versions; the server is ready when `serve` was called for each of them."""
        opened = []
        for name, model in self._models.items():
            for version, source in model.sources.items():
                plane = model.planes[version] = self._open(source)
                self._awaited.add((name, version))
                opened.append((source, plane))
            self._route(name)
        return opened

    def serve(self, plane: DataPlane, loaded: Loaded) -> None:
        """A version is loaded and warmed: it answers from now on, in place of one with the same version."""
        for phase, seconds in loaded.phase_seconds.items():
            plane.metrics.phase(phase, seconds)
        model = self._models[plane.name]
        before = model.default
        warm = before is not None and before.is_loaded
        plane.serve(loaded.runtime, before.metrics.ready_seconds if before is not None and warm else time.time())
        old = model.planes.get(plane.version)
        model.planes[plane.version] = plane
        model.reasons.pop(plane.version, None)
        self._route(plane.name)
        self._awaited.discard((plane.name, plane.version))
        if self.is_ready:
            self.metrics.ready(time.time())
        if old is not None and old is not plane:
            self._retire(old)

    async def load(self, name: str) -> None:
        """Load a model, or load it again; returns when it answers.

        Raises:
            ModelNotFound: there is no such model.
            ModelError: it can't be served; a version that was there before still is.
        """
        model = self._known(name)
        async with model.lock:
            for source in model.sources.values():
                await self._load_version(model, source)

    async def _load_version(self, model: _Model, source: Source) -> None:
        plane = self._open(source)
        if source.version not in model.planes:
            model.planes[source.version] = plane
            self._route(source.name)
        try:
            loaded = await self._load(source)
        except BaseException as error:
            model.reasons[source.version] = str(error)
            if model.planes.get(source.version) is plane:
                del model.planes[source.version]
                self._route(source.name)
            self._retire(plane)
            raise
        self.serve(plane, loaded)

    async def unload(self, name: str) -> None:
        """Take a model away; returns when the requests that it had are answered and it is closed.

        Raises:
            ModelNotFound: there is no such model.
        """
        model = self._known(name)
        async with model.lock:
            planes, model.planes = list(model.planes.values()), {}
            model.reasons = dict.fromkeys(model.sources, "it was unloaded.")
            self._route(name)
            self._awaited -= {(name, version) for version in model.sources}
            for plane in planes:
                self._retire(plane)
        await asyncio.gather(*self._closing)

    def _known(self, name: str) -> _Model:
        model = self._models.get(name)
        if model is None:
            raise ModelNotFound(f"There is no model {shown(name)} here; this server has {listed(list(self._models))}.")
        return model

    def _retire(self, plane: DataPlane) -> None:
        plane.retire()
        task = asyncio.create_task(self._close(plane))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, plane: DataPlane) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._close_seconds
        while plane.in_use and loop.time() < end:  # noqa: ASYNC110 - each request would have to set an Event
            await asyncio.sleep(TICK_SECONDS)
        if plane.in_use:
            _LOG.warning("Closed a version that still had requests", extra={"model": plane.name})
        plane.close()
        self.metrics.retire(plane.name, plane.metrics)

    def index(self) -> list[Entry]:
        """All versions that are known."""
        found = []
        for name, model in self._models.items():
            for version in sorted(model.sources, key=int):
                plane = model.planes.get(version)
                state = State.UNAVAILABLE if plane is None else State.READY if plane.is_loaded else State.LOADING
                found.append(Entry(name, version, state, model.reasons.get(version, "")))
        return found

    def drain(self) -> None:
        """Say that no more requests should come; those that do are answered still."""
        self._draining = True
        for plane in self.planes():
            plane.drain()

    def close(self) -> None:
        """Free all models but those that an inference still uses."""
        for plane in self.planes():
            plane.close()
