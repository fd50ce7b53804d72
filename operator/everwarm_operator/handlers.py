"""kopf's part: watch events become requests for an early pass, and the loop lives as long as kopf does.

Only `on.event` handlers, for they leave no trace on an object: no finalizer, no annotation. On a Revision or a
PodAutoscaler even an annotation of kopf's would restart every pod.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import kopf

from everwarm_operator.api import v1alpha1
from everwarm_operator.facts import Key
from everwarm_operator.passes import Passes
from everwarm_operator.resources.knative import SERVICE_LABEL

STUCK_SECONDS = 300.0

Registry = kopf.OperatorRegistry


class Changes:
    """Tells events that matter from the echo of our own writes."""

    def __init__(self, request: Callable[[Key], None]) -> None:
        self._request = request
        self._seen: dict[tuple[str, str, str], Any] = {}

    def notice(self, kind: str, event_type: str | None, body: Any) -> None:
        """Ask for a pass if what concerns us differs from what was seen last.

        Args:
            kind: of the object.
            event_type: ADDED, MODIFIED, DELETED, or None for what was there at the start.
            body: the object.
        """
        metadata = body["metadata"]
        key = (metadata["namespace"], metadata["name"])
        if event_type == "DELETED":
            self._seen.pop((kind, *key), None)
            self._request(key)  # of a child that somebody deleted, a new one is made
            return
        fingerprint = _fingerprint(body)
        if self._seen.get((kind, *key)) != fingerprint:
            self._seen[kind, *key] = fingerprint
            self._request(key)


def _fingerprint(body: Any) -> Any:
    """What of an object may call for action: its spec, and for a child whether and with what it serves."""
    metadata, status = body["metadata"], body.get("status") or {}
    ready = [c.get("status") for c in status.get("conditions") or [] if c.get("type") == "Ready"]
    traffic = [(t.get("revisionName"), t.get("percent"), t.get("tag")) for t in status.get("traffic") or []]
    is_ours = body.get("kind") == v1alpha1.KIND
    return metadata.get("uid"), metadata.get("generation"), None if is_ours else (ready, traffic)


def register(registry: kopf.OperatorRegistry, start: Callable[[], Any]) -> None:
    """Put the operator's handlers into a kopf registry.

    Args:
        registry: kopf's.
        start: gives an async context manager of the `Passes`; entered at startup, left at the end.
    """
    lifetime = _Lifetime(start)
    kopf.on.login(registry=registry)(kopf.login_via_client)  # the pod's service account, or KUBECONFIG
    kopf.on.startup(registry=registry)(lifetime.startup)
    kopf.on.cleanup(registry=registry)(lifetime.cleanup)
    kopf.on.probe(registry=registry, id="seconds_since_last_pass", errors=kopf.ErrorsMode.PERMANENT)(lifetime.probe)
    kopf.on.event(v1alpha1.GROUP, v1alpha1.VERSION, v1alpha1.PLURAL, registry=registry)(lifetime.model_service)
    kopf.on.event("serving.knative.dev", "v1", "services", registry=registry, labels={SERVICE_LABEL: kopf.PRESENT})(
        lifetime.knative_service
    )


def configure(settings: kopf.OperatorSettings) -> None:
    """Settings of kopf itself: nothing posted, nothing scanned for, no connection that hangs for long."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.networking.request_timeout = 15
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = _Patience()
    settings.watching.server_timeout = 600
    settings.watching.client_timeout = 660
    settings.watching.connect_timeout = 5
    settings.queueing.worker_limit = 50


class _Patience:
    """Waits between kopf's attempts at a request, without an end: when they end, kopf ends the whole operator."""

    def __iter__(self) -> Iterator[float]:
        yield from (1, 1, 2, 3, 5)
        while True:
            yield 10.0


class _Lifetime:
    """The loop's life between kopf's startup and cleanup, and what kopf calls in between."""

    def __init__(self, start: Callable[[], Any]) -> None:
        self._start = start
        self._passes: Passes | None = None
        self._changes: Changes | None = None
        self._task: asyncio.Task[None] | None = None

    async def startup(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        self._resources = self._start()
        self._passes = await self._resources.__aenter__()
        self._changes = Changes(self._passes.request)
        self._task = asyncio.create_task(self._passes.run(), name="passes")

    async def cleanup(self, **_: Any) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._resources.__aexit__(None, None, None)

    async def probe(self, **_: Any) -> float:
        if self._passes is None or self._task is None or self._task.done():
            raise kopf.PermanentError("The loop does not run")
        seconds = self._passes.seconds_since_last()
        if seconds is not None and seconds > STUCK_SECONDS:
            raise kopf.PermanentError(f"The last pass ended {seconds:.0f} s ago")
        return seconds or 0.0

    async def model_service(self, event: kopf.RawEvent, **_: Any) -> None:
        if self._changes is not None:
            self._changes.notice(v1alpha1.KIND, event["type"], event["object"])

    async def knative_service(self, event: kopf.RawEvent, **_: Any) -> None:
        if self._changes is not None:
            self._changes.notice("Service", event["type"], event["object"])
