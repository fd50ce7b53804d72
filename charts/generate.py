"""Writes what is derived from the chart and the code, so that each fact is written down once.

In: operator/everwarm_operator/api (the CustomResourceDefinition), charts/everwarm/values.yaml (whose comments document
the values), and helm. Out: the chart's files/crd.yaml, README.md and the descriptions in values.schema.json, and
manifests/. `make manifests` calls it; tests/chart holds everything current.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from everwarm_operator.api import schema

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "everwarm"
MANIFESTS = ROOT / "manifests"
NAMESPACE = "everwarm-system"

_INSTALL_HEAD = """\
# The operator: its namespace, its rights, its process. Needs manifests/crds.yaml and Knative Serving.
# Rendered from charts/everwarm by `make manifests`: change that, not this.
"""
# What is true of a release of helm's only.
_OF_HELM = re.compile(r"^ *(app\.kubernetes\.io/managed-by: Helm|helm\.sh/chart: .*)\n|^# Source: .*\n", re.MULTILINE)
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z]\w*):")
_COMMENT = re.compile(r"^ *# (?P<opens>-- )?(?P<text>.*)$")


@dataclass(frozen=True, slots=True)
class Value:
    """A documented value: the keys that lead to it, its default, what its comment says."""

    path: tuple[str, ...]
    default: Any
    text: str


def values(text: str) -> list[Value]:
    """Returns the values of a values.yaml that have a comment which opens with `# --`, in its order."""
    content = yaml.safe_load(text)
    found = []
    for path, comment in _commented(text.splitlines()):
        default = content
        for key in path:
            default = default[key]
        found.append(Value(path, default, comment))
    return found


def _commented(lines: list[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in lines:
        if words := _COMMENT.match(line):
            comment = [words["text"]] if words["opens"] else [*comment, words["text"]] if comment else []
        elif key := _KEY.match(line):
            indent = len(key["indent"])
            path = [*((i, name) for i, name in path if i < indent), (indent, key["key"])]
            if comment:
                yield tuple(name for _, name in path), " ".join(comment)
            comment = []


def described_schema(text: str, documented: list[Value]) -> str:
    """Returns values.schema.json with the descriptions that values.yaml has."""
    content = json.loads(text)
    for value in documented:
        node = content
        for key in value.path:
            node = node["properties"][key]
        node["description"] = value.text
    return json.dumps(content, indent=2) + "\n"


def readme(head: str, documented: list[Value]) -> str:
    """Returns the chart's README: the hand-written part up to its table, and the table."""
    rows = [
        f"| `{'.'.join(value.path)}` | `{json.dumps(value.default)}` | {value.text.replace('|', chr(92) + '|')} |"
        for value in documented
    ]
    before, mark, _ = head.partition("## Values\n")
    return "\n".join([before + mark, "| value | default | what it does |", "|---|---|---|", *rows, ""])


def template(helm: str, *options: str) -> str:
    """Returns what helm renders of the chart under the names of manifests/; raises CalledProcessError."""
    command = [helm, "template", "everwarm", str(CHART), "--namespace", NAMESPACE, *options]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def derived() -> dict[Path, str]:
    """Returns the text of each derived file that needs no helm."""
    documented = values((CHART / "values.yaml").read_text())
    schema_file, readme_file = CHART / "values.schema.json", CHART / "README.md"
    return {
        CHART / "files" / "crd.yaml": schema.crd_yaml(),
        MANIFESTS / "crds.yaml": schema.crd_yaml(),
        schema_file: described_schema(schema_file.read_text(), documented),
        readme_file: readme(readme_file.read_text(), documented),
    }


def rendered(helm: str) -> dict[Path, str]:
    """Returns the text of each manifest that helm renders."""
    install = template(helm, "--no-hooks", "--set", "crds.install=false,namespace.create=true")
    scrape = template(helm, "--set", "monitoring.scrapeConfig.enabled=true", "-s", _SCRAPE)
    return {
        MANIFESTS / "install.yaml": _INSTALL_HEAD + _OF_HELM.sub("", install).removeprefix("---\n"),
        MANIFESTS / "prometheus.yaml": yaml.safe_load(scrape)["data"]["everwarm.yaml"],
    }


_SCRAPE = "templates/monitoring/scrape-config.yaml"


def main() -> int:
    """Writes the files; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--helm", default="helm", help="path of helm 3")
    for path, text in (derived() | rendered(parser.parse_args().helm)).items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
