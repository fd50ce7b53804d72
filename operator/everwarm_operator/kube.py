"""The API server: the only module that imports the Kubernetes client.

In: values and manifests. Out: raw objects, or `KubeError`. Every call has a time limit; what the server asks to be
repeated (409, 429 with its Retry-After, 5xx, a broken connection) is repeated a few times.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp
from kubernetes.aio import client, config

from everwarm_operator import facts
from everwarm_operator.api import v1alpha1
from everwarm_operator.errors import KubeError
from everwarm_operator.facts import Key, Objects, Raw
from everwarm_operator.floor import Target

FIELD_MANAGER = "everwarm"
TIMEOUT_SECONDS = 15.0
CONNECT_SECONDS = 5.0
ATTEMPTS = 4
MAX_WAIT_SECONDS = 10.0
PAGE = 500

_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_NOT_FOUND = 404
_REPEATED = frozenset({409, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as the API server's paths name it."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """The path of all in the cluster, all in a namespace, one, or a part of one."""
        scope = f"/namespaces/{namespace}" if namespace else ""
        tail = "".join(f"/{part}" for part in (self.plural, name, subresource) if part)
        return f"/apis/{self.group}/{self.version}{scope}{tail}"


MODEL_SERVICES = Resource(v1alpha1.GROUP, v1alpha1.VERSION, v1alpha1.PLURAL)
SERVICES = Resource("serving.knative.dev", "v1", "services")
REVISIONS = Resource("serving.knative.dev", "v1", "revisions")
POD_AUTOSCALERS = Resource("autoscaling.internal.knative.dev", "v1alpha1", "podautoscalers")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
EVENTS = Resource("events.k8s.io", "v1", "events")
_TARGETS = {Target.REVISION: REVISIONS, Target.POD_AUTOSCALER: POD_AUTOSCALERS}


class Kube(Protocol):
    """What the operator does with a cluster. All raise `KubeError`."""

    async def modelservices(self, key: Key | None) -> list[Raw]:
        """All ModelServices, or the one with this namespace and name."""

    async def children(self, key: Key | None) -> Objects:
        """The Knative objects of all ModelServices, or of one: one list for each kind."""

    async def service_named(self, key: Key) -> Raw | None:
        """The Knative Service of this namespace and name, whoever made it."""

    async def apply_service(self, manifest: Raw) -> Raw:
        """Make the Knative Service so (server-side apply) and return it."""

    async def annotate(self, target: Target, key: Key, annotation: str, value: str | None) -> None:
        """Set (or, with `None`, remove) one annotation of a Revision or a PodAutoscaler and touch nothing else."""

    async def patch_status(self, key: Key, patch: Raw) -> None:
        """Merge into a ModelService's status."""

    async def create_event(self, event: Raw) -> None:
        """Record an Event."""

    async def lease(self, key: Key) -> Raw | None:
        """The Lease of this namespace and name."""

    async def write_lease(self, manifest: Raw) -> Raw:
        """Make a Lease, or replace it if it still has the manifest's resourceVersion, and return it."""


class KubernetesApi:
    """`Kube` over HTTP. Use as an async context manager.

    Args:
        configuration: where the API server is; `None`: of the pod, or of KUBECONFIG.
        namespaces: those that are looked at; empty: all.
        sleep: between two attempts.
    """

    def __init__(
        self,
        configuration: client.Configuration | None = None,
        namespaces: tuple[str, ...] = (),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._configuration = configuration
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        self._client = client.ApiClient(self._configuration or await _found_configuration())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.close()

    async def modelservices(self, key: Key | None) -> list[Raw]:
        """See `Kube.modelservices`."""
        if key is None:
            return await self._list_all(MODEL_SERVICES, {})
        return await self._list(MODEL_SERVICES, key[0], {"fieldSelector": f"metadata.name={key[1]}"})

    async def children(self, key: Key | None) -> Objects:
        """See `Kube.children`."""
        kinds = (SERVICES, REVISIONS, POD_AUTOSCALERS, DEPLOYMENTS)
        if key is None:
            query = {"labelSelector": facts.label_selector()}
            lists = await asyncio.gather(*(self._list_all(kind, query) for kind in kinds))
        else:
            query = {"labelSelector": facts.label_selector(key[1])}
            lists = await asyncio.gather(*(self._list(kind, key[0], query) for kind in kinds))
        services, revisions, podautoscalers, deployments = lists
        return Objects(services=services, revisions=revisions, podautoscalers=podautoscalers, deployments=deployments)

    async def service_named(self, key: Key) -> Raw | None:
        """See `Kube.service_named`."""
        found = await self._list(SERVICES, key[0], {"fieldSelector": f"metadata.name={key[1]}"})
        return found[0] if found else None

    async def apply_service(self, manifest: Raw) -> Raw:
        """See `Kube.apply_service`. Fields that somebody else took are taken back: the spec is the ModelService's."""
        metadata = manifest["metadata"]
        path = SERVICES.path(metadata["namespace"], metadata["name"])
        return await self._call("PATCH", path, {"fieldManager": FIELD_MANAGER, "force": "true"}, manifest, _APPLY)

    async def annotate(self, target: Target, key: Key, annotation: str, value: str | None) -> None:
        """See `Kube.annotate`."""
        body = {"metadata": {"annotations": {annotation: value}}}
        await self._call("PATCH", _TARGETS[target].path(*key), {"fieldManager": FIELD_MANAGER}, body, _MERGE)

    async def patch_status(self, key: Key, patch: Raw) -> None:
        """See `Kube.patch_status`."""
        path = MODEL_SERVICES.path(*key, "status")
        await self._call("PATCH", path, {"fieldManager": FIELD_MANAGER}, {"status": patch}, _MERGE)

    async def create_event(self, event: Raw) -> None:
        """See `Kube.create_event`. Not repeated after a failure that may have come too late: an event is told once."""
        path = EVENTS.path(event["metadata"]["namespace"])
        await self._call("POST", path, {}, event, "application/json", repeated=frozenset({429}))

    async def lease(self, key: Key) -> Raw | None:
        """See `Kube.lease`."""
        try:
            return await self._call("GET", LEASES.path(*key), {}, repeated=frozenset())
        except KubeError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def write_lease(self, manifest: Raw) -> Raw:
        """See `Kube.write_lease`. Not repeated: what was written in between is for the election to judge."""
        metadata = manifest["metadata"]
        method, name = ("PUT", metadata["name"]) if "resourceVersion" in metadata else ("POST", "")
        path = LEASES.path(metadata["namespace"], name)
        return await self._call(method, path, {}, manifest, "application/json", repeated=frozenset())

    async def _list_all(self, resource: Resource, query: Mapping[str, str]) -> list[Raw]:
        lists = await asyncio.gather(*(self._list(resource, namespace, query) for namespace in self._namespaces))
        return [item for items in lists for item in items]

    async def _list(self, resource: Resource, namespace: str | None, query: Mapping[str, str]) -> list[Raw]:
        path = resource.path(namespace)
        items: list[Raw] = []
        page = {**query, "limit": str(PAGE)}
        while True:
            answer = await self._call("GET", path, page)
            items += answer.get("items") or []
            following = answer.get("metadata", {}).get("continue")
            if not following:
                return items
            page["continue"] = following

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Raw | None = None,
        content_type: str = "application/json",
        repeated: frozenset[int] = _REPEATED,
    ) -> dict[str, Any]:
        """One request, repeated where that helps.

        Raises:
            KubeError: with the server's own message.
        """
        for attempt in range(1, ATTEMPTS + 1):
            wait_seconds = 0.25 * 2**attempt
            try:
                status, headers, content = await self._once(method, path, query, body, content_type)
            except (aiohttp.ClientError, TimeoutError, OSError) as failure:
                error = KubeError(f"The API server can't be reached: {str(failure) or type(failure).__name__}")
                is_repeated = 500 in repeated
            else:
                if status < 300:
                    return _object(content)
                error = KubeError(_message(status, content), status)
                is_repeated = status in repeated
                wait_seconds = _retry_after_seconds(headers, wait_seconds)
            if not is_repeated or attempt == ATTEMPTS:
                raise error
            await self._sleep(min(wait_seconds, MAX_WAIT_SECONDS))
        raise AssertionError("the last attempt returns or raises")

    async def _once(
        self, method: str, path: str, query: Mapping[str, str], body: Raw | None, content_type: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        request = await self._client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        limit = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS, connect=CONNECT_SECONDS)
        response = await self._client.call_api(*request, _request_timeout=limit)
        return response.status, response.headers, await response.read()


async def _found_configuration() -> client.Configuration:
    """Where the API server is: KUBECONFIG where it is set, the pod's service account in a pod, ~/.kube/config else."""
    configuration = client.Configuration()
    if "KUBECONFIG" not in os.environ and "KUBERNETES_SERVICE_HOST" in os.environ:
        config.load_incluster_config(client_configuration=configuration)
    else:
        await config.load_kube_config(client_configuration=configuration)
    return configuration


def _object(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except ValueError as error:
        raise KubeError("The API server answered with something that is not JSON") from error
    if not isinstance(answer, dict):
        raise KubeError("The API server answered with something that is no object")
    return answer


def _message(status: int, content: bytes) -> str:
    """The server's own sentence, which names the field and the reason."""
    try:
        message = json.loads(content)["message"]
    except (ValueError, KeyError, TypeError):
        message = content[:200].decode(errors="replace")
    return f"The API server answered {status}: {message}"


def _retry_after_seconds(headers: Mapping[str, str], otherwise: float) -> float:
    text = headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else otherwise
