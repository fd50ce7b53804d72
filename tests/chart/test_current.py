"""What is derived from the chart and the code is current, and the values are documented and checked without a gap."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts import generate

from everwarm_operator.api import schema
from everwarm_operator.settings import Settings
from harness import chart
from harness.chart import CHART
from harness.paths import ROOT

DERIVED = generate.derived()


@pytest.mark.parametrize("path", DERIVED, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_what_its_sources_make_of_it(path: Path) -> None:
    assert path.read_text() == DERIVED[path], "run `make manifests`"


def test_the_manifests_are_what_helm_renders(helm: str) -> None:
    for path, text in generate.rendered(helm).items():
        assert path.read_text() == text, f"{path.name}: run `make manifests`"


def test_the_definition_of_the_chart_is_the_generated_one_kept_on_uninstall(helm: str) -> None:
    (definition,) = chart.of_kind(chart.render(helm), "CustomResourceDefinition")
    metadata = definition.pop("metadata")
    wanted = schema.crd()
    assert metadata["name"] == wanted.pop("metadata")["name"]
    assert definition == wanted
    assert metadata["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_definition_may_be_left_out_or_go_with_the_release(helm: str) -> None:
    without = chart.render(helm, values={"crds": {"install": False}})
    (unkept,) = chart.of_kind(chart.render(helm, values={"crds": {"keep": False}}), "CustomResourceDefinition")
    assert chart.of_kind(without, "CustomResourceDefinition") == []
    assert "annotations" not in unkept["metadata"]


def leaves(values: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """The paths of all values, down to what is no map or an empty one."""
    if isinstance(values, dict) and values:
        return {leaf for key, value in values.items() for leaf in leaves(value, (*path, key))}
    return {path}


def test_each_value_is_documented() -> None:
    text = (CHART / "values.yaml").read_text()
    documented = {value.path for value in generate.values(text)}
    undocumented = {
        leaf
        for leaf in leaves(yaml.safe_load(text))
        if not any(leaf[: len(path)] == path for path in documented)  # a map may be documented as a whole
    }
    assert undocumented == set()


def objects(node: Any, path: str = "") -> dict[str, Any]:
    """The schemas of all maps with named keys, by path."""
    found = {path: node} if "properties" in node else {}
    for key, inner in node.get("properties", {}).items():
        found |= objects(inner, f"{path}.{key}")
    return found


def test_the_schema_knows_the_values_and_no_others() -> None:
    root = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for path, node in objects(root).items():
        assert node["additionalProperties"] is False, path
        here = values
        for key in path.split(".")[1:]:
            here = here[key]
        assert set(node["properties"]) - {"global"} == set(here), path


def test_each_value_has_a_description_in_the_schema() -> None:
    root = json.loads((CHART / "values.schema.json").read_text())
    silent = [
        f"{path}.{key}"
        for path, node in objects(root).items()
        for key, inner in node["properties"].items()
        if "properties" not in inner and "description" not in inner and path != ".operator.resources"
    ]
    assert silent == []


def test_defaults_of_the_chart_are_those_of_the_operator(helm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (deployment,) = chart.of_kind(chart.render(helm), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    names = {entry["name"]: entry["value"] for entry in container["env"]}
    prefix = "EVERWARM_OPERATOR_"
    given = {name.removeprefix(prefix).lower() for name in names}
    assert given | {"health_port", "metrics_port"} == set(Settings.model_fields)
    assert names.pop(f"{prefix}LEASE") == "everwarm-system/everwarm-leader", "only the chart knows its namespace"
    defaults = Settings()
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    assert Settings() == defaults


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    metadata = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert metadata["appVersion"] == project["version"]
