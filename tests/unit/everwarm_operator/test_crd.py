"""The CustomResourceDefinition that comes of the models; what the API server makes of it, tests/cluster shows."""

import pytest
from pydantic import BaseModel

from everwarm_operator.api import schema
from everwarm_operator.api.scaling import Scaling

BANNED_KEYS = {"$ref", "$defs", "anyOf", "const", "title", "examples", "exclusiveMinimum", "exclusiveMaximum"}


def nodes(node: dict, path: str = ""):
    yield path, node
    for name, inner in node.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from nodes(node[key], f"{path}[]")


NODES = dict(nodes(schema.openapi()))
# The API server has its own words for these.
UNDESCRIBED = {".apiVersion", ".kind", ".metadata"}


@pytest.mark.parametrize("path", NODES)
def test_the_schema_is_structural(path: str) -> None:
    node = NODES[path]
    assert not BANNED_KEYS & set(node)
    assert node.get("type") or node.get("x-kubernetes-int-or-string")
    assert node.get("additionalProperties") is not False, "unknown keys are pruned, not forbidden"


@pytest.mark.parametrize("path", [p for p in NODES if not p.endswith("[]") and p not in UNDESCRIBED])
def test_everything_is_described(path: str) -> None:
    assert NODES[path]["description"]


@pytest.mark.parametrize("path", [p for p in NODES if p.startswith(".spec") and NODES[p].get("type") == "string"])
def test_strings_that_rules_look_at_are_bounded(path: str) -> None:
    assert NODES[path]["maxLength"]


def test_every_rule_has_a_sentence() -> None:
    found = [rule for node in NODES.values() for rule in node.get("x-kubernetes-validations", [])]
    assert len(found) == 28
    assert all(len(rule["message"].split()) >= 5 for rule in found)


def test_defaults_are_the_models_own() -> None:
    written = {path: node["default"] for path, node in NODES.items() if "default" in node and "properties" not in node}
    scaling = Scaling()
    assert written == {
        ".spec.concurrency": 1,
        ".spec.timeoutSeconds": 60,
        ".spec.visibility": "Cluster",
        ".spec.slo.p95Milliseconds": 500,
        ".spec.scaling.mode": scaling.mode,
        ".spec.scaling.policy": scaling.policy,
        ".spec.scaling.minReplicas": scaling.min_replicas,
        ".spec.scaling.maxReplicas": scaling.max_replicas,
        ".spec.scaling.lowUtilizationSeconds": scaling.low_utilization_seconds,
        ".spec.scaling.pace.coolDownSeconds": scaling.pace.cool_down_seconds,
        ".spec.scaling.schedule[].name": "",
        ".spec.scaling.schedule[].timeZone": "UTC",
        ".status.conditions[].lastTransitionTime": "",
        ".status.conditions[].message": "",
        ".status.conditions[].observedGeneration": 0,
        ".status.conditions[].reason": "",
        ".status.observedGeneration": 0,
        ".status.readyReplicas": 0,
    }


def test_an_object_with_defaults_inside_has_them_in_full() -> None:
    assert NODES[".spec.slo"]["default"] == {"p95Milliseconds": 500}
    assert "default" not in NODES[".spec.model"]
    assert "default" not in NODES[".status"]


def test_conditions_are_a_map_by_type_and_the_memory_is_kept_as_it_is() -> None:
    assert NODES[".status.conditions"]["x-kubernetes-list-map-keys"] == ["type"]
    kept = [path for path, node in NODES.items() if node.get("x-kubernetes-preserve-unknown-fields")]
    assert kept == [".status.memory"]


def test_the_definition_names_the_resource() -> None:
    definition = schema.crd()
    (version,) = definition["spec"]["versions"]
    assert definition["metadata"]["name"] == "modelservices.everwarm.dev"
    assert definition["spec"]["names"]["shortNames"] == ["modelsvc"]
    assert version["subresources"] == {"status": {}}
    columns = [(column["name"], column.get("priority", 0)) for column in version["additionalPrinterColumns"]]
    usual = ["URL", "Ready", "Reason", "Floor", "Replicas", "P95", "Rate", "Age"]
    assert columns == [(name, 0) for name in usual] + [("Decision", 1), ("Model", 1)]


class Union(BaseModel):
    either: int | list[str]


def test_what_a_structural_schema_can_not_say_is_refused() -> None:
    with pytest.raises(ValueError, match="no unions"):
        schema.structural(Union.model_json_schema(), {})
