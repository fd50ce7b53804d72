"""`helm test`: asks the parts that everwarm stands on whether they work, and says in a sentence what does not.

In: the environment that templates/tests/pod.yaml sets, and the pod's service account. Out: exit status 0 or 1.
Runs in the operator's image, which has httpx and no kubectl.
"""

import os
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PATIENCE_SECONDS = 60.0


class Broken(Exception):
    """Something does not work; the message says what, and what to look at."""


def the_operator_is_alive() -> None:
    """Asks what the kubelet asks."""
    answer = httpx.get(f"{os.environ['OPERATOR_URL']}/healthz", timeout=10)
    if answer.status_code != 200:
        raise Broken(f"the operator's /healthz answers {answer.status_code}: {answer.text[:200]}")


def the_operator_decides() -> None:
    """Looks for the time of a pass in the metrics of the pod that leads: the Service is asked until it is met."""
    if _metric("everwarm_operator_last_pass_time_seconds") == 0.0:
        raise Broken("the operator has not finished a pass yet: its log says why")


def prometheus_answers() -> None:
    """Asks Prometheus for a number that needs no data; where that takes credentials, the operator whether it could."""
    url = os.environ["PROMETHEUS_URL"]
    if not url:
        if _metric("everwarm_operator_prometheus_up") == 0.0:
            raise Broken("Prometheus did not answer the operator: its log says why")
        return
    try:
        answer = httpx.get(f"{url}/api/v1/query", params={"query": "vector(1)"}, timeout=10)
    except httpx.HTTPError as error:
        raise Broken(f"{url} can't be reached ({error}): set prometheus.url") from error
    if answer.status_code != 200 or '"success"' not in answer.text:
        raise Broken(f"Prometheus answers {answer.status_code} ({answer.text[:200]}): set prometheus.url")


def _metric(name: str) -> float:
    answer = httpx.get(f"{os.environ['OPERATOR_METRICS_URL']}/metrics", timeout=10)
    values = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    return float(values.get(name, 0.0))


def the_api_server_checks_model_services() -> None:
    """Sends one good and one bad ModelService, as a dry run: nothing is stored."""
    good, bad = _dry_run(concurrency=1), _dry_run(concurrency=0)
    if good.status_code != 201:
        raise Broken(f"a ModelService is refused with {good.status_code}: {good.text[:400]}. Is its definition there?")
    if bad.status_code != 422 or "spec.concurrency must be 1 to 1000" not in bad.text:
        raise Broken(f"a bad ModelService is answered with {bad.status_code}: {bad.text[:400]}. Is it our definition?")


def _dry_run(concurrency: int) -> httpx.Response:
    server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    manifest: dict[str, Any] = {
        "apiVersion": "everwarm.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"generateName": "helm-test-"},
        "spec": {"model": {"uri": "/models/test", "format": "onnx"}, "concurrency": concurrency},
    }
    return httpx.post(
        f"{server}/apis/everwarm.dev/v1alpha1/namespaces/{os.environ['NAMESPACE']}/modelservices?dryRun=All",
        json=manifest,
        headers={"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"},
        verify=ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt")),
        timeout=10,
    )


CHECKS: tuple[Callable[[], None], ...] = (
    the_operator_is_alive,
    the_operator_decides,
    prometheus_answers,
    the_api_server_checks_model_services,
)


def main() -> int:
    """Tries each check until it holds, for a minute in all; returns the exit status."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    broken = [name for check in CHECKS if not _holds(name := check.__name__.replace("_", " "), check, deadline)]
    return 1 if broken else 0


def _holds(name: str, check: Callable[[], None], deadline: float) -> bool:
    while True:
        try:
            check()
        except (Broken, httpx.HTTPError) as error:
            if time.monotonic() > deadline:
                print(f"BROKEN  {name}: {error}", flush=True)
                return False
            time.sleep(2)
        else:
            print(f"ok      {name}", flush=True)
            return True


if __name__ == "__main__":
    sys.exit(main())
