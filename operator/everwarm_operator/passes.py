"""The one loop: every interval, all ModelServices at once; and at once the one whose spec or child changed.

There is no timer and no task per object: the number of queries of a pass does not grow with the number of services.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from everwarm_operator import facts, observe
from everwarm_operator.errors import KubeError, OperatorError
from everwarm_operator.facts import Key, Raw, ServiceFacts
from everwarm_operator.kube import Kube
from everwarm_operator.observe import Question, Readings
from everwarm_operator.past import Past
from everwarm_operator.prometheus import Prometheus
from everwarm_operator.reconcile import Known, Reconciler
from everwarm_operator.settings import Settings
from everwarm_operator.telemetry import Telemetry
from everwarm_operator.wake import Waker

logger = logging.getLogger(__name__)

# Requests for early passes are collected for this long: a change comes as several watch events.
COLLECT_SECONDS = 0.3
# With more at once, a pass over all services costs less than one for each.
EARLY_AT_MOST = 10
_AT_ONCE = 8


class Passes:
    """The loop, and the requests for passes ahead of time.

    Args:
        kube: the cluster.
        prometheus: who measures.
        waker: who wakes revisions.
        settings: interval, window, staleness.
        telemetry: where to count.
        instance: name of this process, for events.
        leads: whether this process may act; one that may not stands by.
        clock: unix time; replaced in tests.
    """

    def __init__(
        self,
        kube: Kube,
        prometheus: Prometheus,
        waker: Waker,
        settings: Settings,
        telemetry: Telemetry,
        *,
        instance: str = "everwarm",
        leads: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._kube = kube
        self._prometheus = prometheus
        self._settings = settings
        self._question = Question(settings.window_seconds, settings.stale_seconds, settings.pod_start_seconds)
        self._past = Past(prometheus, settings.history_seconds)
        self._telemetry = telemetry
        self._leads = leads
        self._clock = clock
        self._reconciler = Reconciler(kube, waker, settings, telemetry, instance)
        self._requested: set[Key] = set()
        self._wake = asyncio.Event()
        self._ended_at: float | None = None
        self._due_at = 0.0

    def request(self, key: Key) -> None:
        """Ask for a pass over one service now."""
        self._requested.add(key)
        self._wake.set()

    def leadership_changed(self, leads: bool) -> None:
        """Begin afresh: what this process remembers is older than what the last leader wrote."""
        self._telemetry.leader.set(int(leads))
        self._reconciler.forget_all_but(())
        self._past.forget()
        self._requested.clear()
        self._due_at = 0.0
        self._wake.set()

    def seconds_since_last(self) -> float | None:
        """Seconds (of the event loop's clock) since a pass ended, however it went; `None` before the first."""
        return None if self._ended_at is None else asyncio.get_running_loop().time() - self._ended_at

    async def run(self) -> None:
        """Pass after pass, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._leads():
                self._requested.clear()
            elif loop.time() >= self._due_at or len(self._requested) > EARLY_AT_MOST:
                self._due_at = loop.time() + self._settings.interval_seconds
                self._requested.clear()
                await self._guarded(None)
            for key in list(self._requested):
                self._requested.discard(key)
                await self._guarded(key)
            self._ended_at = loop.time()
            await self._wait(self._due_at - loop.time() if self._leads() else self._settings.interval_seconds)

    async def once(self, key: Key | None = None) -> None:
        """One pass over all services, or over one.

        Raises:
            KubeError: not even the ModelServices can be listed.
        """
        now = self._clock()
        services, children, readings = await asyncio.gather(
            self._kube.modelservices(key),
            self._children(key),
            observe.ask(self._prometheus, self._question, now),
        )
        past = await self._past.more(map(facts.key, services), now) if key is None else {}
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(raw: Raw) -> None:
            name = facts.key(raw)
            found = children if isinstance(children, OperatorError) else children.get(name, ServiceFacts())
            async with limit:
                await self._reconciler.service(raw, found, Known(readings, past.get(name)), now)

        await asyncio.gather(*(one(raw) for raw in services))
        if key is None:
            self._reconciler.forget_all_but(raw["metadata"].get("uid", "") for raw in services)
            self._count(len(services), readings)

    async def _children(self, key: Key | None) -> dict[Key, ServiceFacts] | KubeError:
        try:
            return facts.read(await self._kube.children(key))
        except KubeError as error:
            return error  # shown on each ModelService

    async def _guarded(self, key: Key | None) -> None:
        """A pass whose failure is counted, logged and forgotten: the next one starts from what stands."""
        started = time.perf_counter()
        try:
            await self.once(key)
        except OperatorError as error:
            self._telemetry.passes_failed.inc()
            logger.warning("A pass failed: %s", error)
        except Exception:  # the loop must outlive a bug; the log has all of it
            self._telemetry.passes_failed.inc()
            logger.exception("A pass failed")
        else:
            self._telemetry.last_pass_time.set(self._clock())
        if key is None:
            self._telemetry.pass_seconds.observe(time.perf_counter() - started)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._wake.wait()
                await asyncio.sleep(COLLECT_SECONDS)
        except TimeoutError:
            pass
        self._wake.clear()

    def _count(self, services: int, readings: Readings) -> None:
        self._telemetry.services.set(services)
        self._telemetry.prometheus_up.set(0 if readings.error else 1)
