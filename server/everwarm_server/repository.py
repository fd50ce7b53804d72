"""The models of one server: which are there, in which state, and which of their versions answers a request.

A model is served by its name and a version, or by its name alone: then by its default version, the highest that is
there. To load a version again, or a newer one, hurts no request: it is loaded beside the old one, then takes over
between two turns of the event loop; the old one answers what it has, and is closed. With a budget of memory, models
that nobody asks for leave it for those that somebody does (residency.py).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from everwarm_server.arriving import Arriving
from everwarm_server.catalogue import Catalogue, Policy, Source, StartPlan, stamp
from everwarm_server.dataplane import DataPlane
from everwarm_server.errors import Forbidden, ModelNotFound, ModelNotReady, ServingError
from everwarm_server.loading import Loaded
from everwarm_server.protocol.sentences import listed, shown
from everwarm_server.residency import Residency, Rules
from everwarm_server.served import Model, State, Version
from everwarm_server.telemetry.metrics import Metrics

Load: TypeAlias = Callable[[Source], Awaitable[Loaded]]
Open: TypeAlias = Callable[[Source], DataPlane]
Observer: TypeAlias = Callable[[str, str | None, DataPlane | None], None]

RETRY_SECONDS: Final = 30.0  # after a model could not be loaded for a request, until another request has it tried again
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient a repository is.

    Attributes:
        memory_bytes: what the models may take together; None: as much as they want.
        wait_seconds: time that a request waits for a model that is loaded for it.
        waiting: requests that may wait for one model.
        close_seconds: time that the requests of a version that goes may take.
        by_request: whether models may be loaded and unloaded by request.
    """

    memory_bytes: int | None = None
    wait_seconds: float = 60.0
    waiting: int = 1000
    close_seconds: float = 60.0
    by_request: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """A version in the index; `reason` says why it is not ready, or why it could not be loaded again."""

    name: str
    version: str
    state: str
    reason: str = ""


class Repository:
    """See the module. Its methods belong to the event loop's thread.

    Args:
        catalogue: the models that may be served.
        metrics: of the process.
        open_plane: makes the path of a version, before it is loaded.
        load: loads a version; raises whatever was wrong with it.
        limits: how patient it is.
    """

    def __init__(
        self, catalogue: Catalogue, metrics: Metrics, open_plane: Open, load: Load, limits: Limits | None = None
    ) -> None:
        self.metrics = metrics
        self._catalogue = catalogue
        self._open = open_plane
        self._load = load
        self._limits = limits or Limits()
        rules = Rules(self._may_leave, self._leave)
        self._residency = Residency(metrics, self._limits.memory_bytes, self._limits.close_seconds, rules)
        self._models: dict[str, Model] = {}
        self._routes: dict[tuple[str, str | None], DataPlane] = {}
        self._observers: list[Observer] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._awaited: dict[tuple[str, str], str] = {}  # for the server to be ready, with the reason why they are not
        self._draining = False

    async def start(self, plan: StartPlan) -> dict[str, str]:
        """Load the models that are loaded at the start; give the reasons why some are not there, by name."""
        loads, now = [], set(plan.now)
        for name, (default, sources) in plan.models.items():
            model = self._models[name] = Model(name, default)
            for source in sources:
                self.metrics.declare(name, source.concurrency)
                version = model.versions[source.version] = Version(source)
                if source in now:
                    self._awaited[name, source.version] = ""
                    loads.append(self._bring(model, version, self._opened(version)))
        for name, reason in plan.wrong.items():
            self._models[name] = Model(name, reason=reason)
            self._awaited[name, ""] = reason
            _LOG.error("The model can't be served: %s", reason.rstrip("."), extra={"model": name})
        self._note_readiness()
        await asyncio.gather(*loads)
        return {name: reason for (name, _), reason in self._awaited.items() if reason}

    def _opened(self, version: Version, arriving: Arriving | None = None) -> DataPlane:
        """Let requests find a version that is not loaded yet."""
        plane = version.plane = self._open(version.source)
        plane.arriving = arriving
        version.state, version.reason = State.LOADING, ""
        return plane

    def find(self, name: str, version: str | None = None) -> DataPlane:
        """Who answers requests to a model. Before anything else, wait for `plane.until_loaded()`: it may be cold.

        What counts as answering is between `plane.metrics.arrived` and `answered`; call the first one before the next
        await, since a version that is not in use may go at any time.

        Raises:
            ModelNotFound: nobody.
            ModelNotReady: it is not loaded, and this request does not have it loaded.
        """
        plane = self._routes.get((name, version))
        return plane if plane is not None else self._find_unready(name, version)

    def _find_unready(self, name: str, number: str | None) -> DataPlane:
        model = self._known(name)
        version = model.find(number)
        if version is None:
            if number is None:
                raise ModelNotReady(f"The model {shown(name)} is not loaded: {model.reason or 'it has no version.'}")
            raise ModelNotFound(
                f"The model {shown(name)} has no version {shown(number)} here; it has {listed(list(model.versions))}."
            )
        if version.plane is not None:
            return version.plane
        if self._draining or not version.may_be_fetched(time.monotonic()):
            raise ModelNotReady(f"The model {shown(name)} is not loaded: {version.reason or 'the server drains.'}")
        plane = self._opened(version, Arriving(name, self._limits.wait_seconds, self._limits.waiting))
        task = asyncio.create_task(self._bring(model, version, plane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return plane

    def _known(self, name: str) -> Model:
        model = self._models.get(name)
        if model is None:
            raise ModelNotFound(f"Request for unknown model {shown(name)}; this server has {listed(self.names)}.")
        return model

    def check_model(self, name: str, number: str | None = None) -> None:
        """See that requests to a model are answered; a cold one is loaded for the first of them.

        Raises:
            ModelNotFound, ModelNotReady: they are not.
        """
        version = self._known(name).find(number)
        if self._draining or version is None or not version.may_be_fetched(time.monotonic()):
            self.find(name, number).check_ready()

    def planes(self) -> Iterator[DataPlane]:
        """All versions that are loaded or being loaded."""
        for model in self._models.values():
            for version in model.ordered():
                if version.plane is not None:
                    yield version.plane

    @property
    def names(self) -> list[str]:
        """The names of all models."""
        return list(self._models)

    def versions(self, name: str) -> list[str]:
        """The versions of a model that requests may ask for, lowest first.

        Raises:
            ModelNotFound: there is no such model.
        """
        gone = {State.UNLOADED, State.FAILED}
        return [each.source.version for each in self._known(name).ordered() if each.state not in gone]

    def observe(self, observer: Observer) -> None:
        """Call it with a name, a version or None and who answers them, now for all and then at each change.

        Only what is loaded counts. A plane of None says that nobody answers any more, or not yet.
        """
        self._observers.append(observer)
        for (name, version), plane in self._routes.items():
            observer(name, version, plane)

    def _route(self, model: Model) -> None:
        """Bring the routes of a model up to date, and tell the observers."""
        wanted = model.routes()
        for number in [number for name, number in self._routes if name == model.name and number not in wanted]:
            del self._routes[model.name, number]
            self._tell(model.name, number, None)
        for number, plane in wanted.items():
            if self._routes.get((model.name, number)) is not plane:
                self._routes[model.name, number] = plane
                self._tell(model.name, number, plane)

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
            ModelNotReady: a model that belongs to the start is not there, or the server drains.
        """
        if self._draining:
            raise ModelNotReady("The server drains: it answers what it gets, but send new requests elsewhere.")
        for (name, _), reason in self._awaited.items():
            if reason:
                raise ModelNotReady(f"The model {name!r} can't be served: {reason}")
            raise ModelNotReady(f"The model {name!r} is still being loaded; try again later.")

    def _note_readiness(self) -> None:
        if self.is_ready:
            self.metrics.ready(time.time())

    async def load(self, name: str, policy: Policy | None = None) -> None:
        """Load a model, or load it again where its files have changed; returns when it answers.

        What the policy, by default that of the list, does not name any more is unloaded. If something can't be loaded,
        what was there before still is.

        Raises:
            Forbidden: this server does not load by request.
            ModelNotFound: there is no such model.
            ModelNotReady: the server drains.
            ModelError: it can't be loaded.
        """
        self._check_by_request()
        spec = (await asyncio.to_thread(self._catalogue)).get(name)
        if spec is None:
            raise ModelNotFound(f"failed to load {shown(name)}: there is no model of that name here.")
        model = self._models.setdefault(name, Model(name))
        async with model.lock:
            sources = {source.version: source for source in await asyncio.to_thread(spec.sources, policy)}
            model.default, model.reason = spec.default, ""
            self._awaited.pop((name, ""), None)
            for number, source in sources.items():
                self.metrics.declare(name, source.concurrency)
                await self._load_version(model, model.versions.setdefault(number, Version(source)), source)
            for number in [number for number in model.versions if number not in sources]:
                self._let_go(model, model.versions.pop(number), State.UNLOADED)
            self._route(model)
            self._note_readiness()

    async def _load_version(self, model: Model, version: Version, source: Source) -> None:
        now = await asyncio.to_thread(stamp, source.directory)
        unchanged = now is not None and (version.stamp, version.source) == (now, source)
        version.source = source
        if version.state is State.READY and unchanged:
            return
        if version.state is State.READY:
            error = await self._load_into(model, version, self._open(source))
        else:
            arriving = Arriving(model.name, self._limits.wait_seconds, self._limits.waiting)
            error = await self._load_into(model, version, version.plane or self._opened(version, arriving))
        if error is not None:
            raise error

    async def _bring(self, model: Model, version: Version, plane: DataPlane) -> None:
        """Load a version because of the start, or of a request."""
        async with model.lock:
            if version.plane is plane and not plane.is_loaded:
                await self._load_into(model, version, plane)

    async def _load_into(self, model: Model, version: Version, plane: DataPlane) -> Exception | None:
        """Load a version; give what was wrong."""
        source = version.source
        try:
            version.stamp = await asyncio.to_thread(stamp, source.directory)
            # For half of the time, so that whoever waits is told why it was in vain.
            await self._residency.make_room(plane, source, version.size_bytes, self._limits.wait_seconds / 2)
            loaded = await self._load(source)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told to whoever asks for the model
            self._failed(model, version, plane, error)
            return error
        self._serve(model, version, plane, loaded)
        return None

    def _failed(self, model: Model, version: Version, plane: DataPlane, error: Exception) -> None:
        reason = str(error) if isinstance(error, ServingError) else f"{type(error).__name__}: {error}"
        key = (model.name, version.source.version)
        _LOG.error("The model can't be served: %s", reason.rstrip("."), extra={"model": key[0], "version": key[1]})
        # At the start there may be less room than the sizes of files promised: then its first request has it loaded.
        cold = isinstance(error, ModelNotReady) and self._awaited.pop(key, None) is not None
        if version.plane is plane:
            version.put_away(State.COLD if cold else State.FAILED)
            version.retry_seconds = time.monotonic() + RETRY_SECONDS
        version.reason, version.stamp = reason, None
        if key in self._awaited:
            self._awaited[key] = reason
        self._note_readiness()
        if plane.arriving is not None:
            plane.arriving.over(reason)
        self._residency.close(plane)

    def _serve(self, model: Model, version: Version, plane: DataPlane, loaded: Loaded) -> None:
        """A version answers from now on, in place of one with the same number."""
        for phase, seconds in loaded.phase_seconds.items():
            plane.metrics.phase(phase, seconds)
        before = self._routes.get((model.name, None))
        plane.serve(loaded.runtime, None if before is None else before.metrics.ready_seconds, loaded.batching)
        old, version.plane = version.plane, plane
        version.state, version.reason, version.size_bytes = State.READY, "", loaded.size_bytes
        self._route(model)
        if plane.arriving is not None:
            plane.arriving.over()
        self._residency.loaded(plane, loaded.size_bytes)
        self._awaited.pop((model.name, version.source.version), None)
        self._note_readiness()
        phases = {f"{phase}_seconds": round(seconds, 3) for phase, seconds in loaded.phase_seconds.items()}
        known = {"model": model.name, "version": version.source.version, "device": loaded.runtime.device}
        _LOG.info("Loaded", extra=known | phases | {"size_bytes": loaded.size_bytes})
        if old is not None and old is not plane:
            self._residency.close(old)

    def _may_leave(self, plane: DataPlane) -> bool:
        model = self._models[plane.name]
        return not model.lock.locked() and not model.versions[plane.version].source.pinned

    def _leave(self, plane: DataPlane) -> None:
        """A version leaves the memory until somebody asks for it."""
        model = self._models[plane.name]
        version = model.versions[plane.version]
        version.put_away(State.COLD)
        self._route(model)
        _LOG.info("Gave up its memory", extra={"model": plane.name, "version": plane.version})

    async def unload(self, name: str) -> None:
        """Take a model away; returns when the requests that it had are answered and it is closed.

        Raises:
            Forbidden: this server does not unload by request.
            ModelNotFound: there is no such model.
            ModelNotReady: the server drains.
        """
        self._check_by_request()
        model = self._known(name)
        async with model.lock:
            closing = [self._let_go(model, version, State.UNLOADED) for version in model.versions.values()]
            for key in [key for key in self._awaited if key[0] == name]:
                del self._awaited[key]
            self._route(model)
            self._note_readiness()
        await asyncio.gather(*filter(None, closing))

    def _let_go(self, model: Model, version: Version, state: State) -> "asyncio.Task[None] | None":
        plane = version.put_away(state, "it was unloaded.")
        self._awaited.pop((model.name, version.source.version), None)
        if plane is None:
            return None
        if plane.arriving is not None:
            plane.arriving.over(version.reason)
        return self._residency.close(plane)

    def _check_by_request(self) -> None:
        if not self._limits.by_request:
            raise Forbidden("This server does not load or unload models by request; EVERWARM_MANAGEMENT allows it.")
        if self._draining:
            raise ModelNotReady("The server drains: it loads and unloads nothing any more.")

    def index(self) -> list[Entry]:
        """All versions that are known, and models of which no version is."""
        found = []
        for model in self._models.values():
            for version in model.ordered():
                reason = version.reason or ("its next request has it loaded." if version.state is State.COLD else "")
                found.append(Entry(model.name, version.source.version, version.state.shown, reason))
            if not model.versions:
                found.append(Entry(model.name, "", State.FAILED.shown, model.reason))
        return found

    def drain(self) -> None:
        """Say that no more requests should come; those that do are answered still."""
        self._draining = True
        for plane in self.planes():
            plane.drain()

    def close(self) -> None:
        """Free all models but those that an inference still uses."""
        for plane in self.planes():
            try:
                plane.close()
            except Exception:  # noqa: BLE001 - it is the model's code; the others are closed all the same
                _LOG.exception("The model failed to close", extra={"model": plane.name, "version": plane.version})
