"""What the replicas of a service used of memory: the highest, day by day, from Prometheus -> a recommendation."""

import math

from everwarm_cli.errors import CommandError
from everwarm_cli.prometheus.client import Client
from everwarm_planner import memory_recommendation
from everwarm_planner.memory_recommendation import MemoryPeaks, MemoryRecommendation

_DAY_SECONDS = 86_400
_DAYS = 8  # as many as the recommendation looks at


def recommendation(client: Client, service: str, now_seconds: float) -> MemoryRecommendation:
    """How much memory a replica of `NAMESPACE/NAME` should ask for.

    By the working set of its container (cAdvisor), or what its process had in memory.

    Raises:
        CommandError: the name is none, or nobody measured.
    """
    namespace, slash, name = service.partition("/")
    if not slash or not namespace or not name or not service.isprintable() or '"' in service or "\\" in service:
        raise CommandError(f"--service {service} is no service; write NAMESPACE/NAME.", exit_code=2)
    begin = now_seconds - _DAYS * _DAY_SECONDS
    for text in _texts(namespace, name):
        used = client.steps(text, begin, now_seconds, _DAY_SECONDS)
        peaks = MemoryPeaks()
        for day, peak in enumerate(used):
            if not math.isnan(peak):
                peaks = peaks.seen(begin + day * _DAY_SECONDS, peak)
        found = memory_recommendation.recommend(peaks, None)
        if found is not None:
            return found
    raise CommandError(
        f"Prometheus knows no memory of {service}: neither container_memory_working_set_bytes of its pods nor "
        "process_resident_memory_bytes of its servers."
    )


def _texts(namespace: str, name: str) -> tuple[str, ...]:
    pods = f'pod=~"{name}-[0-9]{{5}}-deployment-.+",container!="",container!="POD",container!="queue-proxy"'
    containers = f'container_memory_working_set_bytes{{namespace="{namespace}",{pods}}}'
    processes = f'process_resident_memory_bytes{{namespace_name="{namespace}",service_name="{name}"}}'
    return tuple(f"max(max_over_time({metric}[1d]))" for metric in (containers, processes))
