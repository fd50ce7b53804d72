"""Raw objects of Knative -> facts."""

from typing import Any

import pytest

from everwarm_operator import facts
from everwarm_operator.facts import Objects, RevisionFacts, ServiceFacts

MAX = {"autoscaling.knative.dev/max-scale": "5"}
OURS = {"everwarm.dev/modelservice": "digits"}


def service(**status: Any) -> dict[str, Any]:
    usual = {
        "observedGeneration": 2,
        "url": "http://digits.ns",
        "address": {"url": "http://digits.ns.svc.cluster.local"},
        "conditions": [{"type": "RoutesReady", "status": "False"}, {"type": "Ready", "status": "True"}],
        "traffic": [{"revisionName": "r1", "percent": 90}, {"revisionName": "r2", "percent": 10, "tag": "new"}],
    }
    return {"metadata": {"name": "digits", "namespace": "ns", "generation": 2}, "status": {**usual, **status}}


def named(name: str, annotations: dict[str, str] | None = None, labels: dict[str, str] | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "ns"}
    return {"metadata": metadata | {"annotations": annotations, "labels": labels}}


def deployment(revision: str, annotations: dict[str, str], **status: int) -> dict[str, Any]:
    return named("any-name", labels={"serving.knative.dev/revision": revision}) | {
        "spec": {"replicas": 3, "template": {"metadata": {"annotations": annotations}}},
        "status": status,
    }


def read(live: dict[str, Any], **objects: Any) -> ServiceFacts:
    return facts.read(Objects(services=[live], **objects))["ns", "digits"]


def test_everything_is_brought_together() -> None:
    live = service()
    found = read(
        live,
        revisions=[
            named("r1", {**MAX, "serving.knative.dev/creator": "x"}, OURS),
            named("r0", MAX, OURS),
            named("r9", MAX, {"everwarm.dev/modelservice": "other"}),
        ],
        podautoscalers=[named("r1", {**MAX, "autoscaling.knative.dev/min-scale": "2"})],
        deployments=[deployment("r1", {"a": "b"}, readyReplicas=2), deployment("r9", MAX, readyReplicas=9)],
    )
    r1 = RevisionFacts("r1", 90, MAX, {**MAX, "autoscaling.knative.dev/min-scale": "2"}, {}, 3, 2)
    assert found == ServiceFacts(
        live,
        ("True", "", ""),
        "http://digits.ns",
        (r1, RevisionFacts("r2", 10)),
        (RevisionFacts("r0", 0, MAX),),
        "http://digits.ns.svc.cluster.local",
    )
    assert found.ready_replicas == 2


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({"observedGeneration": 1}, None),
        ({"conditions": []}, None),
        ({"conditions": None}, None),
        (
            {"conditions": [{"type": "Ready", "status": "False", "reason": "Bad", "message": "No image."}]},
            ("False", "Bad", "No image."),
        ),
        ({"conditions": [{"type": "Ready"}]}, ("Unknown", "", "")),
    ],
)
def test_ready_is_what_knative_says_of_the_present_spec(status: dict[str, Any], ready: Any) -> None:
    assert read(service(**status)).ready == ready


@pytest.mark.parametrize(
    ("traffic", "percents"),
    [
        (None, {}),
        ([], {}),
        ([{"latestRevision": True, "percent": 100}], {}),
        ([{"revisionName": "r", "percent": 60}, {"revisionName": "r", "percent": 40}], {"r": 100}),
        ([{"revisionName": "r", "percent": 100}, {"revisionName": "r", "tag": "blue"}], {"r": 100}),
        ([{"revisionName": "r", "tag": "blue"}], {"r": 0}),
    ],
    ids=["none", "empty", "not resolved yet", "twice", "with a tag too", "with a tag only"],
)
def test_traffic_is_summed_by_revision(traffic: Any, percents: dict[str, int]) -> None:
    assert {part.name: part.percent for part in read(service(traffic=traffic)).revisions} == percents


def test_a_service_of_a_moment_ago_has_no_status() -> None:
    live = {"metadata": {"name": "digits", "namespace": "ns", "generation": 1}}
    assert read(live) == ServiceFacts(live)


def test_services_of_the_same_name_are_kept_apart() -> None:
    other = service(url="http://other")
    other["metadata"]["namespace"] = "elsewhere"
    found = facts.read(Objects(services=[service(), other]))
    assert {key: value.url for key, value in found.items()} == {
        ("ns", "digits"): "http://digits.ns",
        ("elsewhere", "digits"): "http://other",
    }
