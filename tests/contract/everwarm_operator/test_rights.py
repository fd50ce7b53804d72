"""The operator's ClusterRole in manifests/install.yaml grants the calls that it makes: all of them, and no other."""

import re
from pathlib import Path

import aiohttp.web
import kopf
import yaml
from aiohttp.test_utils import TestServer
from kubernetes.aio import client

from everwarm_operator import handlers
from everwarm_operator.floor import Target
from everwarm_operator.kube import KubernetesApi

ROOT = Path(__file__).resolve().parents[3]
PATH = re.compile(
    r"/apis/(?P<group>[^/]+)/[^/]+(/namespaces/[^/]+)?/(?P<plural>[a-z]+)(/(?P<name>[^/]+))?(/(?P<sub>.+))?$"
)
KEY = ("ns", "digits")

Right = tuple[str, str, str]
"""Verb, API group, resource."""


def right(request: aiohttp.web.Request) -> Right:
    found = PATH.match(request.path)
    assert found, request.path
    verb = {"POST": "create", "PATCH": "patch", "PUT": "update"}.get(request.method) or (
        "get" if found["name"] else "list"
    )
    return verb, found["group"], found["plural"] + (f"/{found['sub']}" if found["sub"] else "")


async def calls_of_the_client() -> set[Right]:
    seen: set[Right] = set()

    async def handle(request: aiohttp.web.Request) -> aiohttp.web.Response:
        seen.add(right(request))
        if "apply-patch" in request.headers["Content-Type"]:
            seen.add(("create", *right(request)[1:]))  # of what is not there yet
        return aiohttp.web.json_response({"items": []})

    app = aiohttp.web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(app) as server:
        address = client.Configuration(host=str(server.make_url("")).rstrip("/"))
        async with KubernetesApi(address) as api:
            calls = {
                "modelservices": api.modelservices(None),
                "children": api.children(KEY),
                "service_named": api.service_named(KEY),
                "apply_service": api.apply_service({"metadata": {"namespace": "ns", "name": "digits"}}),
                "annotate": api.annotate(Target.REVISION, KEY, "a", "b"),
                "patch_status": api.patch_status(KEY, {"floor": 1}),
                "lease": api.lease(KEY),
                "write_lease": api.write_lease({"metadata": {"namespace": "ns", "name": "everwarm"}, "spec": {}}),
                "create_event": api.create_event({"metadata": {"namespace": "ns"}}),
            }
            public = {name for name in vars(KubernetesApi) if not name.startswith("_")}
            assert set(calls) == public, "a new call has to stand here"
            for call in calls.values():
                await call
            await api.annotate(Target.POD_AUTOSCALER, KEY, "a", "b")
            await api.write_lease({"metadata": {"namespace": "ns", "name": "a", "resourceVersion": "1"}, "spec": {}})
    return seen


def watches_of_kopf() -> set[Right]:
    registry = kopf.OperatorRegistry()
    handlers.register(registry, lambda: None)
    selectors = [handler.selector for handler in registry._watching.get_all_handlers()]
    assert selectors
    return {(verb, s.group, s.any_name or s.plural) for s in selectors for verb in ("list", "watch")}


def granted() -> set[Right]:
    """By the ClusterRole, and by the Role in the operator's own namespace."""
    documents = list(yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text()))
    roles = [
        document
        for document in documents
        if document["kind"] in {"ClusterRole", "Role"}
        and document["metadata"]["name"] in {"everwarm-operator", "everwarm-leader"}
    ]
    assert [role["kind"] for role in roles] == ["ClusterRole", "Role"]
    return {
        (verb, group, resource)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


async def test_what_is_granted_is_what_is_used() -> None:
    assert granted() == await calls_of_the_client() | watches_of_kopf()


def test_nothing_is_granted_by_a_star_and_nothing_on_secrets() -> None:
    words = {word for right in granted() for word in right}
    assert not words & {"*", "secrets", "", "pods", "namespaces"}


async def test_kopf_only_watches_and_leaves_no_trace() -> None:
    registry = kopf.OperatorRegistry()
    handlers.register(registry, lambda: None)
    assert not registry._changing.get_all_handlers()
    assert not registry._spawning.get_all_handlers()
    assert not registry._indexing.get_all_handlers()
    assert not registry._webhooks.get_all_handlers()
