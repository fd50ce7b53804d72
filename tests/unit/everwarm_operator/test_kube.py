"""The API client against an HTTP server in this process."""

import json
from collections import deque
from typing import Any

import aiohttp.web
import pytest
from aiohttp.test_utils import TestServer
from kubernetes.aio import client

from everwarm_operator import kube
from everwarm_operator.errors import KubeError
from everwarm_operator.floor import Target
from everwarm_operator.kube import KubernetesApi


class Stub:
    """Answers what a test put in; remembers what was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], str, Any]] = []
        self.answers: deque[aiohttp.web.Response] = deque()
        self.waits: list[float] = []

    def will(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        text = body if isinstance(body, str) else json.dumps(body or {})
        self.answers.append(aiohttp.web.Response(status=status, text=text, headers=headers))

    async def handle(self, request: aiohttp.web.Request) -> aiohttp.web.Response:
        body = await request.text()
        kind = request.headers.get("Content-Type", "")
        self.requests.append(
            (request.method, request.path, dict(request.query), kind, json.loads(body) if body else None)
        )
        return self.answers.popleft() if self.answers else aiohttp.web.json_response({"items": []})

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
async def url(stub):
    app = aiohttp.web.Application()
    app.router.add_route("*", "/{path:.*}", stub.handle)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
async def api(stub, url):
    async with KubernetesApi(client.Configuration(host=url), sleep=stub.sleep) as opened:
        yield opened


async def test_a_list_follows_its_pages(stub, api) -> None:
    stub.will(200, {"items": [{"n": 1}], "metadata": {"continue": "more"}})
    stub.will(200, {"items": [{"n": 2}], "metadata": {}})
    assert await api.modelservices(None) == [{"n": 1}, {"n": 2}]
    path = "/apis/everwarm.dev/v1alpha1/modelservices"
    assert [(m, p, q) for m, p, q, _, _ in stub.requests] == [
        ("GET", path, {"limit": "500"}),
        ("GET", path, {"limit": "500", "continue": "more"}),
    ]


async def test_one_model_service_is_listed_by_its_name(stub, api) -> None:
    await api.modelservices(("ns", "digits"))
    (_, path, query, _, _) = stub.requests[0]
    assert path == "/apis/everwarm.dev/v1alpha1/namespaces/ns/modelservices"
    assert query == {"limit": "500", "fieldSelector": "metadata.name=digits"}


async def test_children_take_one_list_for_each_kind(stub, api) -> None:
    await api.children(None)
    assert sorted((path, query["labelSelector"]) for _, path, query, _, _ in stub.requests) == [
        ("/apis/apps/v1/deployments", "everwarm.dev/modelservice"),
        ("/apis/autoscaling.internal.knative.dev/v1alpha1/podautoscalers", "everwarm.dev/modelservice"),
        ("/apis/serving.knative.dev/v1/revisions", "everwarm.dev/modelservice"),
        ("/apis/serving.knative.dev/v1/services", "everwarm.dev/modelservice"),
    ]


async def test_each_kind_of_child_lands_in_its_own_list(url, stub) -> None:
    async def by_path(request: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.json_response({"items": [{"from": request.path.rsplit("/", 1)[-1]}]})

    stub.handle = by_path
    app = aiohttp.web.Application()
    app.router.add_route("*", "/{path:.*}", by_path)
    async with TestServer(app) as server, KubernetesApi(client.Configuration(host=str(server.make_url("")))) as api:
        found = await api.children(("ns", "digits"))
    assert {name: getattr(found, name) for name in found.__slots__} == {
        name: [{"from": name}] for name in ("services", "revisions", "podautoscalers", "deployments")
    }


async def test_named_namespaces_are_listed_one_by_one(stub, url) -> None:
    async with KubernetesApi(client.Configuration(host=url), namespaces=("a", "b")) as api:
        await api.modelservices(None)
    assert sorted(path for _, path, _, _, _ in stub.requests) == [
        f"/apis/everwarm.dev/v1alpha1/namespaces/{name}/modelservices" for name in ("a", "b")
    ]


async def test_writes_touch_nothing_but_what_they_are_about(stub, api) -> None:
    manifest = {"kind": "Service", "metadata": {"namespace": "ns", "name": "digits"}}
    await api.apply_service(manifest)
    await api.annotate(Target.POD_AUTOSCALER, ("ns", "digits-00001"), "a/b", "2")
    await api.annotate(Target.REVISION, ("ns", "digits-00001"), "a/b", None)
    await api.patch_status(("ns", "digits"), {"floor": 2})
    await api.create_event({"metadata": {"namespace": "ns"}})
    manager = {"fieldManager": "everwarm"}
    annotation = {"metadata": {"annotations": {"a/b": "2"}}}
    no_annotation = {"metadata": {"annotations": {"a/b": None}}}
    merge = "application/merge-patch+json"
    assert stub.requests == [
        (
            "PATCH",
            "/apis/serving.knative.dev/v1/namespaces/ns/services/digits",
            {**manager, "force": "true"},
            "application/apply-patch+yaml",
            manifest,
        ),
        (
            "PATCH",
            "/apis/autoscaling.internal.knative.dev/v1alpha1/namespaces/ns/podautoscalers/digits-00001",
            manager,
            merge,
            annotation,
        ),
        ("PATCH", "/apis/serving.knative.dev/v1/namespaces/ns/revisions/digits-00001", manager, merge, no_annotation),
        (
            "PATCH",
            "/apis/everwarm.dev/v1alpha1/namespaces/ns/modelservices/digits/status",
            manager,
            merge,
            {"status": {"floor": 2}},
        ),
        (
            "POST",
            "/apis/events.k8s.io/v1/namespaces/ns/events",
            {},
            "application/json",
            {"metadata": {"namespace": "ns"}},
        ),
    ]


@pytest.mark.parametrize("status", [409, 429, 500, 503])
async def test_what_may_pass_is_tried_again(stub, api, status) -> None:
    stub.will(status)
    stub.will(status)
    stub.will(200, {"kind": "ModelService"})
    await api.patch_status(("ns", "digits"), {"floor": 2})
    assert len(stub.requests) == 3
    assert stub.waits == [0.5, 1.0]


@pytest.mark.parametrize(("text", "waited"), [("3", 3.0), ("3600", 10.0), ("soon", 0.5)])
async def test_retry_after_is_obeyed_within_limits(stub, api, text, waited) -> None:
    stub.will(429, headers={"Retry-After": text})
    stub.will(200)
    await api.patch_status(("ns", "digits"), {"floor": 2})
    assert stub.waits == [waited]


async def test_it_gives_up_after_a_few_attempts_with_the_servers_words(stub, api) -> None:
    for _ in range(kube.ATTEMPTS):
        stub.will(500, {"message": "etcd is full"})
    with pytest.raises(KubeError, match="The API server answered 500: etcd is full") as caught:
        await api.modelservices(None)
    assert caught.value.status == 500
    assert len(stub.requests) == kube.ATTEMPTS


@pytest.mark.parametrize("status", [400, 403, 404, 422])
async def test_a_refusal_is_final(stub, api, status) -> None:
    stub.will(status, {"message": "no"})
    with pytest.raises(KubeError, match=f"{status}: no"):
        await api.patch_status(("ns", "digits"), {"floor": 2})
    assert len(stub.requests) == 1


async def test_an_event_is_not_told_twice(stub, api) -> None:
    stub.will(500, {"message": "perhaps it was stored"})
    with pytest.raises(KubeError):
        await api.create_event({"metadata": {"namespace": "ns"}})
    assert len(stub.requests) == 1


@pytest.mark.parametrize("body", ["<html>", "[]", ""])
async def test_an_answer_that_is_no_object_is_an_error(stub, api, body) -> None:
    stub.answers.append(aiohttp.web.Response(status=200, text=body))
    with pytest.raises(KubeError, match=r"not JSON|no object"):
        await api.modelservices(None)


async def test_a_server_that_is_not_there_is_an_error_of_ours(stub, unused_tcp_port) -> None:
    configuration = client.Configuration(host=f"http://127.0.0.1:{unused_tcp_port}")
    async with KubernetesApi(configuration, sleep=stub.sleep) as api:
        with pytest.raises(KubeError, match="can't be reached") as caught:
            await api.modelservices(None)
    assert caught.value.status == 0
    assert len(stub.waits) == kube.ATTEMPTS - 1
