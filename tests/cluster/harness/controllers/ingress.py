"""Keeps Envoy's files current, and says of a KIngress that it is ready once a probe came through Envoy by its routes.

The probe is Knative's own: a request with `K-Network-Probe` is answered by the activator or the queue-proxy, never by
the user's container, and returns the hash that only the routes of this very version of the KIngress put on it.
"""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import httpx

from harness.controllers import api, envoy, envoy_files
from harness.controllers.envoy import Json

GROUP = "/apis/networking.internal.knative.dev/v1alpha1"
_CLASS_ANNOTATIONS = ("networking.knative.dev/ingress-class", "networking.knative.dev/ingress.class")
_PROBE = {"K-Network-Probe": "probe", "K-Network-Hash": "override", "User-Agent": "Knative-Ingress-Probe"}
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 2.0


class IngressController:
    """The controller of one ingress class; `listeners`: the addresses of Envoy's listeners `public` and `local`."""

    def __init__(self, server: httpx.AsyncClient, folder: Path, ingress_class: str, listeners: dict[str, str]) -> None:
        self._server = server
        self._folder = folder
        self._class = ingress_class
        self._listeners = listeners
        self._changed = asyncio.Event()
        self._ingresses = api.Store(server, f"{GROUP}/ingresses", self._changed.set)
        self._endpoints = api.Store(server, "/api/v1/endpoints", self._changed.set)
        self._probes: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as tasks, httpx.AsyncClient(timeout=5) as data_plane:
            tasks.create_task(self._ingresses.follow())
            tasks.create_task(self._endpoints.follow())
            while True:
                await self._changed.wait()
                self._changed.clear()
                if self._ingresses.listed and self._endpoints.listed:
                    self._reconcile(tasks, data_plane)

    def _reconcile(self, tasks: asyncio.TaskGroup, data_plane: httpx.AsyncClient) -> None:
        ours = [item for item in self._ingresses.objects.values() if self._is_ours(item)]
        envoy_files.write(self._folder, ours, self._endpoints.objects)
        (self._folder / "synchronized").touch()
        unready = {envoy.network_hash(item): item for item in ours if not _is_ready(item)}
        for version, item in unready.items():
            if version not in self._probes:
                self._probes[version] = tasks.create_task(self._probe_until_ready(data_plane, item, version))
        for version in set(self._probes) - set(unready):
            self._probes.pop(version).cancel()

    def _is_ours(self, ingress: Json) -> bool:
        metadata = ingress["metadata"]
        annotations = metadata.get("annotations", {})
        wanted = any(annotations.get(name) == self._class for name in _CLASS_ANNOTATIONS)
        return wanted and "deletionTimestamp" not in metadata

    async def _probe_until_ready(self, data_plane: httpx.AsyncClient, ingress: Json, version: str) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            if await self._is_routed(data_plane, ingress, version) and await self._report_ready(ingress):
                return
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(_LONGEST_PAUSE_SECONDS, 2 * pause_seconds)

    async def _is_routed(self, data_plane: httpx.AsyncClient, ingress: Json, version: str) -> bool:
        for listener, address in self._listeners.items():
            for host in envoy.hosts(ingress, listener):
                try:
                    answer = await data_plane.get(f"http://{address}/", headers={**_PROBE, "Host": host})
                except httpx.HTTPError:
                    return False
                if answer.headers.get("K-Network-Hash") != version:
                    return False
        return True

    async def _report_ready(self, ingress: Json) -> bool:
        metadata = ingress["metadata"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [
            {"type": name, "status": "True", "lastTransitionTime": now}
            for name in ("LoadBalancerReady", "NetworkConfigured", "Ready")
        ]
        status = {
            "observedGeneration": metadata["generation"],
            "conditions": conditions,
            "publicLoadBalancer": {"ingress": [{"ip": self._listeners["public"]}]},
            "privateLoadBalancer": {"ingress": [{"ip": self._listeners["local"]}]},
        }
        path = f"{GROUP}/namespaces/{metadata['namespace']}/ingresses/{metadata['name']}"
        try:
            await api.patch_status(self._server, path, status)
        except httpx.HTTPError as error:
            print(f"{path}: {error!r}", flush=True)
            return False
        return True


def _is_ready(ingress: Json) -> bool:
    status = ingress.get("status", {})
    current = status.get("observedGeneration") == ingress["metadata"]["generation"]
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
    return current and ready
