"""Loads: patterns, and the part of a trace that is played with what came before it."""

import math
from itertools import pairwise

import numpy as np
import pytest

from everwarm_cli import loads
from everwarm_cli.errors import CommandError
from everwarm_cli.loads import Extent, Load
from everwarm_cli.options import Pattern
from everwarm_cli.traces.series import Rates, Requests
from everwarm_planner.history import Series


def load_of(source: Pattern | Rates | Requests, **more: float) -> Load:
    return Load(source, 0.1, 0.3, 5.0, **more)


def test_bursts_keep_the_mean_rate() -> None:
    load = load_of(Pattern.BURSTS, horizon_seconds=100_000.0)
    drawn = load.workload(np.random.default_rng(0))
    assert len(drawn.arrivals) / 100_000 == pytest.approx(5.0, rel=0.15)
    assert (load.requests, load.seconds, load.begin_seconds) == (500_000.0, 100_000.0, 0.0)


def test_single_requests_are_thinned() -> None:
    source = Requests([float(second) for second in range(1000)])
    drawn = load_of(source, scale=0.5).workload(np.random.default_rng(0))
    assert 450 < len(drawn.arrivals) < 550
    assert all(after > before for before, after in pairwise(drawn.arrivals))
    assert load_of(source).workload(np.random.default_rng(0)).horizon_seconds == 1000.0


def test_a_trace_of_rates_keeps_its_holes() -> None:
    load = load_of(Rates(10.0, [1.0, math.nan, 1.0]), scale=2.0)
    drawn = load.workload(np.random.default_rng(0))
    assert (drawn.horizon_seconds, drawn.holes) == (30.0, ((10.0, 20.0),))
    assert load.requests == 40.0


def test_what_is_before_the_part_that_is_played_is_history_at_the_same_scale() -> None:
    load = load_of(Rates(60.0, [1.0, math.nan, 3.0, 4.0], 1000.0), scale=0.5).last(60.0)
    assert load.source == Rates(60.0, [4.0], 1180.0)
    assert repr(load.history) == repr(Series(1000.0, 60.0, (0.5, math.nan, 1.5)))
    assert load.begin_seconds == 1180.0


def test_single_requests_become_history_by_the_minute() -> None:
    load = load_of(Requests([0.0, 30.0, 61.0, 130.0, 150.5], 7.0)).last(21.0)
    assert load.source == Requests([0.0, 20.5], 137.0)
    assert load.history == Series(7.0, 60.0, (2 / 60, 1 / 60))


def test_a_trace_that_is_not_longer_is_played_as_a_whole() -> None:
    load = load_of(Rates(60.0, [1.0, 2.0]))
    assert load.last(120.0) is load


BASE = Load(Pattern.POISSON, 0.1, 0.3)


def test_by_default_a_day_of_a_trace_is_thinned_to_a_million_requests() -> None:
    load = loads.of_trace(BASE, "servegen-m-large", None, Extent())
    assert load.seconds == 86_400.0
    assert load.requests == pytest.approx(1e6)
    assert load.history is not None
    assert len(load.history.rates_per_second) == 13 * 144
    assert load.dispersion == 4.4


def test_who_says_how_much_gets_that_much() -> None:
    load = loads.of_trace(BASE, "servegen-m-large", None, Extent(3600.0, None, 1.5))
    assert (load.seconds, load.scale, load.dispersion) == (3600.0, 1.0, 1.5)
    assert loads.of_trace(BASE, "nab-elb", None, Extent(3600.0, 50.0)).scale == 50.0


@pytest.mark.parametrize(
    ("load", "sentence"),
    [
        (
            Load(Rates(60.0, [1e6] * 2000), 0.1, 0.3),
            "1 d 9 h of x are 1.2e.11 requests, too many for one run: give a y",
        ),
        (Load(Pattern.POISSON, 0.1, 0.3, 1e6), "1 h of x are 3.6e.09 requests, too many"),
        (Load(Rates(60.0, [0.0, math.nan]), 0.1, 0.3), "No request of x lies in the 2 min to play"),
        (
            Load(Requests([0.0, 1.0]), 0.1, 0.3, scale=2.0),
            "--scale can't be over 1 where the trace has single requests",
        ),
    ],
)
def test_what_can_not_be_played_is_refused(load: Load, sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence) as refused:
        loads.checked(load, "x", "y")
    assert refused.value.exit_code == 2


def test_what_can_be_played_is_left_as_it_is() -> None:
    assert loads.checked(BASE, "x", "y") is BASE
