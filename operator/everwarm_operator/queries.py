"""The PromQL texts: one per figure, each for all services at once, grouped by (namespace_name, service_name).

In: the window in seconds. Out: text. The metric names on our side are a contract with everwarm_server/telemetry.

Three traps shape them:

1. A new pod's counters are over 0 when they are first scraped, and `increase()` begins to count after that: it misses
   the requests of a birth, which are the cold starts that we look for. `_increase` counts a series that has no value
   at the window's beginning in full, if its replica is known to have become ready within the window. (Not: begun; a
   large model loads for longer than the window is.)
2. Only the activator sees a request wait for a replica that does not exist, so latency, rate and requests in flight are
   the larger of its figures and the server's.
3. Knative renamed all its metrics in 1.19, and went from milliseconds to seconds. Both generations are asked for.
"""

BY = "namespace_name, service_name"
# Two default scrape intervals: a replica may be ready just before the window and be scraped first within it.
_BIRTH_GRACE_SECONDS = 30
_ACTIVATOR_TARGETS = ('up{pod_name=~"activator-.+"}', 'up{pod=~"activator-.+"}', 'up{job=~".*activator.*"}')
_READY_SINCE = "everwarm_ready_time_seconds"
# From 1.19 on the activator and every queue-proxy use one metric name; these labels stand on the activator's only.
_NEW = '{kn_service_name!="",kn_revision_name!=""}'


def request_rate(window: int) -> str:
    """Requests per second, as finished at the servers or at the activator, whichever is more."""
    return f"({_larger(_server_requests(window), _activator_requests(window))}) / {window}"


def p95_seconds(window: int) -> str:
    """95th percentile of the latency; the activator's counts where at least 5 % of the requests went through it."""
    server = _quantile(_increase("everwarm_request_seconds_bucket", window, f"{BY}, le"))
    old = _scaled_quantile(_activator_increase("activator_request_latencies_bucket", window, f"{BY}, le"), 1000)
    new = _quantile(
        _renamed(_activator_increase(f"http_server_request_duration_seconds_bucket{_NEW}", window, _NEW_LE))
    )
    through = _activator_requests(window)
    counts = f"({through}) >= 0.05 * ({_server_requests(window)}) or ({through}) unless ({_server_requests(window)})"
    activator = f"(({old}) or ({new})) and on ({BY}) ({counts})"
    return _larger(server, activator)


def in_flight(window: int) -> str:
    """Requests that are accepted and not answered, at the servers or at the activator, whichever is more."""
    del window
    server = f"sum by ({BY}) (everwarm_in_flight_requests)"
    old = f"sum by ({BY}) (activator_request_concurrency)"
    new = _renamed(f"sum by (k8s_namespace_name, kn_service_name) (kn_revision_request_concurrency{_NEW})", BY)
    return _larger(server, f"({old}) or ({new})")


def service_seconds(window: int) -> str:
    """Mean time that one request keeps a slot busy; nothing where no request finished."""
    busy, requests = _busy_seconds(window), _increase("everwarm_inference_seconds_count", window)
    return f"(({busy}) / ({requests})) >= 0"


def cold_start_fraction(window: int) -> str:
    """Part of the requests that found no warm replica, 0 to 1; nothing where no request finished."""
    cold = _increase("everwarm_cold_start_requests_total", window)
    return f"clamp_max(({cold}) / (({_server_requests(window)}) > 0), 1)"


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
    old = f"(time() - {_READY_SINCE}) >= {window + _BIRTH_GRACE_SECONDS}"
    unseen = f"(everwarm_model_ready == 1) unless on (namespace_name, pod_name) (everwarm_model_ready offset {window}s)"
    return f"count by ({BY}) (({unseen}) and on (namespace_name, pod_name) ({old}))"


def activator_age_seconds(window: int) -> str:
    """Age of the freshest successful scrape of an activator; no labels."""
    del window
    ages = (f"((time() - timestamp({target})) and ({target} == 1))" for target in _ACTIVATOR_TARGETS)
    return f"min({' or '.join(ages)})"


_NEW_LE = "k8s_namespace_name, kn_service_name, le"


def _increase(counter: str, window: int, by: str = BY) -> str:
    """How much the servers' counters grew within the window, births and restarts counted in full."""
    last = f"last_over_time({counter}[{window}s])"
    young = f"(time() - last_over_time({_READY_SINCE}[{window}s])) < {window + _BIRTH_GRACE_SECONDS}"
    return _grown(counter, last, f"{last} and on (namespace_name, pod_name) ({young})", window, by)


def _activator_increase(counter: str, window: int, by: str) -> str:
    """The same for the activator, whose series are born with the first request of a revision.

    Without a value at the window's beginning a series is new, if that activator was scraped then.
    """
    last = f"last_over_time({counter}[{window}s])"
    scraped = " or ".join(f"{target} offset {window}s" for target in _ACTIVATOR_TARGETS)
    return _grown(counter, last, f"{last} and on (job, instance) (({scraped}) == 1)", window, by)


def _grown(counter: str, last: str, born: str, window: int, by: str) -> str:
    before = f"{counter} offset {window}s"
    # The three cases of a series: it grew, its process restarted (it counts from 0 again), it was born.
    return f"sum by ({by}) ((({last}) - ({before})) >= 0 or ({last} and ({before})) or ({born}))"


def _server_requests(window: int) -> str:
    return _increase("everwarm_request_seconds_count", window)


def _activator_requests(window: int) -> str:
    old = _activator_increase("activator_request_count", window, BY)
    counter = f"http_server_request_duration_seconds_count{_NEW}"
    new = _renamed(_activator_increase(counter, window, "k8s_namespace_name, kn_service_name"), BY)
    return f"({old}) or ({new})"


def _busy_seconds(window: int) -> str:
    return _increase("everwarm_inference_seconds_sum", window)


def _quantile(buckets: str) -> str:
    return f"histogram_quantile(0.95, {buckets}) >= 0"  # it is NaN where nothing was counted, and no comparison holds


def _scaled_quantile(buckets: str, per_second: int) -> str:
    return f"({_quantile(buckets)}) / {per_second}"


def _renamed(expression: str, by: str = f"{BY}, le") -> str:
    """Labels of Knative 1.19 and later, named as those before."""
    namespace = f'label_replace({expression}, "namespace_name", "$1", "k8s_namespace_name", "(.+)")'
    return f'sum by ({by}) (label_replace({namespace}, "service_name", "$1", "kn_service_name", "(.+)"))'


def _larger(server: str, activator: str) -> str:
    """The larger of two figures of each service, or the one that is there."""
    marked = (
        f'label_replace({source}, "seen_by", "{name}", "", "")'
        for name, source in (("server", server), ("activator", activator))
    )
    return f"max by ({BY}) ({' or '.join(marked)})"


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
