"""Where a backtest's past comes from: a trace or a Prometheus -> the load, split into what is known and played."""

import datetime as dt
import math
import time
from dataclasses import dataclass, replace

from everwarm_cli.backtest import history
from everwarm_cli.backtest.history import Measured, Span
from everwarm_cli.backtest.question import Question, Work
from everwarm_cli.errors import CommandError
from everwarm_cli.loads import Load, checked
from everwarm_cli.prometheus.client import Client
from everwarm_cli.traces import shipped
from everwarm_cli.traces.series import Rates, Requests
from everwarm_planner import wording

_TEST_SECONDS = 2 * 86_400.0
_TEST_PART = 1 / 3


@dataclass(frozen=True, slots=True)
class Past:
    """The load of the test, what came before in its history, and what was measured beside.

    Attributes:
        name: whose past it is.
        load: what is played.
        notes: what was measured or assumed, a sentence each.
        start_seconds: a measured start of the server's process; `None` where nobody measured.
    """

    name: str
    load: Load
    notes: tuple[str, ...]
    start_seconds: float | None = None


def read(question: Question, work: Work) -> Past:
    """Ask the source and split its past.

    Raises:
        CommandError: there is no such past, too much or too little of it, or nobody says how much work a request is.
    """
    if (question.trace is None) == (question.access is None):
        raise CommandError("Give either --trace or --prometheus: whose past shall be played?", exit_code=2)
    notes: list[str] = []
    if question.trace is not None:
        name, measured = question.trace, _of_trace(question.trace, question.column)
    else:
        name, measured = question.service or "your query", _of_prometheus(question)
        notes.append(f"Requests by {measured.source}.")
    source = measured.rates
    seconds = _service_seconds(work, measured, notes)
    dispersion = work.dispersion or measured.dispersion or 1.0
    if isinstance(source, Rates):
        origin = "as asked" if work.dispersion else "as measured" if measured.dispersion else "nobody measured it"
        interval = wording.duration(source.interval_seconds)
        notes.append(f"Arrivals within {interval} are of dispersion {dispersion:.3g} ({origin}).")
        if source.missing:
            missing = wording.duration(source.missing * source.interval_seconds)
            notes.append(f"{missing} were not measured: nothing is played or counted there.")
    whole = Load(source, seconds, work.service_sigma, dispersion=dispersion, scale=work.scale)
    return Past(name, _split(whole, name, question), tuple(notes), measured.start_seconds)


def _split(whole: Load, name: str, question: Question) -> Load:
    test = question.test_seconds or min(_TEST_SECONDS, max(60.0, whole.seconds * _TEST_PART))
    if test >= whole.seconds:
        known = wording.duration(whole.seconds)
        raise CommandError(
            f"The past of {name} is {known}, so a --test of {wording.duration(test)} leaves nothing to learn from.",
            exit_code=2,
        )
    return checked(whole.last(test), name, "shorter --test or a smaller --scale")


def _service_seconds(work: Work, measured: "_Known", notes: list[str]) -> float:
    if work.service_seconds is not None:
        return work.service_seconds
    if measured.service_seconds is None or measured.service_seconds <= 0:
        raise CommandError("Nobody measured how much work a request is: give --service-time.", exit_code=2)
    notes.append(f"A request is {wording.milliseconds(measured.service_seconds)} of work, as measured.")
    return measured.service_seconds


@dataclass(frozen=True, slots=True)
class _Known:
    """What a source says, whichever it is."""

    rates: Rates | Requests
    source: str
    service_seconds: float | None = None
    dispersion: float | None = None
    start_seconds: float | None = None


def _of_trace(name: str, column: str | None) -> _Known:
    own = next((trace.dispersion for trace in shipped.TRACES if trace.name == name), None)
    trace = shipped.read(name, column)
    took = trace.service_seconds if isinstance(trace, Requests) else None
    mean = sum(took) / len(took) if took else None
    return _Known(trace, name, mean, own)


def _of_prometheus(question: Question) -> _Known:
    if question.access is None or (question.service is None) == (question.query is None):
        raise CommandError("--prometheus needs either --service NAMESPACE/NAME or --query.", exit_code=2)
    if question.step_seconds < 1:
        raise CommandError("--step must be at least 1s.", exit_code=2)
    end = time.time() if question.until is None else question.until.replace(tzinfo=dt.UTC).timestamp()
    end -= end % question.step_seconds
    span = Span(end - question.since_seconds, end, question.step_seconds)
    with Client(question.access) as client:
        if question.query is not None:
            found = history.of_query(client, question.query, span)
        else:
            found = history.of_service(client, question.service or "", span)
    return _trimmed(found)


def _trimmed(found: Measured) -> _Known:
    """From the first step with a value to the last: outside of them nobody watched."""
    rates = found.rates
    known = [number for number, rate in enumerate(rates.per_second) if not math.isnan(rate)]
    first, last = known[0], known[-1]
    begin = rates.begin_seconds + first * rates.interval_seconds
    kept = replace(rates, per_second=rates.per_second[first : last + 1], begin_seconds=begin)
    return _Known(kept, found.source, found.service_seconds, found.dispersion, found.start_seconds)
