"""A replica's /metrics text -> the counters that an observation needs; and their sum over replicas that come and go."""

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


class NotOurMetrics(ValueError):
    """The text is no metrics page of everwarm's server."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals of one replica since its start, or of many."""

    requests: float = 0.0
    cold_starts: float = 0.0
    inference_seconds: float = 0.0
    inferences: float = 0.0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.requests + other.requests,
            self.cold_starts + other.cold_starts,
            self.inference_seconds + other.inference_seconds,
            self.inferences + other.inferences,
        )

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(
            self.requests - other.requests,
            self.cold_starts - other.cold_starts,
            self.inference_seconds - other.inference_seconds,
            self.inferences - other.inferences,
        )


_FIELDS = {
    "everwarm_requests_total": "requests",
    "everwarm_cold_start_requests_total": "cold_starts",
    "everwarm_inference_seconds_sum": "inference_seconds",
    "everwarm_inference_seconds_count": "inferences",
}


def parse(text: str) -> Counts:
    """Read the counters of one replica, summed over its labels.

    Raises:
        NotOurMetrics: it can't be parsed, or a counter is missing; the server exposes each with 0 from its start.
    """
    sums: dict[str, float] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                field = _FIELDS.get(sample.name)
                if field is not None:
                    sums[field] = sums.get(field, 0.0) + sample.value
    except ValueError as error:
        raise NotOurMetrics(f"its metrics can't be read: {error}") from error
    missing = [name for name, field in _FIELDS.items() if field not in sums]
    if missing:
        raise NotOurMetrics(f"its metrics lack {', '.join(missing)}")
    return Counts(**sums)


class Ledger:
    """Counts over all replicas there ever were: new ones count from zero, dead ones keep what they had counted."""

    def __init__(self) -> None:
        self._last: dict[str, Counts] = {}

    def note(self, replica: str, counts: Counts) -> None:
        """Remember a replica's newest reading; `replica` names one process, never a restarted one."""
        self._last[replica] = counts

    def total(self) -> Counts:
        """The sum over all."""
        return add(self._last.values())


def add(counts: Iterable[Counts]) -> Counts:
    """The sum; zero for none."""
    return sum(counts, start=Counts())
