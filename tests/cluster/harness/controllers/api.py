"""The API server as the controller needs it: objects of a kind, kept current by a watch, and a patch of a status."""

import asyncio
import json
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx

from harness.controllers.envoy import Json

_WATCH_SECONDS = 300


def client(run: Path, server: str) -> httpx.AsyncClient:
    """Returns a client of the API server with the administrator's certificate of a run."""
    context = ssl.create_default_context(cafile=str(run / "ca.crt"))
    context.load_cert_chain(run / "admin.crt", run / "admin.key")
    return httpx.AsyncClient(base_url=server, verify=context, timeout=httpx.Timeout(10, read=_WATCH_SECONDS + 30))


class Store:
    """The objects under an API `path` by (namespace, name); `changed` is called after each change."""

    def __init__(self, api: httpx.AsyncClient, path: str, changed: Callable[[], None]) -> None:
        self.objects: dict[tuple[str, str], Json] = {}
        self.listed = False
        self._api = api
        self._path = path
        self._changed = changed

    async def follow(self) -> None:
        """Lists and watches until cancelled; a watch that breaks or is too old begins anew."""
        while True:
            try:
                await self._watch(await self._list())
            except httpx.HTTPError as error:
                print(f"{self._path}: {error!r}", flush=True)
                await asyncio.sleep(0.5)

    async def _list(self) -> str:
        answer = await self._api.get(self._path)
        answer.raise_for_status()
        body = answer.json()
        self.objects = {_key(item): item for item in body["items"]}
        self.listed = True
        self._changed()
        return str(body["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> None:
        query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(_WATCH_SECONDS)}
        async with self._api.stream("GET", self._path, params=query) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                if event["type"] == "DELETED":
                    self.objects.pop(_key(event["object"]), None)
                else:
                    self.objects[_key(event["object"])] = event["object"]
                self._changed()


async def patch_status(api: httpx.AsyncClient, path: str, status: Json) -> None:
    """Merges `status` into the status of the object at `path`; raises `httpx.HTTPError`."""
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = await api.patch(f"{path}/status", content=json.dumps({"status": status}), headers=headers)
    answer.raise_for_status()


def _key(item: Json) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]
