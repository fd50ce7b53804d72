"""What one name stands for: the versions of a model, the state of each, and which answers where none is asked for."""

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from everwarm_server.catalogue import Source
from everwarm_server.dataplane import DataPlane


class State(StrEnum):
    """Of a version."""

    COLD = "COLD"
    """Not in memory; the next request has it loaded."""
    LOADING = "LOADING"
    READY = "READY"
    FAILED = "FAILED"
    """It could not be loaded."""
    UNLOADED = "UNLOADED"
    """Somebody wanted it away."""

    @property
    def shown(self) -> str:
        """The state as Triton's repository index has it (extension_model_repository.md)."""
        return self.value if self in {State.LOADING, State.READY} else "UNAVAILABLE"


_RANKS: Final = {State.READY: 3, State.COLD: 3, State.LOADING: 2, State.FAILED: 1, State.UNLOADED: 0}


@dataclass(slots=True, eq=False)
class Version:
    """One version.

    Attributes:
        source: where it lies.
        state: what it is in.
        plane: who answers its requests, while it is ready or being loaded.
        reason: why it is not ready, or why the last attempt to load it again failed.
        size_bytes: what it took in memory when it was loaded last; 0: not known.
        stamp: of its files, when they were loaded.
        retry_seconds: when a request may have it loaded again after a failure, by time.monotonic().
    """

    source: Source
    state: State = State.COLD
    plane: DataPlane | None = None
    reason: str = ""
    size_bytes: int = 0
    stamp: object = None
    retry_seconds: float = math.inf

    def may_be_fetched(self, now_seconds: float) -> bool:
        """Whether a request has it loaded."""
        return self.state is State.COLD or (self.state is State.FAILED and now_seconds >= self.retry_seconds)

    def put_away(self, state: State, reason: str = "") -> DataPlane | None:
        """Nobody answers any more; whoever did is given back, to be closed."""
        plane, self.plane = self.plane, None
        self.state, self.reason = state, reason
        return plane


@dataclass(slots=True, eq=False)
class Model:
    """All versions of a model.

    Attributes:
        name: as clients call it.
        default: the version that answers where none is asked for; None: the highest that can.
        versions: by their numbers.
        lock: held while one of them is loaded or unloaded.
        reason: why nothing is known of its versions.
    """

    name: str
    default: str | None = None
    versions: dict[str, Version] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    reason: str = ""

    def find(self, version: str | None) -> Version | None:
        """A version; without a number the default one."""
        if version is not None:
            return self.versions.get(version)
        if self.default is not None and self.default in self.versions:
            return self.versions[self.default]
        return max(
            self.versions.values(), key=lambda each: (_RANKS[each.state], int(each.source.version)), default=None
        )

    def routes(self) -> dict[str | None, DataPlane]:
        """Who answers by a version and, by None, without one; only those that are ready."""
        found: dict[str | None, DataPlane] = {}
        for number, version in (*self.versions.items(), (None, self.find(None))):
            if version is not None and version.state is State.READY and version.plane is not None:
                found[number] = version.plane
        return found

    def ordered(self) -> Iterable[Version]:
        """Its versions, lowest first."""
        return sorted(self.versions.values(), key=lambda each: int(each.source.version))
