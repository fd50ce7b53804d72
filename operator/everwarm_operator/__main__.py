"""`python -m everwarm_operator`: composes the operator from the environment and runs it until SIGTERM."""

import asyncio
import contextlib
import logging
import platform
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator

import kopf
import prometheus_client

from everwarm_operator import handlers
from everwarm_operator.facts import Key
from everwarm_operator.kube import Kube, KubernetesApi
from everwarm_operator.lease import Fenced, Leadership
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
    instance = platform.node() or "everwarm"
    with _metrics_server(settings.metrics_port, telemetry):
        async with (
            KubernetesApi(namespaces=settings.namespace_names) as kube,
            HttpPrometheus(settings.prometheus) as prometheus,
            HttpWaker() as waker,
        ):
            if settings.lease_key is None:
                telemetry.leader.set(1)
                yield Passes(kube, prometheus, waker, settings, telemetry, instance=instance)
                return
            async with _elected(kube, settings.lease_key, instance) as (fenced, leadership, listeners):
                passes = Passes(
                    fenced, prometheus, waker, settings, telemetry, instance=instance, leads=leadership.leads
                )
                listeners.append(passes.leadership_changed)
                yield passes


@contextlib.asynccontextmanager
async def _elected(
    kube: Kube, key: Key, instance: str
) -> AsyncIterator[tuple[Fenced, Leadership, list[Callable[[bool], None]]]]:
    """Takes part in the election, and lets go of the Lease at the end."""
    listeners: list[Callable[[bool], None]] = []

    def changed(leads: bool) -> None:
        for listener in listeners:
            listener(leads)

    # A pod that starts anew under its old name is another candidate: it knows nothing of what the old one began.
    leadership = Leadership(kube, key, f"{instance}_{uuid.uuid4()}", changed)
    election = asyncio.create_task(leadership.run(), name="election")
    try:
        yield Fenced(kube, lambda: leadership.seconds_left), leadership, listeners
    finally:
        election.cancel()
        await asyncio.gather(election, return_exceptions=True)


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
