"""The operator's own metrics, all of them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Telemetry:
    """What the operator counts of itself.

    Args:
        registry: where the metrics are kept; each test has its own.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.pass_seconds = Histogram(
            "everwarm_operator_pass_seconds",
            "Duration of a pass over all ModelServices.",
            registry=self.registry,
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 120),
        )
        self.passes_failed = self._counter("passes_failed_total", "Passes that ended before the first service.")
        self.errors = self._counter("service_errors_total", "Services that a pass could not finish.")
        self.decisions = self._counter("decisions_total", "Decisions.", "reason")
        self.floor_writes = self._counter(
            "floor_writes_total", "Floors written to a Revision or its PodAutoscaler.", "target", "result"
        )
        self.wakes = self._counter(
            "wakes_total", "Requests sent to wake a revision at zero that has a floor.", "result"
        )
        self.services = self._gauge("services", "ModelServices at the last pass.")
        self.leader = self._gauge("leader", "Whether this process acts, 0 or 1; another one does where it is 0.")
        self.prometheus_up = self._gauge("prometheus_up", "Whether Prometheus answered all of the last pass, 0 or 1.")
        self.last_pass_time = self._gauge("last_pass_time_seconds", "Unix time at which the last good pass ended.")

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"everwarm_operator_{name}", about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str) -> Gauge:
        return Gauge(f"everwarm_operator_{name}", about, registry=self.registry)
