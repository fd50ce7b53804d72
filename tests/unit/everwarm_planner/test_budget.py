"""Dollars a month -> replicas: never more than the budget, peaks paid from quiet hours, each month from nothing."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_planner.budget import Budget
from everwarm_planner.decision import Decision, Reason
from everwarm_planner.guardrails import Bounds
from everwarm_planner.local_time import month
from everwarm_planner.memory import Memory
from everwarm_planner.observation import Observation
from everwarm_planner.plan import Planner
from everwarm_planner.policies.fixed import Fixed


def unix(iso: str) -> float:
    return datetime.fromisoformat(iso).replace(tzinfo=UTC).timestamp()


NOVEMBER = unix("2026-11-01")
DAY = 86_400.0
BUDGET = Budget(usd_per_month=720.0, usd_per_replica_hour=0.5)  # two replicas all November


def seen(at: float, ready: int = 2, starting: int = 0) -> Observation:
    return Observation(at, 24.0, 0.2, 0.1, 0.0, 0.6, ready, 2.0, starting_replicas=starting)


@pytest.mark.parametrize(
    ("at", "begin", "end"),
    [
        ("2026-11-01T00:00:00", "2026-11-01", "2026-12-01"),
        ("2026-11-30T23:59:59", "2026-11-01", "2026-12-01"),
        ("2026-12-31T12:00:00", "2026-12-01", "2027-01-01"),
        ("2028-02-29T12:00:00", "2028-02-01", "2028-03-01"),
    ],
)
def test_months_are_those_of_the_calendar_in_utc(at: str, begin: str, end: str) -> None:
    assert month(unix(at)) == (unix(begin), unix(end))


@pytest.mark.parametrize(
    ("day", "spent", "limit"),
    [
        pytest.param(0.0, 0.0, 50, id="a day ahead, within an hour at the fastest"),
        pytest.param(0.0, 24.0, 2, id="the day ahead is gone: what accrues"),
        pytest.param(15.0, 15 * 24.0, 50, id="as planned"),
        pytest.param(15.0, 16 * 24.0, 2, id="a day ahead of the plan"),
        pytest.param(15.0, 15.9 * 24.0, 6, id="nearly"),
        pytest.param(15.0, 17 * 24.0, 0, id="beyond it"),
        pytest.param(15.0, 100.0, 570, id="what was not spent is kept"),
        pytest.param(29.99, 720.0, 0, id="all gone"),
        pytest.param(29.5, 720.0 - 6.0, 12, id="the last day has what is left"),
    ],
)
def test_what_the_budget_pays_for(day: float, spent: float, limit: int) -> None:
    assert BUDGET.limit(NOVEMBER + day * DAY, spent) == limit


@given(st.lists(st.integers(0, 300), min_size=1, max_size=60))
def test_whoever_keeps_to_the_limit_never_spends_more_than_the_budget(wishes: list[int]) -> None:
    begin, end = month(NOVEMBER)
    spent, tick = 0.0, 900.0
    for number in range(int((end - begin) / tick)):
        at = begin + number * tick
        replicas = min(wishes[number % len(wishes)], BUDGET.limit(at, spent))
        spent += replicas * BUDGET.usd_per_replica_hour * tick / 3600
    assert spent <= BUDGET.usd_per_month * (1 + 1e-9)


def test_replicas_cost_while_they_start_too_and_a_new_month_begins_at_nothing() -> None:
    memory = BUDGET.spend(seen(NOVEMBER + 3600.0), Memory.start(2))
    assert (memory.spent_since_seconds, memory.spent_usd) == (NOVEMBER, 0.0)
    memory = BUDGET.spend(seen(NOVEMBER + 7200.0, 3, 1), replace(memory, observed_at_seconds=NOVEMBER + 3600.0))
    assert memory.spent_usd == pytest.approx(4 * 0.5)
    december = unix("2026-12-01")
    memory = replace(memory, observed_at_seconds=december - 1800.0)
    memory = BUDGET.spend(seen(december + 1800.0, 4), memory)
    assert (memory.spent_since_seconds, memory.spent_usd) == (december, pytest.approx(4 * 0.5 * 0.5))


def test_the_budget_has_the_last_word_and_says_so() -> None:
    planner = Planner(Fixed(10), Bounds(3, 20), budget=BUDGET)
    at = NOVEMBER + 15 * DAY
    memory = Memory(10, observed_at_seconds=at, spent_since_seconds=NOVEMBER, spent_usd=16 * 24.0)
    decision, after = planner.decide(seen(at), memory)
    assert decision == Decision(
        2,
        10,
        Reason.BUDGET,
        "The policy is fixed at 10 replicas: the budget of $720 a month, $384 of it spent, pays for 2 replicas now, "
        "so the floor goes from 10 to 2.",
        limit=2,
    )
    assert (after.floor, after.spent_usd) == (2, 384.0)


def test_within_the_budget_nothing_is_said_of_it() -> None:
    decision, _ = Planner(Fixed(2), Bounds(0, 20), budget=BUDGET).decide(seen(NOVEMBER + 60.0), Memory.start(2))
    assert decision == Decision(
        2, 2, Reason.FIXED, "The policy is fixed at 2 replicas: the floor stays at 2.", limit=decision.limit
    )


@pytest.mark.parametrize("figures", [(0.0, 1.0), (10.0, -1.0), (float("inf"), 1.0), (10.0, float("nan"))])
def test_a_budget_that_cannot_be_is_refused(figures: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="must be over 0"):
        Budget(*figures)
