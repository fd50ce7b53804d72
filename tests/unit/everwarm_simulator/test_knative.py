"""Knative's autoscaler in the simulator: what a revision does over minutes, with the times worked out by hand."""

import numpy as np
import pytest

from everwarm_planner.policies.kpa import Settings
from everwarm_planner.policies.kpa_scale import ZeroSettings
from everwarm_simulator import report, run
from everwarm_simulator.distributions import Deterministic
from everwarm_simulator.knative import Knative
from everwarm_simulator.run import Change, Run, Service
from everwarm_simulator.workload import Workload

DEFAULT = Settings.of_concurrency(1)


def play(
    arrivals: list[float],
    service_seconds: float,
    horizon: float,
    initial: int = 1,
    settings: Settings = DEFAULT,
    zero: ZeroSettings | None = None,
    cold: float = 3.0,
) -> Run:
    load = Workload(np.array(arrivals), np.full(len(arrivals), service_seconds), horizon)
    service = Service(1, Deterministic(cold), 20, initial)
    autoscaler = Knative(settings, 20, initial, zero)
    return run.simulate(load, service, autoscaler, None, np.random.default_rng(0))


def steady(busy: int, horizon: int) -> list[float]:
    """`busy` requests of one second at each second: exactly that many in flight, always."""
    return [float(second) for second in range(horizon) for _ in range(busy)]


def test_a_steady_load_gets_the_replicas_that_keep_each_at_seven_tenths() -> None:
    done = play(steady(7, 300), 1.0, 300.0, initial=10)
    assert [change.wanted for change in done.changes] == [10]
    assert report.of_run(done, 1.0).attainment == 1.0


def test_an_idle_revision_keeps_one_replica_for_a_window_and_then_goes_to_zero_while_proxied() -> None:
    """Seven in flight until 100 s. The averages need one window to forget; in panic (from the start) none goes."""
    done = play(steady(7, 100), 1.0, 300.0, initial=10)
    falls = [(change.at_seconds, change.wanted) for change in done.changes]
    assert falls[0] == (2.0, 10)
    assert falls[-1][1] == 0
    assert 160.0 <= falls[-1][0] <= 166.0
    counts = [wanted for _, wanted in falls]
    assert counts == sorted(counts, reverse=True)


def test_scale_to_zero_waits_for_the_grace_period_where_the_activator_is_not_in_the_way() -> None:
    """One request at 1 s leaves the 60-s average after 61 s; the decision of 62 s marks the revision inactive."""
    settings = Settings(target=0.7, total=1.0, target_burst_capacity=0)
    zero = ZeroSettings(grace_seconds=30.0)
    gone = [change.at_seconds for change in play([1.0], 0.1, 300.0, settings=settings, zero=zero).changes][-1]
    proxied = [change.at_seconds for change in play([1.0], 0.1, 300.0).changes][-1]
    assert (gone, proxied) == (62.0 + 30.0, 62.0 + 2.0)


def test_the_first_request_at_zero_starts_two_replicas_for_one_in_flight_is_over_seven_tenths_of_one() -> None:
    done = play([500.5], 0.1, 520.0, initial=0)
    assert done.changes[:2] == [Change(2.0, 0, 0), Change(500.5, 0, 2)]
    assert done.latencies.tolist() == [pytest.approx(3.1)]
    assert done.cold.tolist() == [True]


def test_a_burst_panics_within_seconds_and_holds_for_a_window() -> None:
    """Ten in flight at once from 100 s to 110 s, at one replica: the short window is full after 6 s."""
    arrivals = [100.0 + 0.1 * number for number in range(100)]
    done = play([1.0, *arrivals], 1.0, 200.0)
    wanted = [(change.at_seconds, change.wanted) for change in done.changes]
    most = max(count for _, count in wanted)
    reached = next(at for at, count in wanted if count == most)
    assert 100 < reached <= 112
    assert most >= 10
    assert not [at for at, count in wanted if reached < at < reached + 58 and count < most]


def test_a_backlog_during_a_long_cold_start_asks_for_more_although_replicas_are_starting() -> None:
    """The known weakness: the queue counts as load, those that start do not count as ready."""
    done = play(steady(3, 240), 1.0, 240.0, initial=1, cold=90.0)
    assert max(change.wanted for change in done.changes) == 20
