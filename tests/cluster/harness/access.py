"""A running cluster as tests see it: kubectl, requests through its ingress, its Prometheus, what to show on a failure.

In: a kubeconfig, and the addresses of the ingress and of Prometheus. The cluster may be the harness' own or somebody's.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import yaml

from harness.build import kubectl
from harness.components import all_components
from harness.processes import wait
from harness.shell import CommandFailed, run

Json = dict[str, Any]
T = TypeVar("T")
_LOCAL_DOMAIN = ".svc.cluster.local"


class NeverHappened(AssertionError):
    """What a test waited for did not come; the message ends with what there was instead."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that is up.

    Attributes:
        public_ingress: the URL at which the ingress serves public hosts.
        local_ingress: the URL at which it serves hosts of the cluster, or None.
        prometheus: the URL of its Prometheus, or None.
        is_ours: whether the harness runs it, and so may stop parts of it.
    """

    kubeconfig: Path
    public_ingress: str
    local_ingress: str | None
    prometheus: str | None
    is_ours: bool

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout_seconds: float = 60) -> str:
        """Returns what kubectl prints; raises `CommandFailed` with what it complained about."""
        command = [kubectl(), f"--kubeconfig={self.kubeconfig}", *arguments]
        return run(command, stdin=stdin, timeout_seconds=timeout_seconds)

    def apply(self, *manifests: Json) -> None:
        """Applies `manifests` on the server's side."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def dry_run(self, manifest: Json) -> str:
        """Returns what kubectl says of a manifest that the API server checks and does not store; as `apply` else."""
        options = ("--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict")
        return self.kubectl("apply", *options, "-f", "-", stdin=yaml.safe_dump(manifest))

    def merge(self, kind: str, name: str, patch: Json, namespace: str = "default") -> None:
        """Merges `patch` into an object."""
        self.kubectl("-n", namespace, "patch", kind, name, "--type=merge", "-p", json.dumps(patch))

    def get(self, kind: str, name: str, namespace: str = "default") -> Json | None:
        """Returns an object, or None where there is none."""
        text = self.kubectl("-n", namespace, "get", kind, name, "-o", "json", "--ignore-not-found")
        found: Json | None = json.loads(text) if text.strip() else None
        return found

    def list(self, kind: str, namespace: str = "default", selector: str = "") -> list[Json]:
        """Returns the objects of a kind that a label selector selects."""
        text = self.kubectl("-n", namespace, "get", kind, "-o", "json", "-l", selector)
        items: list[Json] = json.loads(text)["items"]
        return items

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        """Deletes an object and waits until it is gone; none is well, too."""
        self.kubectl("-n", namespace, "delete", kind, name, "--ignore-not-found", "--timeout=60s", timeout_seconds=70)

    def wait_for(
        self, what: str, look: Callable[[], T | None], *, timeout_seconds: float, every_seconds: float = 0.5
    ) -> T:
        """Returns the first true answer of `look`; raises `NeverHappened`, naming `what`, with the last untrue one."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            seen = look()
            if seen:
                return seen
            if time.monotonic() > deadline:
                raise NeverHappened(f"not within {timeout_seconds:g} s: {what} (last seen: {seen!r})")
            time.sleep(every_seconds)

    def address(self, url: str) -> tuple[str, dict[str, str]]:
        """Returns the address to send requests for a Knative `url` to, and the headers that name its host."""
        host = urlsplit(url).netloc
        ingress = self.local_ingress if host.endswith(_LOCAL_DOMAIN) else self.public_ingress
        if ingress is None:
            raise NeverHappened(f"{host} is reached from inside the cluster only")
        return ingress, {"Host": host}

    def request(self, method: str, url: str, *, timeout_seconds: float = 60, **options: Any) -> httpx.Response:
        """Sends a request for a Knative `url` through the ingress; `options` are those of httpx."""
        address, headers = self.address(url)
        headers |= dict(options.pop("headers", {}))
        return httpx.request(method, address + urlsplit(url).path, headers=headers, timeout=timeout_seconds, **options)

    def query(self, promql: str) -> dict[str, float]:
        """Returns Prometheus' answer to an instant query: values by their labels as text."""
        assert self.prometheus is not None
        answer = httpx.get(f"{self.prometheus}/api/v1/query", params={"query": promql}, timeout=10)
        answer.raise_for_status()
        results = answer.json()["data"]["result"]
        return {json.dumps(result["metric"], sort_keys=True): float(result["value"][1]) for result in results}

    def stop_prometheus(self) -> None:
        """Stops the harness' Prometheus; what it has collected stays."""
        all_components()["prometheus"].process.stop()

    def start_prometheus(self) -> None:
        """Starts it again and returns when it answers."""
        prometheus = all_components()["prometheus"]
        prometheus.process.start(prometheus.argv)
        if not wait(prometheus.is_ready, 30):
            raise NeverHappened(f"Prometheus did not start:\n{prometheus.process.last_words()}")

    def diagnose(self) -> str:
        """Returns what one looks at first when a test fails."""
        questions = (
            ("get", "pods", "--all-namespaces", "-o", "wide"),
            ("get", "modelservices,ksvc,podautoscalers,kingress", "--all-namespaces"),
            ("get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"),
            ("-n", "everwarm-system", "logs", "deployment/everwarm-operator", "--tail=60"),
        )
        return "\n\n".join(f"$ kubectl {' '.join(question)}\n{self._answer(question)}" for question in questions)

    def _answer(self, question: tuple[str, ...]) -> str:
        try:
            return "\n".join(self.kubectl(*question, timeout_seconds=15).splitlines()[-60:])
        except CommandFailed as error:
            return str(error)
