"""Which of several operators acts: a Lease in (coordination.k8s.io), the right to write until an instant out.

After client-go's tools/leaderelection: who holds the Lease renews it; who sees it unchanged for its whole duration, by
a clock of its own, takes it. No two clocks are compared, so none needs to be right. The holder stops to write well
before another may take the Lease, also when it was stopped or suspended in between: each write asks the clock first.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from everwarm_operator.errors import KubeError, NotLeader
from everwarm_operator.facts import Key, Raw
from everwarm_operator.floor import Target
from everwarm_operator.kube import Kube

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CONFLICT = 409


def boot_seconds() -> float:
    """Seconds since boot, those included in which the machine slept: a leader must notice that it lost them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class Terms:
    """Times of the election; client-go's defaults, but for a retry that spares the API server.

    Attributes:
        duration_seconds: unchanged for so long, the Lease may be taken.
        deadline_seconds: the holder writes for so long after its last renewal began.
        retry_seconds: between two looks, or two renewals.
    """

    duration_seconds: float = 15.0
    deadline_seconds: float = 10.0
    retry_seconds: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.retry_seconds < self.deadline_seconds < self.duration_seconds:
            raise ValueError("the retry must be shorter than the deadline, and the deadline than the duration")


class Election:
    """What one candidate knows. Times are of its own clock; it never believes those in the Lease."""

    def __init__(self, identity: str, terms: Terms) -> None:
        self._identity = identity
        self._terms = terms
        self._seen: Raw | None = None
        self._changed_at = -math.inf
        self._leads_until = -math.inf

    def sees(self, lease: Raw | None, now: float) -> None:
        """The Lease as it is; `None`: there is none."""
        if lease is None or self._seen is None or _version(lease) != _version(self._seen):
            self._changed_at = now
        self._seen = lease

    def claim(self, now: float) -> Mapping[str, Any] | None:
        """The spec to write, to take or to renew the Lease; `None` while somebody else holds it."""
        spec = (self._seen or {}).get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in {"", self._identity} and now - self._changed_at < self._duration(spec):
            return None
        transitions = spec.get("leaseTransitions") or 0
        stamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")  # for people only
        taken = holder != self._identity
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": math.ceil(self._terms.duration_seconds),
            "renewTime": stamp,
            "acquireTime": stamp if taken else spec.get("acquireTime", stamp),
            "leaseTransitions": transitions + 1 if taken and self._seen is not None else transitions,
        }

    def wrote(self, lease: Raw, began_at: float) -> None:
        """A claim was written; the request for it began at this time."""
        self.sees(lease, began_at)
        self._leads_until = began_at + self._terms.deadline_seconds

    def gave_up(self) -> None:
        """The Lease is not ours, whatever the clock says."""
        self._leads_until = -math.inf

    def seconds_left(self, now: float) -> float:
        """For how long we may write; 0 or less: not."""
        return self._leads_until - now

    @property
    def seen(self) -> Raw | None:
        """The Lease as it was seen last."""
        return self._seen

    def _duration(self, spec: Mapping[str, Any]) -> float:
        """As the holder wrote it: it may run with other terms than ours."""
        written = spec.get("leaseDurationSeconds")
        return float(written) if isinstance(written, int) and written > 0 else self._terms.duration_seconds


def _version(lease: Raw) -> Any:
    return lease.get("metadata", {}).get("resourceVersion")


class Leadership:
    """Takes part in the election until cancelled.

    Args:
        kube: the cluster, unfenced.
        key: namespace and name of the Lease.
        identity: of this process, unlike any other's.
        changed: called when leadership was won, or is known to be lost.
    """

    def __init__(
        self,
        kube: Kube,
        key: Key,
        identity: str,
        changed: Callable[[bool], None],
        *,
        terms: Terms | None = None,
        clock: Callable[[], float] = boot_seconds,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._kube = kube
        self._key = key
        self._terms = terms or Terms()
        self._election = Election(identity, self._terms)
        self._changed = changed
        self._clock = clock
        self._sleep = sleep
        self._led = False

    @property
    def seconds_left(self) -> float:
        """For how long this process may write; 0 or less: not."""
        return self._election.seconds_left(self._clock())

    def leads(self) -> bool:
        """Whether this process may write now."""
        return self.seconds_left > 0

    async def run(self) -> None:
        """Look, take and renew, until cancelled; then let go of the Lease, so that another one need not wait."""
        try:
            while True:
                await self.round()
                await self._sleep(self._terms.retry_seconds)
        finally:
            await self._let_go()

    async def round(self) -> None:
        """One look or one renewal."""
        try:
            async with asyncio.timeout(self._terms.deadline_seconds / 2):
                await self._round()
        except KubeError as error:
            if error.status == _CONFLICT:
                self._election.gave_up()  # somebody else wrote in between; look again
            logger.warning("The Lease %s/%s can't be kept: %s", *self._key, error)
        except TimeoutError:
            logger.warning("The Lease %s/%s can't be kept: the API server does not answer", *self._key)
        leads = self.seconds_left > 0
        if leads != self._led:
            self._led = leads
            logger.info("This operator %s", "leads" if leads else "does not lead any more")
            self._changed(leads)

    async def _round(self) -> None:
        began_at = self._clock()
        if self.seconds_left <= 0 or self._election.seen is None:
            self._election.sees(await self._kube.lease(self._key), began_at)
        claim = self._election.claim(began_at)
        if claim is None:
            self._election.gave_up()
            return
        self._election.wrote(await self._write(claim), began_at)

    async def _write(self, spec: Mapping[str, Any]) -> Raw:
        version = _version(self._election.seen or {})
        metadata = {"namespace": self._key[0], "name": self._key[1]} | ({"resourceVersion": version} if version else {})
        kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
        return await self._kube.write_lease({**kind, "metadata": metadata, "spec": dict(spec)})

    async def _let_go(self) -> None:
        if self.seconds_left <= 0 or self._election.seen is None:
            return
        self._election.gave_up()
        try:
            async with asyncio.timeout(self._terms.retry_seconds):
                await self._write({**self._election.seen["spec"], "holderIdentity": "", "leaseDurationSeconds": 1})
        except (KubeError, TimeoutError) as error:
            logger.warning("The Lease %s/%s stays until it ends: %s", *self._key, error)


class Fenced:
    """A cluster that is read by everybody, and written to by who leads.

    Args:
        kube: the cluster.
        seconds_left: for how long this process may write.
        grace_seconds: how much longer a write that began in time may take; less than what lies between the end of the
            right to write and the end of the Lease.
    """

    def __init__(self, kube: Kube, seconds_left: Callable[[], float], grace_seconds: float = 3.0) -> None:
        self._kube = kube
        self._seconds_left = seconds_left
        self._grace_seconds = grace_seconds
        self.modelservices, self.children, self.service_named = kube.modelservices, kube.children, kube.service_named
        self.lease = kube.lease

    async def apply_service(self, manifest: Raw) -> Raw:
        """See `Kube.apply_service`."""
        return await self._in_time(self._kube.apply_service, manifest)

    async def annotate(self, target: Target, key: Key, annotation: str, value: str | None) -> None:
        """See `Kube.annotate`."""
        await self._in_time(self._kube.annotate, target, key, annotation, value)

    async def patch_status(self, key: Key, patch: Raw) -> None:
        """See `Kube.patch_status`."""
        await self._in_time(self._kube.patch_status, key, patch)

    async def create_event(self, event: Raw) -> None:
        """See `Kube.create_event`."""
        await self._in_time(self._kube.create_event, event)

    async def write_lease(self, manifest: Raw) -> Raw:
        """See `Kube.write_lease`."""
        return await self._kube.write_lease(manifest)

    async def _in_time(self, write: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        left = self._seconds_left()
        if left <= 0:
            raise NotLeader("Another operator may lead by now: nothing was written")
        try:
            async with asyncio.timeout(left + self._grace_seconds):
                return await write(*arguments)
        except TimeoutError as error:
            raise NotLeader("The API server did not answer while this operator led") from error
