"""Who is in memory: models come when there is room, the least recently used leave to make some, and what goes is freed.

A model counts from before it is loaded, by the size of its files or by what it took the last time, to after it is
closed. What runs out of its budget nevertheless, since nobody knows a size before, is mended after the load.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from everwarm_server.catalogue import Source, size_bytes
from everwarm_server.dataplane import DataPlane
from everwarm_server.errors import ModelError, ModelNotReady
from everwarm_server.memory import Resident, leaving
from everwarm_server.telemetry.metrics import Metrics

TICK_SECONDS: Final = 0.02  # between looks at a version that answers its last requests, and at who may leave
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a residency asks its owner.

    Attributes:
        may_leave: whether a version that is not in use may be closed.
        leave: closes it: no request may find it any more.
    """

    may_leave: Callable[[DataPlane], bool]
    leave: Callable[[DataPlane], None]


class Residency:
    """See the module. Its methods belong to the event loop's thread.

    Args:
        metrics: of the process.
        budget_bytes: what all models may take together; None: as much as they want.
        close_seconds: time that the requests of a version that goes may take.
        rules: what its owner says.
    """

    def __init__(self, metrics: Metrics, budget_bytes: int | None, close_seconds: float, rules: Rules) -> None:
        self._metrics = metrics
        self._budget_bytes = budget_bytes
        self._close_seconds = close_seconds
        self._rules = rules
        self._sizes_bytes: dict[DataPlane, int] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def size_bytes(self, plane: DataPlane) -> int:
        """What a version takes, or is expected to."""
        return self._sizes_bytes.get(plane, 0)

    async def make_room(self, plane: DataPlane, source: Source, known_bytes: int, wait_seconds: float) -> None:
        """Count a version that is about to be loaded; before that, let others leave if there is no room.

        Args:
            plane: the version.
            source: where it lies.
            known_bytes: what it took the last time; 0: not known.
            wait_seconds: how long those that are in use may keep it waiting.

        Raises:
            ModelError: it is larger than the whole budget.
            ModelNotReady: all that could leave stayed in use.
        """
        budget_bytes = self._budget_bytes
        if budget_bytes is None:
            self._sizes_bytes[plane] = known_bytes
            return
        needed_bytes = known_bytes or await asyncio.to_thread(size_bytes, source.directory)
        if needed_bytes > budget_bytes:
            raise ModelError(
                f"It needs {needed_bytes} bytes, and the budget for all models is {budget_bytes} (MODEL_MEMORY_BYTES)."
            )
        try:
            async with asyncio.timeout(wait_seconds):
                await _until(lambda: leaving(self._residents(), needed_bytes, budget_bytes) is not None)
                for each in leaving(self._residents(), needed_bytes, budget_bytes) or ():
                    self._send_away(each)
                self._sizes_bytes[plane] = needed_bytes
                await _until(lambda: sum(self._sizes_bytes.values()) <= budget_bytes)  # those that go are closed
        except TimeoutError:
            raise ModelNotReady(
                f"It needs {needed_bytes} bytes, and the models in memory are all in use or pinned; try again later."
            ) from None

    def loaded(self, plane: DataPlane, measured_bytes: int) -> None:
        """A version is there; if it is larger than expected, others leave now."""
        self._sizes_bytes[plane] = measured_bytes
        if self._budget_bytes is None:
            return
        others = [each for each in self._residents() if each.what is not plane]
        for leaver in leaving(others, measured_bytes, self._budget_bytes) or ():
            self._send_away(leaver)

    def _residents(self) -> list[Resident[DataPlane]]:
        """All but those that go already."""
        return [
            Resident(
                plane,
                taken_bytes,
                max(plane.metrics.last_arrival_seconds, plane.served_seconds),
                plane.is_loaded and not plane.in_use and self._rules.may_leave(plane),
            )
            for plane, taken_bytes in self._sizes_bytes.items()
            if not plane.retired
        ]

    def _send_away(self, plane: DataPlane) -> "asyncio.Task[None]":
        self._rules.leave(plane)
        return self.close(plane)

    def close(self, plane: DataPlane) -> "asyncio.Task[None]":
        """Close a version that no request finds any more, as soon as those that it has are answered."""
        plane.retire()
        task = asyncio.create_task(self._close(plane))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    async def _close(self, plane: DataPlane) -> None:
        try:
            async with asyncio.timeout(self._close_seconds):
                await _until(lambda: not plane.in_use)
        except TimeoutError:
            _LOG.warning("Closed with requests unanswered", extra={"model": plane.name, "version": plane.version})
        plane.stop()
        self._metrics.retire(plane.name, plane.metrics)
        if plane.is_loaded:
            await asyncio.to_thread(_free, plane, thoroughly=self._metrics.in_flight == 0)
        self._sizes_bytes.pop(plane, None)


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - each request would have to set an Event
        await asyncio.sleep(TICK_SECONDS)


def _free(plane: DataPlane, *, thoroughly: bool) -> None:
    """Close a model, and give what it held back to the kernel; takes a moment, so it runs in a thread.

    A collection holds the interpreter's lock. What was there at the start is frozen (app.py), models among them; to
    look at it, too, takes 0.1 s, for which everybody else waits.

    Args:
        plane: the model; its own code may fail or take its time.
        thoroughly: look at that, too.
    """
    try:
        plane.free()
    except Exception:  # noqa: BLE001 - it is the model's code; the server goes on
        _LOG.exception("The model failed to close", extra={"model": plane.name, "version": plane.version})
    if thoroughly:
        gc.unfreeze()
    gc.collect()
    if thoroughly:
        gc.freeze()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc keeps what is freed for itself until it is told
