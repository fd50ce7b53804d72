"""Prometheus' answers and Kubernetes' counts -> an Observation of each service, or why there is none. Pure.

The rule is: no data is never a zero. A zero is only reported by who would have counted: the server's own counters for a
service with ready replicas, the activator's for one without.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from everwarm_operator import queries, traits
from everwarm_operator.errors import PrometheusError, Unreachable
from everwarm_operator.facts import Key, ServiceFacts
from everwarm_operator.histogram import Histogram
from everwarm_operator.prometheus import Prometheus, Sample
from everwarm_planner.observation import MissingObservation, MissingReason, Observation

_FIGURES = (
    "request_rate",
    "p95_seconds",
    "in_flight",
    "service_seconds",
    "cold_start_fraction",
    "utilization",
    "dispersion",
    "time_to_ready_seconds",
    "recent_rate",
)
# A figure that policies can do without is left out where it can't be believed.
_OPTIONAL = frozenset({"dispersion", "time_to_ready_seconds", "recent_rate"})


@dataclass(frozen=True, slots=True)
class Readings:
    """All answers of a pass.

    Attributes:
        at_seconds: unix time at which they were asked for.
        stale_seconds: samples older than this are no data.
        figures: by the name of the query, then by service.
        histograms: likewise.
        activator_age_seconds: age of the freshest scrape of an activator; `None` if none succeeds.
        error: why there are no answers.
    """

    at_seconds: float
    stale_seconds: float
    figures: Mapping[str, Mapping[Key, Sample]] = field(default_factory=dict)
    histograms: Mapping[str, Mapping[Key, Histogram]] = field(default_factory=dict)
    activator_age_seconds: float | None = None
    error: PrometheusError | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """How to ask.

    Attributes:
        window_seconds: over which requests are counted and latencies ranked.
        stale_seconds: samples older than this are no data.
        pod_start_seconds: from asking for a pod until its process begins, where nobody measures that.
    """

    window_seconds: int
    stale_seconds: float
    pod_start_seconds: float = 5.0

    def texts(self) -> dict[str, str]:
        """Every query that gives one figure per service."""
        recent = {"recent_rate": queries.request_rate(max(1, self.window_seconds // 2))}
        required = queries.all_texts(self.window_seconds, self.stale_seconds)
        return required | recent | traits.all_texts(self.pod_start_seconds)


async def ask(prometheus: Prometheus, question: Question, now: float) -> Readings:
    """Ask everything about all services at once; one query that fails is none that can be trusted."""
    texts, histograms = question.texts(), traits.all_histograms(question.window_seconds)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(prometheus.query(text)) for name, text in (texts | histograms).items()}
    except ExceptionGroup as errors:
        expected, others = errors.split(PrometheusError)
        if expected is None or others is not None:
            raise
        return Readings(now, question.stale_seconds, error=_first(expected))
    answers = {name: task.result() for name, task in tasks.items()}
    ages = [sample.value for sample in answers.pop("activator_age_seconds") if sample.value is not None]
    return Readings(
        now,
        question.stale_seconds,
        {name: _by_service(answer) for name, answer in answers.items() if name in texts},
        {name: _histograms(answers[name]) for name in histograms},
        min(ages, default=None),
    )


def _first(errors: BaseExceptionGroup[PrometheusError]) -> PrometheusError:
    inner = errors.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _by_service(answer: tuple[Sample, ...]) -> dict[Key, Sample]:
    found: dict[Key, Sample] = {}
    for sample in answer:
        key = _service(sample)
        # Two series of one service where there can be one: neither is believed.
        found[key] = Sample(sample.labels, None, "two values") if key in found else sample
    return found


def _histograms(answer: tuple[Sample, ...]) -> dict[Key, Histogram]:
    """One per service; a bucket without a bound or a count makes the service have none."""
    buckets: defaultdict[Key, list[tuple[float, float]]] = defaultdict(list)
    broken = set()
    for sample in answer:
        try:
            bound = float(sample.labels.get("le", ""))
        except ValueError:
            bound = math.nan
        if sample.value is None or math.isnan(bound):
            broken.add(_service(sample))
        else:
            buckets[_service(sample)].append((bound, sample.value))
    made = {key: Histogram.of(parts) for key, parts in buckets.items() if key not in broken}
    return {key: histogram for key, histogram in made.items() if histogram is not None}


def _service(sample: Sample) -> Key:
    return sample.labels.get("namespace_name", ""), sample.labels.get("service_name", "")


def of(
    readings: Readings, service: Key, facts: ServiceFacts, target_seconds: float
) -> Observation | MissingObservation:
    """What is known of one service.

    Args:
        readings: of this pass.
        service: namespace and name.
        facts: replicas as Kubernetes counts them.
        target_seconds: the objective's latency.
    """
    ready_replicas = facts.ready_replicas
    missing = _missing(readings, service, ready_replicas)
    if missing is not None:
        reason, detail = missing
        return MissingObservation(readings.at_seconds, reason, detail)
    values = {name: _value(readings, name, service) for name in _FIGURES}
    spread = readings.histograms.get("service_buckets", {}).get(service)
    return Observation(
        at_seconds=readings.at_seconds,
        rate_per_second=values["request_rate"] or 0.0,
        p95_seconds=values["p95_seconds"],
        service_seconds=values["service_seconds"],
        cold_start_fraction=values["cold_start_fraction"] or 0.0,
        utilization=values["utilization"] if ready_replicas else None,
        ready_replicas=ready_replicas,
        in_flight=values["in_flight"] or 0.0,
        dispersion=values["dispersion"],
        service_variation=None if spread is None else spread.squared_variation(),
        starting_replicas=facts.starting_replicas,
        time_to_ready_seconds=values["time_to_ready_seconds"],
        recent_rate_per_second=values["recent_rate"],
        late_fraction=_late_fraction(readings, service, target_seconds),
    )


def _late_fraction(readings: Readings, service: Key, target_seconds: float) -> float | None:
    """The larger of what the servers saw and, where it counts, the activator."""
    seen = (("latency_buckets", 1), ("activator_buckets_seconds", 1), ("activator_buckets_milliseconds", 1000))
    parts = [
        histogram.part_over(target_seconds * per_second)
        for name, per_second in seen
        if (histogram := readings.histograms.get(name, {}).get(service)) is not None
    ]
    return max(parts, default=None)


def _missing(readings: Readings, service: Key, ready_replicas: int) -> tuple[MissingReason, str] | None:
    if readings.error is not None:
        unreachable = isinstance(readings.error, Unreachable)
        return MissingReason.UNREACHABLE if unreachable else MissingReason.INVALID, str(readings.error)
    for name, by_service in readings.figures.items():
        sample = by_service.get(service)
        if sample is not None and sample.value is None and name not in _OPTIONAL:
            return MissingReason.INVALID, f"Prometheus gives {sample.text} for {name}"
    if ready_replicas == 0:
        return _missing_at_zero(readings)
    return _missing_from_servers(readings, service, ready_replicas)


def _missing_at_zero(readings: Readings) -> tuple[MissingReason, str] | None:
    """Without replicas only the activator knows whether requests arrive."""
    age = readings.activator_age_seconds
    if age is None:
        return MissingReason.EMPTY, "No replica is ready and Prometheus scrapes no activator that would see requests"
    if age > readings.stale_seconds:
        return (
            MissingReason.STALE,
            f"No replica is ready and the activator's newest sample is older than {readings.stale_seconds:g} s",
        )
    return None


def _missing_from_servers(readings: Readings, service: Key, ready_replicas: int) -> tuple[MissingReason, str] | None:
    age = _value(readings, "age_seconds", service)
    if age is None:
        return MissingReason.EMPTY, f"Prometheus has no series of the {ready_replicas} ready replicas"
    if age > readings.stale_seconds:
        return MissingReason.STALE, f"The newest sample of the replicas is older than {readings.stale_seconds:g} s"
    reporting = _value(readings, "reporting_replicas", service) or 0.0
    if reporting * 2 < ready_replicas:
        # Fewer than half: a scale-up that Prometheus has not caught up with must not hide that more are needed.
        return MissingReason.EMPTY, f"Prometheus has series of {reporting:.0f} of {ready_replicas} ready replicas"
    unseen = _value(readings, "unseen_replicas", service) or 0.0
    if unseen:
        return MissingReason.EMPTY, f"Prometheus has known {unseen:.0f} replicas for less than the window"
    return None


def _value(readings: Readings, name: str, service: Key) -> float | None:
    sample = readings.figures.get(name, {}).get(service)
    return None if sample is None else sample.value
