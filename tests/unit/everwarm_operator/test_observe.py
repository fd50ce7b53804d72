"""Answers -> observations: a zero only from who would have counted."""

from typing import Any

import pytest

from everwarm_operator import observe
from everwarm_operator.errors import BadAnswer, Unreachable
from everwarm_operator.observe import Readings
from everwarm_operator.prometheus import Sample
from everwarm_planner.observation import MissingObservation, MissingReason, Observation

KEY = ("ns", "digits")
ALL = {
    "request_rate": 2.0,
    "p95_seconds": 0.1,
    "in_flight": 1.0,
    "service_seconds": 0.05,
    "cold_start_fraction": 0.2,
    "utilization": 0.4,
    "age_seconds": 3.0,
    "reporting_replicas": 2.0,
}


def readings(activator_age_seconds: float | None = 1.0, **figures: float | None) -> Readings:
    """Of one service; a figure that is None is one that can't be believed."""
    samples = {
        name: {KEY: Sample({}, value, "NaN" if value is None else str(value))} for name, value in figures.items()
    }
    return Readings(100.0, 60.0, samples, activator_age_seconds)


def test_all_figures_are_taken_over() -> None:
    assert observe.of(readings(**ALL), KEY, 2) == Observation(
        at_seconds=100.0,
        rate_per_second=2.0,
        p95_seconds=0.1,
        service_seconds=0.05,
        cold_start_fraction=0.2,
        utilization=0.4,
        ready_replicas=2,
        in_flight=1.0,
    )


def test_replicas_that_report_and_count_nothing_are_idle() -> None:
    assert observe.of(readings(age_seconds=3.0, reporting_replicas=1.0, utilization=0.0), KEY, 1) == Observation(
        100.0, 0.0, None, None, 0.0, 0.0, 1, 0.0
    )


def test_at_zero_the_activator_vouches_for_silence() -> None:
    assert observe.of(readings(), KEY, 0) == Observation(100.0, 0.0, None, None, 0.0, None, 0, 0.0)


def test_at_zero_the_activator_sees_who_waits() -> None:
    found = observe.of(readings(request_rate=0.5, in_flight=3.0), KEY, 0)
    assert isinstance(found, Observation)
    assert (found.rate_per_second, found.in_flight) == (0.5, 3.0)


MISSING: dict[str, tuple[Readings, int, MissingReason, str]] = {
    "no activator": (readings(None), 0, MissingReason.EMPTY, "scrapes no activator"),
    "an old activator": (readings(61.0), 0, MissingReason.STALE, "activator's newest sample is older than 60 s"),
    "no series": (readings(), 1, MissingReason.EMPTY, "no series of the 1 ready replicas"),
    "old series": (readings(**{**ALL, "age_seconds": 61.0}), 1, MissingReason.STALE, "older than 60 s"),
    "too few report": (readings(**ALL), 5, MissingReason.EMPTY, "series of 2 of 5 ready replicas"),
    "none reports": (readings(age_seconds=1.0), 1, MissingReason.EMPTY, "series of 0 of 1"),
    "no history": (readings(**ALL, unseen_replicas=1.0), 2, MissingReason.EMPTY, "for less than the window"),
    "nonsense": (readings(**{**ALL, "p95_seconds": None}), 2, MissingReason.INVALID, "gives NaN for p95_seconds"),
    "nonsense at zero": (readings(in_flight=None), 0, MissingReason.INVALID, "gives NaN for in_flight"),
    "unreachable": (Readings(100.0, 60.0, error=Unreachable("It is away")), 1, MissingReason.UNREACHABLE, "It is away"),
    "no answer": (Readings(100.0, 60.0, error=BadAnswer("It is HTML")), 1, MissingReason.INVALID, "It is HTML"),
}


@pytest.mark.parametrize(("read", "ready", "reason", "words"), MISSING.values(), ids=MISSING.keys())
def test_what_is_not_known_is_said(read: Readings, ready: int, reason: MissingReason, words: str) -> None:
    found = observe.of(read, KEY, ready)
    assert isinstance(found, MissingObservation)
    assert (found.at_seconds, found.reason) == (100.0, reason)
    assert words in found.detail


def test_half_of_the_replicas_are_enough() -> None:
    assert isinstance(observe.of(readings(**ALL), KEY, 4), Observation)


class Answers:
    """Prometheus with one answer to everything."""

    def __init__(self, answer: tuple[Sample, ...] | Exception) -> None:
        self.answer = answer

    async def query(self, text: str) -> tuple[Sample, ...]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


LABELS = {"namespace_name": "ns", "service_name": "digits"}


async def test_answers_are_sorted_by_service() -> None:
    found = await observe.ask(Answers((Sample(LABELS, 2.0, "2"),)), 60, 60.0, 100.0)
    assert found.figures["request_rate"] == {KEY: Sample(LABELS, 2.0, "2")}
    assert found.activator_age_seconds == 2.0
    assert "activator_age_seconds" not in found.figures


async def test_two_values_where_there_can_be_one_are_none() -> None:
    twice = (Sample(LABELS, 2.0, "2"), Sample(LABELS, 3.0, "3"))
    found = await observe.ask(Answers(twice), 60, 60.0, 100.0)
    missing = observe.of(found, KEY, 1)
    assert isinstance(missing, MissingObservation)
    assert missing.reason is MissingReason.INVALID


async def test_an_error_stands_for_the_whole_pass() -> None:
    found = await observe.ask(Answers(Unreachable("away")), 60, 60.0, 100.0)
    assert str(found.error) == "away"
    assert found.figures == {}


async def test_a_bug_is_not_taken_for_missing_data() -> None:
    bug: Any = ZeroDivisionError("a bug")
    with pytest.raises(ExceptionGroup):
        await observe.ask(Answers(bug), 60, 60.0, 100.0)
