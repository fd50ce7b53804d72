"""The PromQL texts: one per figure, each for all services at once, grouped by (namespace_name, service_name).

In: the window in seconds. Out: text. The metric names on our side are a contract with everwarm_server/telemetry.

A whole number in `le` is written "5" or "5.0", by the program that counts, the format and Prometheus' version. Both are
asked for. The other traps are those of promql.py.
"""

from everwarm_operator.promql import (
    ACTIVATOR_TARGETS,
    BIRTH_GRACE_SECONDS,
    BY,
    NEW,
    NEW_LABELS,
    NEW_LATENCY,
    NEW_LE,
    OLD_LATENCY,
    READY_SINCE,
    WITH_LE,
    activator_increase,
    activator_requests,
    increase,
    larger,
    quantile,
    renamed,
    server_requests,
    through_activator,
)

# Bounds of the server's latency (s), each with one of the activator's that is at least half a second above it: up to
# Knative 1.18 in ms (knative.dev/serving@v0.42.2/pkg/activator/handler/metrics.go), from 1.19 on in s and up to 10
# (go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp@v0.67.0/internal/semconv/server.go).
WAIT_BOUNDS = (
    ("0.5", "1000", "1"),
    ("1.5", "2000", "2.5"),
    ("2.5", "5000", "5"),
    ("5", "10000", "7.5"),
    ("10", "20000", None),
    ("30", "50000", None),
)
# The part of the requests that a bound has to cover at the servers, before more than it at the activator is a wait.
_COVERED = 0.95


def request_rate(window: int) -> str:
    """Requests per second, as finished at the servers or at the activator, whichever is more."""
    return f"({larger(server_requests(window), activator_requests(window))}) / {window}"


def p95_seconds(window: int) -> str:
    """95th percentile of the latency; the activator's counts where at least 5 % of the requests went through it."""
    server = quantile(increase("everwarm_request_seconds_bucket", window, WITH_LE))
    old = f"({quantile(activator_increase(OLD_LATENCY, window, WITH_LE))}) / 1000"
    new = quantile(renamed(activator_increase(NEW_LATENCY, window, NEW_LE)))
    activator = f"(({old}) or ({new})) and on ({BY}) ({through_activator(window)})"
    return larger(server, activator)


def in_flight(window: int) -> str:
    """Requests that are accepted and not answered, at the servers or at the activator, whichever is more."""
    del window
    server = f"sum by ({BY}) (everwarm_in_flight_requests)"
    old = f"sum by ({BY}) (activator_request_concurrency)"
    new = renamed(f"sum by (k8s_namespace_name, kn_service_name) (kn_revision_request_concurrency{NEW})", BY)
    return larger(server, f"({old}) or ({new})")


def service_seconds(window: int) -> str:
    """Mean time that one request keeps a slot busy; nothing where no request finished."""
    busy, requests = _busy_seconds(window), increase("everwarm_inference_seconds_count", window)
    return f"(({busy}) / ({requests})) >= 0"


def cold_start_fraction(window: int) -> str:
    """Part of the requests that found no warm replica (free), 0 to 1; nothing where no request finished.

    The servers know who came before they were ready by a header that few ingresses add; without it, they see only what
    reaches them right after readiness. Whoever waited at the activator found no replica free, and needs no header.
    """
    cold = larger(increase("everwarm_cold_start_requests_total", window), _waited(window))
    return f"clamp_max(({cold}) / (({server_requests(window)}) > 0), 1)"


def utilization(window: int) -> str:
    """Busy seconds per second and slot of the ready replicas, 0 to 1; nothing without ready replicas."""
    slots = (
        "everwarm_concurrency * on (namespace_name, service_name, pod_name, model_name) group_left () "
        "(everwarm_model_ready == 1)"
    )
    return f"clamp_max((({_busy_seconds(window)}) / {window}) / ((sum by ({BY}) ({slots})) > 0), 1)"


def age_seconds(window: int) -> str:
    """Age of the freshest sample that a server gave."""
    del window
    return f"min by ({BY}) (time() - timestamp(everwarm_model_ready))"


def reporting_replicas(stale_seconds: float) -> str:
    """Replicas that say that they are ready, with a sample younger than `stale_seconds`."""
    fresh = f"(time() - timestamp(everwarm_model_ready)) <= {stale_seconds:g}"
    return f"count by ({BY}) (({fresh}) and (everwarm_model_ready == 1))"


def unseen_replicas(window: int) -> str:
    """Replicas that are ready for longer than what is stored of them reaches back: their growth is not known."""
    old = f"(time() - {READY_SINCE}) >= {window + BIRTH_GRACE_SECONDS}"
    unseen = f"(everwarm_model_ready == 1) unless on (namespace_name, pod_name) (everwarm_model_ready offset {window}s)"
    return f"count by ({BY}) (({unseen}) and on (namespace_name, pod_name) ({old}))"


def activator_age_seconds(window: int) -> str:
    """Age of the freshest successful scrape of an activator; no labels."""
    del window
    ages = (f"((time() - timestamp({target})) and ({target} == 1))" for target in ACTIVATOR_TARGETS)
    return f"min({' or '.join(ages)})"


def _waited(window: int) -> str:
    """Requests that spent at least half a second more at the activator than at a server.

    For a bound b at the servers and one a above it at the activator, the requests over a less those over b are no more
    than those that waited for longer than a - b: a lower limit, and so is the largest of all pairs. A client that left
    while it waited is in it, for the activator counts it with the time that it stayed.

    Prometheus does not scrape both at once, so one side may be ahead by the requests of a scrape interval. Only bounds
    that cover 95 % at the servers are used: then at most 5 % of those requests are taken for waiting while the load
    grows, and none where all keep the bound. Those that waited and whose server is not scraped yet are seen late.
    """
    within = _bounded(increase(f"everwarm_request_seconds_bucket{{{_le(0)}}}", window, WITH_LE), 0)
    requests = server_requests(window)
    old = activator_increase(f"activator_request_latencies_bucket{{{_le(1)}}}", window, WITH_LE)
    counter = f"http_server_request_duration_seconds_bucket{{{NEW_LABELS},{_le(2)}}}"
    new = renamed(activator_increase(counter, window, NEW_LE))
    through = f"({_bounded(old, 1)}) or ({_bounded(new, 2)})"
    over = f"({requests}) - on ({BY}) group_right () ({within})"
    over_at_activator = f"({activator_requests(window)}) - on ({BY}) group_right () ({through})"
    covered = f"({within}) >= on ({BY}) group_left () ({_COVERED} * (({requests}) > 0))"
    longer = f"(({over_at_activator}) - on ({BY}, le) ({over})) and on ({BY}, le) ({covered})"
    return f"clamp_min(max by ({BY}) ({longer}), 0)"


def _le(column: int) -> str:
    """The selector of one column of `WAIT_BOUNDS`."""
    bounds = (row[column] for row in WAIT_BOUNDS)
    return f'le=~"({"|".join(bound.replace(".", "[.]") for bound in bounds if bound)})([.]0)?"'


def _bounded(buckets: str, column: int) -> str:
    """The buckets of one column of `WAIT_BOUNDS`, with the server's bounds in `le`."""
    for row in WAIT_BOUNDS:
        if bound := row[column]:
            pattern = f"{bound.replace('.', '[.]')}([.]0)?"
            buckets = f'label_replace({buckets}, "bound", "{row[0]}", "le", "{pattern}")'
    return f'sum by ({WITH_LE}) (label_replace({buckets}, "le", "$1", "bound", "(.+)"))'


def _busy_seconds(window: int) -> str:
    return increase("everwarm_inference_seconds_sum", window)


def all_texts(window: int, stale_seconds: float) -> dict[str, str]:
    """Every query of a pass, by the figure that it gives."""
    figures = (
        request_rate,
        p95_seconds,
        in_flight,
        service_seconds,
        cold_start_fraction,
        utilization,
        age_seconds,
        unseen_replicas,
        activator_age_seconds,
    )
    texts = {figure.__name__: figure(window) for figure in figures}
    texts[reporting_replicas.__name__] = reporting_replicas(stale_seconds)
    return texts
