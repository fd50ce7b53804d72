"""The chart as tests see it: rendered, and installed as a release.

In: the path of helm, values as files or as a tree. Out: the objects that helm renders, or a release in a cluster.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.paths import ROOT
from harness.shell import run

Json = dict[str, Any]

CHART = ROOT / "charts" / "everwarm"
NAMESPACE = "everwarm-system"
SCENARIOS = {
    "default": ("ci/01-default-values.yaml",),
    "all-on": ("ci/02-all-on-values.yaml",),
    "kind": ("values-kind.yaml",),
    "eks": ("values-eks.yaml", "ci/03-eks-values.yaml"),
    "namespaced": ("ci/04-namespaced-values.yaml",),
}
_TIMEOUT_SECONDS = 120


def options(scenario: str) -> list[str]:
    """Returns helm's options for the values files of a scenario."""
    return [word for file in SCENARIOS[scenario] for word in ("--values", str(CHART / file))]


def render(helm: str, *more: str, values: Json | None = None, release: str = "everwarm") -> list[Json]:
    """Returns the objects of the chart, hooks included; raises `CommandFailed` with what helm complained about."""
    command: list[str | Path] = [helm, "template", release, CHART, "--namespace", NAMESPACE, "--values", "-", *more]
    text = run(command, stdin=yaml.safe_dump(values or {}))
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(objects: Sequence[Json], kind: str) -> list[Json]:
    """Returns the `objects` of one kind."""
    return [found for found in objects if found["kind"] == kind]


@dataclass(frozen=True, slots=True)
class Release:
    """The chart as a release named everwarm in a cluster, with the values that every test needs there."""

    helm: str
    kubeconfig: Path
    values: Json

    def install(self, values: Json | None = None) -> str:
        """Installs or upgrades it with `values` on top, waits until it is ready, and returns what helm prints."""
        return self._helm(
            *("upgrade", "--install", "everwarm", str(CHART), "--create-namespace", "--reset-values"),
            *("--values", "-", "--wait", "--timeout", "100s"),
            "--take-ownership",  # of a definition that kubectl applied
            stdin=yaml.safe_dump(merged(self.values, values or {})),
        )

    def test(self) -> str:
        """Runs `helm test` and returns what it prints; raises `CommandFailed` where it failed."""
        return self._helm("test", "everwarm", "--timeout", "100s")

    def rollback(self) -> str:
        """Goes back to the revision before and waits until it is ready."""
        return self._helm("rollback", "everwarm", "--wait", "--timeout", "100s")

    def uninstall(self) -> str:
        """Takes it away and waits until it is gone, its pods included; none is well, too."""
        how = ("--ignore-not-found", "--cascade", "foreground", "--wait", "--timeout", "100s")
        return self._helm("uninstall", "everwarm", *how)

    def _helm(self, *arguments: str, stdin: str | None = None) -> str:
        command: list[str | Path] = [self.helm, *arguments, "--namespace", NAMESPACE, "--kubeconfig", self.kubeconfig]
        return run(command, stdin=stdin, timeout_seconds=_TIMEOUT_SECONDS)


def merged(base: Json, over: Json) -> Json:
    """Returns `base` with the values of `over`, key by key, as helm merges values files."""
    result = dict(base)
    for key, value in over.items():
        before = result.get(key)
        result[key] = merged(before, value) if isinstance(value, dict) and isinstance(before, dict) else value
    return result
