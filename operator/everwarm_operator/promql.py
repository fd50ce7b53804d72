"""Building blocks of the PromQL texts: growth of counters within a window, births included; names old and new.

Three traps shape them:

1. A new pod's counters are over 0 when they are first scraped, and `increase()` begins to count after that: it misses
   the requests of a birth, which are the cold starts that we look for. `increase` here counts a series that has no
   value at the window's beginning in full, if its replica is known to have become ready within the window. (Not:
   begun; a large model loads for longer than the window is.)
2. Only the activator sees a request wait for a replica that does not exist, so latency, rate and requests in flight are
   the larger of its figures and the server's.
3. Knative renamed all its metrics in 1.19, and went from milliseconds to seconds. Both generations are asked for.
"""

BY = "namespace_name, service_name"
WITH_LE = f"{BY}, le"
# Two default scrape intervals: a replica may be ready just before the window and be scraped first within it.
BIRTH_GRACE_SECONDS = 30
ACTIVATOR_TARGETS = ('up{pod_name=~"activator-.+"}', 'up{pod=~"activator-.+"}', 'up{job=~".*activator.*"}')
READY_SINCE = "everwarm_ready_time_seconds"
# From 1.19 on the activator and every queue-proxy use one metric name; these labels stand on the activator's only.
NEW_LABELS = 'kn_service_name!="",kn_revision_name!=""'
NEW = f"{{{NEW_LABELS}}}"
OLD_LATENCY = "activator_request_latencies_bucket"  # ms
NEW_LATENCY = f"http_server_request_duration_seconds_bucket{NEW}"
NEW_LE = "k8s_namespace_name, kn_service_name, le"


def increase(counter: str, window: int, by: str = BY) -> str:
    """How much the servers' counters grew within the window, births and restarts counted in full."""
    last = f"last_over_time({counter}[{window}s])"
    young = f"(time() - last_over_time({READY_SINCE}[{window}s])) < {window + BIRTH_GRACE_SECONDS}"
    return _grown(counter, last, f"{last} and on (namespace_name, pod_name) ({young})", window, by)


def activator_increase(counter: str, window: int, by: str) -> str:
    """The same for the activator, whose series are born with the first request of a revision.

    Without a value at the window's beginning a series is new, if that activator was scraped then.
    """
    last = f"last_over_time({counter}[{window}s])"
    scraped = " or ".join(f"{target} offset {window}s" for target in ACTIVATOR_TARGETS)
    return _grown(counter, last, f"{last} and on (job, instance) (({scraped}) == 1)", window, by)


def _grown(counter: str, last: str, born: str, window: int, by: str) -> str:
    before = f"{counter} offset {window}s"
    # The three cases of a series: it grew, its process restarted (it counts from 0 again), it was born.
    return f"sum by ({by}) ((({last}) - ({before})) >= 0 or ({last} and ({before})) or ({born}))"


def activator_requests(window: int) -> str:
    """Requests that went through the activator within the window."""
    old = activator_increase("activator_request_count", window, BY)
    counter = f"http_server_request_duration_seconds_count{NEW}"
    new = renamed(activator_increase(counter, window, "k8s_namespace_name, kn_service_name"), BY)
    return f"({old}) or ({new})"


def server_requests(window: int) -> str:
    """Requests that the servers answered within the window."""
    return increase("everwarm_request_seconds_count", window)


def through_activator(window: int) -> str:
    """A series for each service of whose requests at least 5 % went through the activator."""
    through = activator_requests(window)
    return f"({through}) >= 0.05 * ({server_requests(window)}) or ({through}) unless ({server_requests(window)})"


def quantile(buckets: str) -> str:
    """The 95th percentile by a histogram's buckets; nothing where nothing was counted."""
    return f"histogram_quantile(0.95, {buckets}) >= 0"  # it is NaN where nothing was counted, and no comparison holds


def renamed(expression: str, by: str = WITH_LE) -> str:
    """Labels of Knative 1.19 and later, named as those before."""
    namespace = f'label_replace({expression}, "namespace_name", "$1", "k8s_namespace_name", "(.+)")'
    return f'sum by ({by}) (label_replace({namespace}, "service_name", "$1", "kn_service_name", "(.+)"))'


def larger(server: str, activator: str) -> str:
    """The larger of two figures of each service, or the one that is there."""
    marked = (
        f'label_replace({source}, "seen_by", "{name}", "", "")'
        for name, source in (("server", server), ("activator", activator))
    )
    return f"max by ({BY}) ({' or '.join(marked)})"
