"""Pydantic models -> the structural OpenAPI v3 schema that Kubernetes wants -> the CustomResourceDefinition.

Kubernetes takes neither `$ref`, nor `anyOf` with null, nor `const`; defaults inside an object apply only where the
object itself has a default. No package that does this is kept up, so here are its few lines.
"""

from typing import Any

import yaml

from everwarm_operator.api import v1alpha1

Schema = dict[str, Any]

# The pattern with which Kubernetes' own generators describe a quantity.
_QUANTITY = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
_KEPT = (
    "description",
    "type",
    "format",
    "minLength",
    "maxLength",
    "maxItems",
    "minimum",
    "maximum",
    "pattern",
    "enum",
    "required",
    "x-kubernetes-validations",
)
_COLUMNS: tuple[tuple[str, str, str, int], ...] = (
    ("URL", "string", ".status.url", 0),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', 0),
    ("Floor", "integer", ".status.floor", 0),
    ("Replicas", "integer", ".status.readyReplicas", 0),
    ("P95", "integer", ".status.observed.p95Milliseconds", 0),
    ("Rate", "number", ".status.observed.ratePerSecond", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Decision", "string", ".status.decision.sentence", 1),
    ("Model", "string", ".spec.model.uri", 1),
)


def structural(schema: Schema, definitions: Schema) -> Schema:
    """One JSON schema as Kubernetes wants it.

    Args:
        schema: what pydantic made.
        definitions: its `$defs`.

    Raises:
        ValueError: a union that a structural schema can't express.
    """
    schema = _inlined(schema, definitions)
    if {frozenset(option) for option in schema.get("anyOf", [])} == {frozenset({"type"})} and _is_quantity(schema):
        return {"x-kubernetes-int-or-string": True, "pattern": _QUANTITY}
    if "anyOf" in schema:
        return _nullable(schema, definitions)
    result: Schema = {key: schema[key] for key in _KEPT if key in schema}
    if "const" in schema:
        result["enum"] = [schema["const"]]
    if schema.get("default") is not None:
        result["default"] = schema["default"]
    if "properties" in schema:
        result["properties"] = _properties(schema, definitions)
    if "items" in schema:
        result["items"] = structural(schema["items"], definitions)
    if isinstance(schema.get("additionalProperties"), dict):
        result["additionalProperties"] = structural(schema["additionalProperties"], definitions)
    return result


def _inlined(schema: Schema, definitions: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    target: Schema = definitions[schema["$ref"].removeprefix("#/$defs/")]
    return target | {key: value for key, value in schema.items() if key != "$ref"}


def _is_quantity(schema: Schema) -> bool:
    return [option["type"] for option in schema["anyOf"]] == ["integer", "string"]


def _nullable(schema: Schema, definitions: Schema) -> Schema:
    options = [option for option in schema["anyOf"] if option.get("type") != "null"]
    if len(options) != 1 or len(options) == len(schema["anyOf"]):
        raise ValueError(f"a structural schema has no unions: {schema}")
    outside = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    return structural(_inlined(options[0], definitions) | outside, definitions) | {"nullable": True}


def _properties(schema: Schema, definitions: Schema) -> Schema:
    properties = {name: structural(value, definitions) for name, value in schema["properties"].items()}
    for name, value in properties.items():
        optional = name not in schema.get("required", []) and not value.get("nullable")
        inside = {key: inner["default"] for key, inner in value.get("properties", {}).items() if "default" in inner}
        if optional and inside:
            value["default"] = inside  # in full: the API server checks the rules of a default before it fills it in
    return properties


def openapi() -> Schema:
    """The schema of a whole ModelService object."""
    generated = v1alpha1.ModelService.model_json_schema(by_alias=True)
    schema: Schema = structural(generated, generated["$defs"])
    del schema["properties"]["metadata"]  # the API server knows it; a schema of it may say little else
    schema["required"] = ["spec"]
    status = schema["properties"]["status"]
    status.pop("default", None)
    status["properties"]["memory"]["x-kubernetes-preserve-unknown-fields"] = True
    conditions = status["properties"]["conditions"]
    conditions["x-kubernetes-list-type"] = "map"
    conditions["x-kubernetes-list-map-keys"] = ["type"]
    schema["properties"] = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
    } | schema["properties"]
    return schema


def crd() -> Schema:
    """The CustomResourceDefinition of ModelService."""
    columns = [
        {"name": name, "type": kind, "jsonPath": path} | ({"priority": priority} if priority else {})
        for name, kind, path, priority in _COLUMNS
    ]
    version = {
        "name": v1alpha1.VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": openapi()},
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{v1alpha1.PLURAL}.{v1alpha1.GROUP}"},
        "spec": {
            "group": v1alpha1.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": v1alpha1.KIND,
                "listKind": f"{v1alpha1.KIND}List",
                "plural": v1alpha1.PLURAL,
                "singular": v1alpha1.KIND.lower(),
                "shortNames": ["modelsvc"],
                "categories": ["serving", "everwarm"],
            },
            "versions": [version],
        },
    }


def crd_yaml() -> str:
    """The same as a manifest for `kubectl apply -f`."""
    head = "# Generated by `everwarm crd` from operator/everwarm_operator/api/v1alpha1.py: change that, not this.\n"
    return head + yaml.safe_dump(crd(), sort_keys=False, width=120)
