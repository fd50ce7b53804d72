"""Policies and windows as people write them."""

import pytest
import typer

from everwarm_cli import policies
from everwarm_cli.errors import CommandError
from everwarm_cli.policies import Choice, PolicyName
from everwarm_planner.policies.schedule import Window

WINDOW = Window("0 8 * * 1-5", 36_000.0, 4, "Europe/Berlin")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["kpa"], [Choice(PolicyName.KPA)]),
        (
            ["fixed:3, hpa:60", "kpa:50%"],
            [Choice(PolicyName.FIXED, 3), Choice(PolicyName.HPA, 60), Choice(PolicyName.KPA, 50)],
        ),
        (["hybrid:0.99,hybrid:99%"], [Choice(PolicyName.HYBRID, 0.99)]),
        (["paper:2", "paper:2"], [Choice(PolicyName.PAPER, 2)]),
        ([], [Choice(name) for name in ("hybrid", "paper", "kpa", "hpa", "fixed")]),
    ],
)
def test_policies_are_read_each_once(texts: list[str], expected: list[Choice]) -> None:
    assert policies.choices(texts, ()) == expected


def test_a_schedule_is_there_where_windows_are() -> None:
    assert policies.choices([], (WINDOW,))[-1] == Choice(PolicyName.SCHEDULE)
    (over,) = policies.choices(["schedule:hybrid"], (WINDOW,))
    assert (over, over.label) == (Choice(PolicyName.SCHEDULE, 1.0), "schedule:hybrid")


@pytest.mark.parametrize("text", ["hybrid:0.99", "paper:2", "kpa:55", "hpa", "fixed:3", "schedule:hybrid"])
def test_a_label_is_what_was_written(text: str) -> None:
    assert policies.choice(text).label == text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("wish", "There is no policy 'wish'; there are hybrid, paper, kpa, hpa, fixed, schedule."),
        ("hybird", "Did you mean hybrid?"),
        ("fixed:1.5", "fixed:1.5 is no policy: after fixed: comes a whole number of replicas, for example 3."),
        ("fixed:-1", "after fixed: comes a whole number"),
        ("kpa:0", "after kpa: comes the target utilisation in percent"),
        ("kpa:much", "after kpa: comes the target utilisation in percent"),
        ("hybrid:0", "after hybrid: comes a part of the requests"),
        ("schedule:kpa", "write schedule, or schedule:hybrid"),
        ("schedule", "needs at least one --window: '0 8 "),
    ],
)
def test_what_is_no_policy_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(CommandError) as refused:
        policies.choices([text], ())
    assert sentence in str(refused.value)
    assert refused.value.exit_code == 2


def test_windows_are_read_with_or_without_a_zone() -> None:
    texts = [policies.WINDOW_EXAMPLE, "30 6 1,15 * * for 90m keep 0"]
    assert policies.windows(texts) == (WINDOW, Window("30 6 1,15 * *", 5400.0, 0))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("at eight", "is no window; write for example"),
        ("0 8 * * * for ever keep 4", "'ever' is no duration"),
        ("61 8 * * * for 1h keep 4", "is no cron expression"),
        ("0 8 * * * for 1h keep 4 in Atlantis", "'Atlantis' is no time zone"),
    ],
)
def test_what_is_no_window_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(typer.BadParameter, match=sentence):
        policies.windows([text])
