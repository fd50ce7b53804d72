"""`python -m everwarm_operator`: composes the operator from the environment and runs it until SIGTERM."""

import contextlib
import logging
import platform
import threading
from collections.abc import AsyncIterator, Iterator

import kopf
import prometheus_client

from everwarm_operator import handlers
from everwarm_operator.kube import KubernetesApi
from everwarm_operator.passes import Passes
from everwarm_operator.prometheus import HttpPrometheus
from everwarm_operator.settings import Settings
from everwarm_operator.telemetry import Telemetry
from everwarm_operator.wake import HttpWaker


def main() -> None:
    """Run the operator."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in (
        "kopf.objects",
        "kopf.activities.probe",
        "aiohttp.access",
        "httpx",
    ):  # a line for each watch event, probe and query
        logging.getLogger(chatty).setLevel(logging.WARNING)
    settings = Settings()
    registry = handlers.Registry()
    handlers.register(registry, lambda: _passes(settings))
    kopf.run(
        registry=registry,
        standalone=True,
        clusterwide=not settings.namespace_names,
        namespaces=settings.namespace_names,
        liveness_endpoint=f"http://0.0.0.0:{settings.health_port}/healthz",
    )


@contextlib.asynccontextmanager
async def _passes(settings: Settings) -> AsyncIterator[Passes]:
    telemetry = Telemetry()
    with _metrics_server(settings.metrics_port, telemetry):
        async with (
            KubernetesApi(namespaces=settings.namespace_names) as kube,
            HttpPrometheus(settings.prometheus_url) as prometheus,
            HttpWaker() as waker,
        ):
            yield Passes(kube, prometheus, waker, settings, telemetry, instance=platform.node() or "everwarm")


@contextlib.contextmanager
def _metrics_server(port: int, telemetry: Telemetry) -> Iterator[threading.Thread]:
    server, thread = prometheus_client.start_http_server(port, registry=telemetry.registry)
    try:
        yield thread
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    main()
