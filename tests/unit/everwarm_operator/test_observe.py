"""Answers -> observations: a zero only from who would have counted."""

import math
from dataclasses import replace
from typing import Any

import pytest

from everwarm_operator import observe
from everwarm_operator.errors import BadAnswer, Unreachable
from everwarm_operator.facts import RevisionFacts, ServiceFacts
from everwarm_operator.histogram import Histogram
from everwarm_operator.observe import Question, Readings
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


def replicas(ready: int, wanted: int | None = None) -> ServiceFacts:
    revision = RevisionFacts("digits-00001", 100, wanted_replicas=wanted or ready, ready_replicas=ready)
    return ServiceFacts(revisions=(revision,))


def readings(activator_age_seconds: float | None = 1.0, **figures: float | None) -> Readings:
    """Of one service; a figure that is None is one that can't be believed."""
    samples = {
        name: {KEY: Sample({}, value, "NaN" if value is None else str(value))} for name, value in figures.items()
    }
    return Readings(100.0, 60.0, samples, activator_age_seconds=activator_age_seconds)


def test_all_figures_are_taken_over() -> None:
    assert observe.of(readings(**ALL), KEY, replicas(2), 0.5) == Observation(
        at_seconds=100.0,
        rate_per_second=2.0,
        p95_seconds=0.1,
        service_seconds=0.05,
        cold_start_fraction=0.2,
        utilization=0.4,
        ready_replicas=2,
        in_flight=1.0,
    )


def test_what_policies_can_do_without_is_taken_over_where_it_is_there() -> None:
    read = readings(**ALL, dispersion=4.4, time_to_ready_seconds=22.0, recent_rate=3.0)
    histograms = {
        "service_buckets": {KEY: Histogram((0.1, math.inf), (10.0, 10.0))},
        "latency_buckets": {KEY: Histogram((0.4, 0.6, math.inf), (5.0, 10.0, 10.0))},
        "activator_buckets_milliseconds": {KEY: Histogram((400.0, 600.0, math.inf), (2.0, 8.0, 10.0))},
    }

    found = observe.of(replace(read, histograms=histograms), KEY, replicas(2, wanted=5), 0.5)

    assert isinstance(found, Observation)
    assert (found.dispersion, found.time_to_ready_seconds, found.recent_rate_per_second) == (4.4, 22.0, 3.0)
    assert found.starting_replicas == 3
    assert found.service_variation == pytest.approx(1 / 3)  # evenly spread from 0 to 0.1 s
    assert found.late_fraction == pytest.approx(0.5)  # what the activator saw is more than the servers' 0.25


def test_what_policies_can_do_without_is_left_out_where_it_is_nonsense() -> None:
    found = observe.of(readings(**ALL, dispersion=None, recent_rate=None), KEY, replicas(2), 0.5)
    assert isinstance(found, Observation)
    assert (found.dispersion, found.recent_rate_per_second, found.late_fraction) == (None, None, None)


def test_replicas_that_report_and_count_nothing_are_idle() -> None:
    assert observe.of(
        readings(age_seconds=3.0, reporting_replicas=1.0, utilization=0.0), KEY, replicas(1), 0.5
    ) == Observation(100.0, 0.0, None, None, 0.0, 0.0, 1, 0.0)


def test_at_zero_the_activator_vouches_for_silence() -> None:
    assert observe.of(readings(), KEY, replicas(0), 0.5) == Observation(100.0, 0.0, None, None, 0.0, None, 0, 0.0)


def test_at_zero_the_activator_sees_who_waits() -> None:
    found = observe.of(readings(request_rate=0.5, in_flight=3.0), KEY, replicas(0), 0.5)
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
    found = observe.of(read, KEY, replicas(ready), 0.5)
    assert isinstance(found, MissingObservation)
    assert (found.at_seconds, found.reason) == (100.0, reason)
    assert words in found.detail


def test_half_of_the_replicas_are_enough() -> None:
    assert isinstance(observe.of(readings(**ALL), KEY, replicas(4), 0.5), Observation)


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
    found = await observe.ask(Answers((Sample(LABELS, 2.0, "2"),)), Question(60, 60.0), 100.0)
    assert found.figures["request_rate"] == {KEY: Sample(LABELS, 2.0, "2")}
    assert found.activator_age_seconds == 2.0
    assert "activator_age_seconds" not in found.figures


async def test_two_values_where_there_can_be_one_are_none() -> None:
    twice = (Sample(LABELS, 2.0, "2"), Sample(LABELS, 3.0, "3"))
    found = await observe.ask(Answers(twice), Question(60, 60.0), 100.0)
    missing = observe.of(found, KEY, replicas(1), 0.5)
    assert isinstance(missing, MissingObservation)
    assert missing.reason is MissingReason.INVALID


async def test_buckets_are_gathered_by_service_and_broken_ones_drop_it() -> None:
    good = tuple(Sample({**LABELS, "le": le}, count, "") for le, count in (("0.5", 3.0), ("+Inf", 4.0)))
    broken = (Sample({**LABELS, "service_name": "other", "le": "wide"}, 1.0, "1"),)
    found = await observe.ask(Answers(good + broken), Question(60, 60.0), 100.0)
    assert found.histograms["latency_buckets"] == {KEY: Histogram((0.5, math.inf), (3.0, 4.0))}


async def test_an_error_stands_for_the_whole_pass() -> None:
    found = await observe.ask(Answers(Unreachable("away")), Question(60, 60.0), 100.0)
    assert str(found.error) == "away"
    assert found.figures == {}


async def test_a_bug_is_not_taken_for_missing_data() -> None:
    bug: Any = ZeroDivisionError("a bug")
    with pytest.raises(ExceptionGroup):
        await observe.ask(Answers(bug), Question(60, 60.0), 100.0)
