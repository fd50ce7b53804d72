"""More PromQL texts: what a service's traffic and its replicas are like. Policies can do without each of these figures.

In: the window in seconds. Out: text, grouped as in queries.py. Histograms come bound by bound (label `le`), for what is
asked of them, an objective's latency or a variance, differs from service to service.
"""

from everwarm_operator.promql import (
    BY,
    NEW_LATENCY,
    NEW_LE,
    OLD_LATENCY,
    READY_SINCE,
    WITH_LE,
    activator_increase,
    increase,
    larger,
    renamed,
    through_activator,
)

# One minute's index of dispersion is a figure by chance; many of them are a trait of the traffic.
DISPERSION_SECONDS = 900
# Service times change with a revision, not with the minute.
SERVICE_SECONDS = 3600
# Cold starts are rare: a day's, of which the slower ones count.
READY_SECONDS = 86_400
READY_QUANTILE = 0.9


def dispersion() -> str:
    """Index of dispersion of the arrivals of one second: variance over mean; nothing without requests.

    Each replica counts its own. Where requests are dealt at random, a replica that gets the part p of arrivals of index
    I sees 1 + p (I - 1); so what the replicas see above 1 adds up to what the service sees above 1.
    """
    mean = f"avg_over_time((everwarm_arrival_dispersion >= 0)[{DISPERSION_SECONDS}s:60s])"
    return f"clamp_min(1 + sum by ({BY}) (({mean}) - 1), 0)"


def time_to_ready_seconds(pod_start_seconds: float) -> str:
    """From asking for a replica until it is ready: the slower ones of a day's; nothing if none started.

    A server knows only when its process began. What comes before that, the pod's scheduling, image and sandbox, is
    known where kube-state-metrics is scraped, and taken as `pod_start_seconds` elsewhere.
    """
    by_pod = "namespace_name, service_name, pod_name"
    ready = f"max by ({by_pod}) (last_over_time({READY_SINCE}[{READY_SECONDS}s]) > 0)"
    began = f"max by ({by_pod}) (last_over_time(everwarm_start_time_seconds[{READY_SECONDS}s]))"
    created = (
        f"max by (namespace_name, pod_name) (label_replace(label_replace("
        f"last_over_time(kube_pod_created[{READY_SECONDS}s]), "
        f'"namespace_name", "$1", "namespace", "(.+)"), "pod_name", "$1", "pod", "(.+)"))'
    )
    from_pod = f"({ready}) - on (namespace_name, pod_name) group_left () ({created})"
    from_process = f"({ready}) - ({began}) + {pod_start_seconds:g}"
    return f"quantile by ({BY}) ({READY_QUANTILE}, (({from_pod}) >= 0) or (({from_process}) >= 0))"


def service_buckets() -> str:
    """How long requests kept a slot busy: how many took at most `le` seconds."""
    return increase("everwarm_inference_seconds_bucket", SERVICE_SECONDS, WITH_LE)


def latency_buckets(window: int) -> str:
    """Latency as the servers see it: how many requests took at most `le` seconds."""
    return increase("everwarm_request_seconds_bucket", window, WITH_LE)


def activator_buckets_milliseconds(window: int) -> str:
    """Latency at the activator up to Knative 1.18, `le` in ms, where it counts (see queries.p95_seconds)."""
    buckets = activator_increase(OLD_LATENCY, window, WITH_LE)
    return f"({buckets}) and on ({BY}) ({through_activator(window)})"


def activator_buckets_seconds(window: int) -> str:
    """Latency at the activator from Knative 1.19 on, `le` in seconds, where it counts."""
    buckets = renamed(activator_increase(NEW_LATENCY, window, NEW_LE))
    return f"({buckets}) and on ({BY}) ({through_activator(window)})"


def rates_per_second(step_seconds: int, services: str) -> str:
    """Requests per second over a step, for a range query; nothing where nobody counted.

    Args:
        step_seconds: of the range query.
        services: regular expression of their names.
    """
    only = f'{{service_name=~"{services}"}}'
    server = f"sum by ({BY}) (rate(everwarm_request_seconds_count{only}[{step_seconds}s]))"
    old = f"sum by ({BY}) (rate(activator_request_count{only}[{step_seconds}s]))"
    counter = f'http_server_request_duration_seconds_count{{kn_service_name=~"{services}",kn_revision_name!=""}}'
    new = renamed(f"rate({counter}[{step_seconds}s])", BY)
    return larger(server, f"({old}) or ({new})")


def all_texts(pod_start_seconds: float) -> dict[str, str]:
    """Every text of a pass that gives one figure per service, by its name."""
    return {
        "dispersion": dispersion(),
        "time_to_ready_seconds": time_to_ready_seconds(pod_start_seconds),
    }


def all_histograms(window: int) -> dict[str, str]:
    """Every text of a pass that gives a histogram per service, by its name."""
    return {
        "service_buckets": service_buckets(),
        "latency_buckets": latency_buckets(window),
        "activator_buckets_milliseconds": activator_buckets_milliseconds(window),
        "activator_buckets_seconds": activator_buckets_seconds(window),
    }
