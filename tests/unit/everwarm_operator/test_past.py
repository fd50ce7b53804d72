"""The past of services is asked for once, some at a time, and what is missing in it stays missing."""

import math
from typing import Any

import pytest

from everwarm_operator.errors import Unreachable
from everwarm_operator.past import AT_ONCE, Past
from everwarm_operator.prometheus import RangeSeries

KEY = ("ns", "digits")
LABELS = {"namespace_name": "ns", "service_name": "digits"}
NOW = 1_000_070.0
END = 999_900.0


@pytest.fixture
def past(prometheus: Any) -> Past:
    return Past(prometheus, length_seconds=900)


async def test_rates_are_those_of_the_steps_before_and_holes_are_no_zeros(past: Past, prometheus: Any) -> None:
    prometheus.past = (RangeSeries(LABELS, {END - 600: 2.0, END: 0.0}),)

    found = await past.more([KEY], NOW)

    series = found[KEY]
    assert (series.begin_seconds, series.step_seconds) == (END - 900, 300)
    assert series.rates_per_second[0::2] == (2.0, 0.0)
    assert math.isnan(series.rates_per_second[1])
    ((text, begin, end, step),) = prometheus.asked_for_past
    assert (begin, end, step) == (END - 600, END, 300)
    assert 'service_name=~"digits"' in text


async def test_each_service_is_asked_about_once(past: Past, prometheus: Any) -> None:
    await past.more([KEY], NOW)
    await past.more([KEY], NOW + 15)
    await past.more([KEY, ("ns", "other")], NOW + 30)

    assert ["digits" in text for text, *_ in prometheus.asked_for_past] == [True, False]


async def test_one_that_comes_back_under_an_old_name_is_new(past: Past, prometheus: Any) -> None:
    await past.more([KEY], NOW)
    await past.more([], NOW + 15)
    await past.more([KEY], NOW + 30)

    assert len(prometheus.asked_for_past) == 2


async def test_of_many_services_some_are_asked_about_with_each_pass(past: Past, prometheus: Any) -> None:
    services = [("ns", f"model-{number}") for number in range(AT_ONCE + 1)]

    for at in (NOW, NOW + 15, NOW + 30):
        await past.more(services, at)

    assert [text.count("model-") > 3 for text, *_ in prometheus.asked_for_past] == [True, False]


async def test_a_failure_is_tried_again_later_and_later(past: Past, prometheus: Any) -> None:
    prometheus.error = Unreachable("away")
    for second in range(0, 120, 15):
        assert await past.more([KEY], NOW + second) == {}
    assert len(prometheus.asked_for_past) == 3  # at once, after 30 s, after 60 s more

    prometheus.error = None
    prometheus.past = (RangeSeries(LABELS, {END: 1.0}),)
    assert list(await past.more([KEY], NOW + 4000)) == [KEY]


async def test_services_that_are_not_ours_are_left_out(past: Past, prometheus: Any) -> None:
    prometheus.past = (RangeSeries({**LABELS, "namespace_name": "elsewhere"}, {END: 1.0}),)
    assert await past.more([KEY], NOW) == {}


async def test_without_a_length_nothing_is_asked(prometheus: Any) -> None:
    assert await Past(prometheus, 0).more([KEY], NOW) == {}
    assert prometheus.asked_for_past == []
