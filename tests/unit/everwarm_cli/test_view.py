"""What people see: the live view, plain lines and the summary, each as whole text."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from everwarm_cli.up import plain, summary, view
from everwarm_cli.up.counts import Counts
from everwarm_cli.up.frame import Frame, History
from everwarm_cli.up.latency import bucket
from everwarm_cli.up.load import LoadStats
from everwarm_cli.up.meter import GatewayTotals
from everwarm_cli.up.settings import UpSettings
from everwarm_planner.decision import Decision, Reason
from everwarm_planner.observation import MissingObservation, MissingReason, Observation

STEADY = Decision(1, 1, Reason.STEADY, "p95 50 ms is within 300 ms and utilisation is 60 %: the floor stays at 1.", 0.6)
RAISED = Decision(
    4,
    1,
    Reason.UNDER_PROVISIONED,
    "p95 812 ms is over the target of 300 ms and 18 % of requests met a cold start: demand is 2.4 replicas, so the "
    "floor goes from 1 to 4.",
    2.4,
)
SEEN = Observation(90.0, 48.2, 0.812, 0.05, 0.18, 0.934, 2, 12.0)


def frame(**changes: object) -> Frame:
    history = History()
    for rate, p95, floor in ((0.0, None, STEADY), (20.0, 0.05, STEADY), (48.2, 0.812, RAISED)):
        history.note(rate, replace(SEEN, rate_per_second=rate, p95_seconds=p95), floor)
    whole = Frame(
        settings=UpSettings(model_uri="/models/digits", model_name="digits"),
        url="http://127.0.0.1:8080",
        uptime_seconds=83.4,
        observation=SEEN,
        decision=RAISED,
        totals=GatewayTotals(
            at_seconds=90.0,
            arrivals=112,
            errors=1,
            latencies={bucket(0.05): 90, bucket(0.812): 10},
            in_flight=12,
            alive_seconds=166.8,
        ),
        counts=Counts(requests=100, cold_starts=18),
        ready=2,
        starting=1,
        stopping=0,
        waiting=10,
        history=history,
        load=LoadStats("burst", "each request has 1024 rows", 40.0, sent=112, right=99, wrong=0, failed=1),
    )
    return replace(whole, **changes)


def drawn(shown: Frame, columns: int = 100, rows: int = 30) -> list[str]:
    console = Console(width=columns, height=rows, color_system=None, file=io.StringIO())
    with console.capture() as text:
        console.print(view.render(shown, columns, rows))
    return text.get().splitlines()


def test_the_view_fills_the_terminal_and_says_it_all() -> None:
    lines = drawn(frame())
    assert (len(lines), {len(line) for line in lines}) == (30, {100})
    assert lines[0].startswith("╭─ everwarm up · digits · http://127.0.0.1:8080 · 1:23 ─")
    assert [line.strip("│ ").rstrip() for line in lines[1:-1] if line.strip("│ ")] == [
        "rate        48.2/s ▁▄█",
        "p95         812 ms  ▁█",
        "target 300 ms, red where it is missed",
        "ready            2 ▅▅▅",
        "floor            4 ▃▃█",
        "replicas  ■ ■ ◧ □  2 ready, 1 starting of 1 to 4",
        "requests  12 in flight, of which 10 wait · 1 error · 18 % met a cold start, 18 in all",
        "slots     busy 93 % · demand 2.4 replicas",
        "now " + "─" * 92,
        "UnderProvisioned  floor 1 → 4",
        "p95 812 ms is over the target of 300 ms and 18 % of requests met a cold start: demand is 2.4",
        "replicas, so the floor goes from 1 to 4.",
        "before " + "─" * 89,
        "0:48 floor 1 → 4 p95 812 ms is over the target of 300 ms and 18 % of requests met a cold start:",
        "demand is 2.4 replicas, so the floor goes from 1 to 4.",
        "0:00 floor 1     p95 50 ms is within 300 ms and utilisation is 60 %: the floor stays at 1.",
        "load " + "─" * 91,
        "burst of 40/s: 112 sent, 99 right, 0 wrong, 1 failed",
        "each request has 1024 rows",
    ]
    assert lines[-1].strip("╰╯─ ") == "Ctrl-C stops everything"


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 12), (200, 60), (20, 5)])
def test_the_view_fits_any_terminal(columns: int, rows: int) -> None:
    lines = drawn(frame(), columns, rows)
    assert (len(lines), {len(line) for line in lines}) == (rows, {columns})


def test_missing_data_is_shown_as_such() -> None:
    missing = MissingObservation(90.0, MissingReason.UNREACHABLE, "replica 1 did not give its metrics")
    held = Decision(4, 4, Reason.MISSING_DATA, "No data (replica 1 did not give its metrics): the floor stays at 4.")
    text = "\n".join(drawn(frame(observation=missing, decision=held, load=None)))
    assert "rate             ?" in text
    assert "busy ? · demand -" in text
    assert "MissingData  floor 4" in text
    assert plain.lines(frame(observation=missing, decision=held)) == [
        "  1:23  no data (MissingData)  in flight 12  replicas 2 ready, 1 starting  floor 4  MissingData"
    ]


def test_a_plain_line_has_the_figures_and_a_second_one_the_sentence_of_a_floor_that_moved() -> None:
    figures = "  1:23  rate 48.2/s  p95 812 ms  cold 18 %  busy 93 %  in flight 12  replicas 2 ready, 1 starting"
    assert plain.lines(frame()) == [f"{figures}  floor 4  UnderProvisioned", f"  1:23  {RAISED.sentence}"]
    assert plain.lines(frame(decision=STEADY)) == [f"{figures}  floor 1  Steady"]


def test_the_summary_says_what_the_run_was() -> None:
    assert summary.lines(frame()) == [
        "ran        1:23",
        "requests   100, of which 1 error",
        "latency    p50 50 ms, p95 806 ms, p99 806 ms",
        "cold       18 requests met a cold start (18.0 %)",
        "cost       167 replica-seconds, 2.00 replicas on average",
        "floor      moved 1 time, 4 at the end",
        "load       burst of 40/s: 112 sent, 99 right, 0 wrong, 1 failed",
    ]


def test_a_run_without_requests_has_a_summary_too() -> None:
    empty = frame(totals=GatewayTotals(at_seconds=0.0), counts=Counts(), load=LoadStats(first_answer_seconds=1.234))
    assert summary.lines(empty)[2:4] == ["latency    p50 -, p95 -, p99 -", "cold       0 requests met a cold start (-)"]
    assert summary.lines(empty)[-1] == "started    first answer after 1.23 s"


def test_the_curve_shows_the_newest_values_and_marks_those_over_the_limit() -> None:
    curve = view.sparkline([9.0, 0.0, None, 5.0, 10.0], columns=4, top=10.0, limit=6.0)
    assert curve.plain == "▁ ▅█"
    assert [span.style for span in curve.spans] == ["dim", "green", "red"]
    assert view.sparkline([1.0], columns=0, top=1.0).plain == ""


def test_the_log_keeps_only_what_changed() -> None:
    history = History()
    for decision in (STEADY, replace(STEADY, sentence="another number"), RAISED, replace(RAISED, previous_floor=4)):
        history.note(1.0, SEEN, decision)
    assert [entry.decision for entry in history.log] == [STEADY, RAISED]
    assert (history.floor_changes, list(history.floors)) == (1, [1, 1, 4, 4])
