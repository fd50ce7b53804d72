"""Windows open and close by the clock of their time zone, also where that clock is changed."""

from datetime import datetime

import pytest

from everwarm_planner.decision import Decision, Reason
from everwarm_planner.guardrails import Bounds
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, MissingReason, Observation
from everwarm_planner.plan import Planner
from everwarm_planner.policies.paper import Paper
from everwarm_planner.policies.schedule import Schedule, Window


def unix(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()


def seen(iso: str, rate_per_second: float = 0.0, time_to_ready_seconds: float | None = None) -> Observation:
    return Observation(
        unix(iso), rate_per_second, 0.1, 0.1, 0.0, 0.7, 2, 0.0, time_to_ready_seconds=time_to_ready_seconds
    )


OFFICE = Window("0 8 * * mon-fri", 10 * 3600.0, 4, "Europe/Berlin", "office hours")
ALONE = Planner(Schedule((OFFICE,), lead_seconds=0.0), Bounds(1, 10))


@pytest.mark.parametrize(
    ("at", "floor"),
    [
        pytest.param("2026-03-27T06:59:59+00:00", 1, id="Friday before eight, winter time"),
        pytest.param("2026-03-27T07:00:00+00:00", 4, id="Friday at eight, winter time"),
        pytest.param("2026-03-27T16:59:59+00:00", 4, id="the last second"),
        pytest.param("2026-03-27T17:00:00+00:00", 1, id="closed at six"),
        pytest.param("2026-03-28T09:00:00+00:00", 1, id="Saturday"),
        pytest.param("2026-03-30T06:00:00+00:00", 4, id="Monday at eight, summer time: an hour earlier"),
        pytest.param("2026-03-30T05:59:59+00:00", 1, id="Monday before eight, summer time"),
        pytest.param("2026-10-26T06:30:00+00:00", 1, id="Monday, winter time again"),
        pytest.param("2026-10-26T07:00:00+00:00", 4, id="Monday at eight, winter time again"),
    ],
)
def test_office_hours_are_those_of_the_clock_on_the_wall(at: str, floor: int) -> None:
    assert ALONE.decide(seen(at), Memory.start(2))[0].floor == floor


@pytest.mark.parametrize(
    ("cron", "at", "is_open"),
    [
        # New York, 8 March 2026: 2:00 becomes 3:00. What is due at 2:30 happens at 3:00, as Debian's cron does.
        ("30 2 * * *", "2026-03-08T02:59:59-05:00", False),
        ("30 2 * * *", "2026-03-08T03:00:00-04:00", True),
        ("30 2 * * *", "2026-03-08T03:09:59-04:00", True),
        ("30 2 * * *", "2026-03-08T03:10:00-04:00", False),
        # 1 November 2026: 2:00 becomes 1:00, so 1:30 comes twice. A fixed time counts once.
        ("30 1 * * *", "2026-11-01T01:30:00-04:00", True),
        ("30 1 * * *", "2026-11-01T01:40:00-04:00", False),
        ("30 1 * * *", "2026-11-01T01:30:00-05:00", False),
        # Each hour means each hour that passes.
        ("30 * * * *", "2026-11-01T01:30:00-04:00", True),
        ("30 * * * *", "2026-11-01T01:30:00-05:00", True),
        # Leap days, and a day that is given twice (either).
        ("0 0 29 2 *", "2028-02-29T00:05:00-05:00", True),
        ("0 0 29 2 *", "2027-03-01T00:05:00-05:00", False),
        ("0 12 13 * fri", "2026-03-13T12:00:00-04:00", True),
        ("0 12 13 * fri", "2026-03-20T12:00:00-04:00", True),
        ("0 12 13 * fri", "2026-03-21T12:00:00-04:00", False),
    ],
)
def test_clock_changes_and_calendars(cron: str, at: str, is_open: bool) -> None:
    window = Window(cron, 600.0, 1, "America/New_York")
    assert (window.firing(unix(at), lead_seconds=0.0) is not None) is is_open


def test_a_window_of_a_day_lasts_as_many_seconds_when_the_clock_changes() -> None:
    day = Window("0 0 * * sun", 86_400.0, 1, "Europe/Berlin")
    midnight = unix("2026-03-29T00:00:00+01:00")
    opened = [hour for hour in range(30) if day.firing(midnight + 3600 * hour, 0.0) is not None]
    assert opened == list(range(24))


@pytest.mark.parametrize(("time_to_ready", "opens_before"), [(None, 60), (90.0, 90), (0.0, 0)])
def test_replicas_are_started_ahead_by_the_time_that_they_take(time_to_ready: float | None, opens_before: int) -> None:
    policy = Schedule((OFFICE,))
    eight = unix("2026-03-27T08:00:00+01:00")
    for before, floor in ((opens_before + 1, 0), (opens_before, 4)):
        at = datetime.fromtimestamp(eight - before).astimezone().isoformat()
        proposal = policy.propose(seen(at, time_to_ready_seconds=time_to_ready), Memory.start(0))
        assert proposal.floor == floor


GONE = MissingObservation(unix("2026-03-27T10:00:00+01:00"), MissingReason.EMPTY, "no series")
SLOW = Observation(unix("2026-03-27T10:00:00+01:00"), 40.0, 0.9, 0.1, 0.5, 1.0, 2, 9.0)
OVER_PAPER = Planner(Schedule((OFFICE,), Paper(0.3, 1)), Bounds(1, 10))


@pytest.mark.parametrize(
    ("planner", "observation", "before", "decision"),
    [
        pytest.param(
            OVER_PAPER,
            SLOW,
            2,
            Decision(
                6,
                2,
                Reason.UNDER_PROVISIONED,
                "p95 900 ms is over the target of 300 ms and 50 % of requests found no warm replica: demand is "
                "4 replicas, so the floor goes from 2 to 6.",
                4.0,
            ),
            id="the load wants more than the window",
        ),
        pytest.param(
            OVER_PAPER,
            seen("2026-03-27T10:00:00+01:00", 10.0),
            2,
            Decision(
                4,
                2,
                Reason.SCHEDULED,
                "The window 'office hours' is open for another 8 h: it keeps 4 replicas, more than the 2 of the load, "
                "so the floor goes from 2 to 4.",
                1.0,
            ),
            id="the window wants more than the load",
        ),
        pytest.param(
            OVER_PAPER,
            GONE,
            2,
            Decision(
                4,
                2,
                Reason.SCHEDULED,
                "The window 'office hours' is open for another 8 h: it keeps 4 replicas, more than the 2 of the load, "
                "so the floor goes from 2 to 4.",
            ),
            id="no data: the window opens all the same",
        ),
        pytest.param(
            OVER_PAPER,
            GONE,
            6,
            Decision(6, 6, Reason.MISSING_DATA, "No data (no series): the floor stays at 6."),
            id="no data: what the load needed is held",
        ),
        pytest.param(
            ALONE,
            seen("2026-03-28T10:00:00+01:00"),
            4,
            Decision(
                1,
                4,
                Reason.SCHEDULED,
                "No window of the schedule is open: the minimum is 1 replica, so the floor goes from 4 to 1.",
            ),
            id="closed",
        ),
    ],
)
def test_windows_are_a_minimum_of_what_the_load_needs(
    planner: Planner, observation: Observation | MissingObservation, before: int, decision: Decision
) -> None:
    assert planner.decide(observation, Memory.start(before))[0] == decision


def test_the_largest_of_several_open_windows_counts() -> None:
    rush = Window("0 9 * * *", 3600.0, 7, "Europe/Berlin", "rush")
    decision, _ = Planner(Schedule((OFFICE, rush)), Bounds(0, 10)).decide(
        seen("2026-03-27T09:30:00+01:00"), Memory.start(4)
    )
    assert (decision.floor, decision.sentence) == (
        7,
        "The window 'rush' is open for another 30 min: it keeps 7 replicas, so the floor goes from 4 to 7.",
    )


@pytest.mark.parametrize(
    ("cron", "time_zone", "message"),
    [
        ("0 8 * * *", "Mars/Olympus", "is no time zone; IANA names look like"),
        ("0 8 * * *", "Europe", "is no time zone"),
        ("0 8 * * *", "../etc/passwd", "is no time zone"),
        ("0 8 * *", "UTC", "minute, hour, day of month"),
        ("0 0 8 * * *", "UTC", "minute, hour, day of month"),
        ("61 8 * * *", "UTC", "Bad minute"),
        ("0 8 * * funday", "UTC", "Bad day-of-week"),
        ("0 0 31 2 *", "UTC", "Bad day-of-month"),
    ],
)
def test_what_cannot_be_followed_is_refused(cron: str, time_zone: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Window(cron, 60.0, 1, time_zone)


@pytest.mark.parametrize(("duration_seconds", "replicas"), [(0.0, 1), (32 * 86_400.0, 1), (60.0, -1)])
def test_windows_that_cannot_be_are_refused(duration_seconds: float, replicas: int) -> None:
    with pytest.raises(ValueError, match="a window"):
        Window("0 8 * * *", duration_seconds, replicas)
