"""Kubernetes' autoscaler, with the values of its own tests.

From k8s.io/kubernetes v1.34.4, pkg/controller/podautoscaler (Apache-2.0): replica_calculator_test.go (TestReplicaCalc*,
usage here in parts of one CPU) and horizontal_test.go (TestConvertDesiredReplicasWithRules, TestScalingWithRules,
TestNormalizeDesiredReplicas with and without behavior, TestCalculateScale*Limit*). Not ported: object and external
metrics, pods that are deleted or failed, CPU of starting pods, which are not modelled.
"""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from everwarm_planner.policies import hpa
from everwarm_planner.policies.hpa import Behavior, Limit, Rules, Select, Settings, State, Usage

NOW = 10_000.0


def aiming(target: float, up: float = 0.1, down: float = 0.1, missing: float | None = None) -> Settings:
    return Settings(target, 0, 1000, tolerance_up=up, tolerance_down=down, missing_usage=missing)


def of(*levels: float, unready: int = 0, missing: int = 0) -> Usage:
    return Usage(sum(levels), len(levels), unready, missing)


@pytest.mark.parametrize(
    ("settings", "current", "usage", "replicas"),
    [
        pytest.param(aiming(0.3), 3, of(0.3, 0.5, 0.7), 5, id="ScaleUp"),
        pytest.param(aiming(0.3), 3, of(0.5, 0.7, unready=1), 4, id="ScaleUpUnreadyLessScale"),
        pytest.param(aiming(0.3), 3, of(0.4, unready=2), 3, id="ScaleUpUnreadyNoScale"),
        pytest.param(aiming(15), 3, of(20, 10, 30), 4, id="ScaleUpCM"),
        pytest.param(aiming(15), 3, of(50, 10, 30), 6, id="ScaleUpCMUnreadyHotCpuNoLessScale"),
        pytest.param(aiming(15), 3, of(50, 15, 30), 7, id="ScaleUpCMUnreadyHotCpuScaleWouldScaleDown"),
        pytest.param(aiming(0.5), 5, of(0.1, 0.3, 0.5, 0.25, 0.25), 3, id="ScaleDown"),
        pytest.param(aiming(20), 5, of(12, 12, 12, 12, 12), 3, id="ScaleDownCM"),
        pytest.param(aiming(0.5), 5, of(0.1, 0.3, 0.5, unready=2), 2, id="ScaleDownExcludeUnreadyPods"),
        pytest.param(aiming(1.0), 3, of(1.01, 1.03, 1.02), 3, id="Tolerance"),
        pytest.param(aiming(20), 3, of(20, 21, 21), 3, id="ToleranceCM"),
        pytest.param(aiming(1.0, 0, 0), 3, of(0.909, 1.01, 1.111), 4, id="Outside of a 0% tolerance"),
        pytest.param(aiming(1.0, up=2), 3, of(1.89, 1.91, 1.9), 3, id="Within a 200% scale-up tolerance"),
        pytest.param(aiming(1.0, 0.08, 2), 3, of(1.1, 1.08, 1.09), 4, id="Outside 8% scale-up tolerance"),
        pytest.param(aiming(1.0, down=0.36), 3, of(0.66, 0.64, 0.65), 3, id="Within a 36% scale-down tolerance"),
        pytest.param(aiming(1.0, down=0.34), 3, of(0.66, 0.64, 0.65), 2, id="Outside a 34% scale-down tolerance"),
        pytest.param(aiming(20, up=0.01), 3, of(20, 21, 21), 4, id="ConfigurableToleranceCM"),
        pytest.param(aiming(1.0, missing=1), 4, of(0.4, 0.095, missing=2), 3, id="MissingMetrics"),
        pytest.param(aiming(20), 5, of(20, 19, 21, missing=2), 5, id="PlainMetricMissingMetricsNoChangeEq"),
        pytest.param(aiming(1.0, missing=1), 2, of(1.0, missing=1), 2, id="MissingMetricsNoChangeEq"),
        pytest.param(aiming(1.0, missing=1), 2, of(1.9, missing=1), 2, id="MissingMetricsNoChangeGt"),
        pytest.param(aiming(1.0, missing=1), 2, of(0.6, missing=1), 2, id="MissingMetricsNoChangeLt"),
        pytest.param(aiming(0.5, missing=1), 3, of(0.45, unready=1, missing=1), 3, id="MissingMetricsUnreadyChange"),
        pytest.param(aiming(0.5, missing=1), 3, of(2.0, unready=1, missing=1), 4, id="MissingMetricsUnreadyScaleUp"),
        pytest.param(aiming(0.5, missing=1), 4, of(0.1, 0.1, unready=1, missing=1), 3, id="UnreadyScaleDown"),
        pytest.param(aiming(0.5, missing=1), 2, of(0.1, 0.1, missing=1), 2, id="DuringRollingUpdateWithMaxSurge"),
        pytest.param(aiming(17), 2, of(10, 10, missing=1), 2, id="DuringRollingUpdateWithMaxSurgeCM"),
        pytest.param(aiming(0.56), 10, of(*[0.5] * 10), 9, id="ComputedToleranceAlgImplementation"),
        pytest.param(aiming(0.55), 10, of(*[0.5] * 10), 10, id="ComputedToleranceAlgImplementation, in the margin"),
        pytest.param(aiming(1.0), 4, of(), None, id="EmptyMetrics"),
    ],
)
def test_replica_calc(settings: Settings, current: int, usage: Usage, replicas: int | None) -> None:
    assert hpa.recommendation(settings, current, usage) == replicas


@pytest.mark.parametrize(
    ("current", "wanted", "least", "most", "replicas"),
    [(5, 7, 3, 8, 7), (3, 1, 2, 8, 2), (1, 0, 0, 10, 0), (20, 1000, 1, 10, 10), (3, 1000, 1, 2000, 6)],
)
def test_convert_desired_replicas_with_rules(current: int, wanted: int, least: int, most: int, replicas: int) -> None:
    assert hpa.limited(Settings(1.0, least, most), State(), NOW, current, wanted) == replicas


def minutes_ago(*entries: tuple[int, float]) -> State:
    return State(tuple((NOW - 60 * minutes, replicas) for replicas, minutes in entries))


@pytest.mark.parametrize(
    ("state", "wanted", "replicas"),
    [
        pytest.param(minutes_ago(), 5, 5, id="empty log"),
        pytest.param(minutes_ago((4, 2), (5, 1)), 3, 5, id="stabilize"),
        pytest.param(minutes_ago((1, 2), (2, 1)), 3, 3, id="no stabilize"),
        pytest.param(minutes_ago((10, 10), (9, 9)), 3, 3, id="no stabilize - old recommendations"),
        pytest.param(minutes_ago((10, 10), (4, 1), (5, 2), (9, 9)), 3, 5, id="stabilize - old recommendations"),
    ],
)
def test_normalize_desired_replicas(state: State, wanted: int, replicas: int) -> None:
    assert hpa.stabilized(aiming(1.0), state, NOW, 100, wanted) == replicas


@pytest.mark.parametrize(
    ("state", "current", "wanted", "up", "down", "replicas"),
    [
        pytest.param(minutes_ago(), 100, 5, 0, 0, 5, id="empty recommendations"),
        pytest.param(minutes_ago((4, 2), (5, 1)), 100, 3, 0, 180, 5, id="simple scale down"),
        pytest.param(minutes_ago((4, 2), (5, 1)), 1, 7, 300, 0, 4, id="simple scale up"),
        pytest.param(minutes_ago((1, 2), (2, 1)), 100, 3, 300, 0, 3, id="no scale down stabilization"),
        pytest.param(minutes_ago((4, 2), (5, 1)), 1, 3, 0, 300, 3, id="no scale up stabilization"),
        pytest.param(minutes_ago((10, 10), (9, 9)), 100, 3, 0, 0, 3, id="no scale down, reuse"),
        pytest.param(minutes_ago((10, 10), (9, 9)), 1, 100, 0, 0, 100, id="no scale up, reuse"),
        pytest.param(minutes_ago((10, 10), (4, 1), (5, 2), (9, 9)), 100, 3, 0, 180, 5, id="scale down, obsolete"),
        pytest.param(minutes_ago((10, 100), (6, 1), (5, 2), (9, 3)), 1, 100, 300, 0, 5, id="scale up, obsolete"),
        pytest.param(minutes_ago((2, 100), (3, 3)), 2, 1, 300, 300, 2, id="do not scale up when it goes down"),
        pytest.param(minutes_ago((2, 100), (1, 3)), 2, 3, 300, 300, 2, id="do not scale down when it goes up"),
    ],
)
def test_normalize_desired_replicas_with_behavior(
    state: State, current: int, wanted: int, up: float, down: float, replicas: int
) -> None:
    settings = replace(aiming(1.0), behavior=Behavior(Rules((), up), Rules((), down)))
    assert hpa.stabilized(settings, state, NOW, current, wanted) == replicas


UP, DOWN = hpa.DEFAULT_UP, hpa.DEFAULT_DOWN


def pods(value: int, period: float = 60) -> Limit:
    return Limit(value, period)


def percent(value: int, period: float = 60) -> Limit:
    return Limit(value, period, percent=True)


def rules(*limits: Limit, select: Select = Select.MAX) -> Rules:
    return Rules(limits, 0.0, select)


def spread(changes: list[int], seconds: float = 120) -> tuple[tuple[float, int], ...]:
    """Upstream's generateEventsUniformDistribution: one in the middle of each equal part of the time."""
    segment = seconds / len(changes)
    return tuple((NOW - seconds + segment * (number + 0.5), change) for number, change in enumerate(changes))


RECENT, FOUR = spread([1, 5, 9]), spread([8, 12, 9, 11])


@pytest.mark.parametrize(
    ("up", "down", "ups", "downs", "bounds", "current", "wanted", "replicas"),
    [
        (UP, DOWN, (), (), (3, 8), 5, 7, 7),
        (UP, DOWN, (), (), (2, 8), 3, 1, 2),
        (UP, DOWN, (), (), (0, 10), 1, 0, 0),
        (UP, DOWN, (), (), (1, 10), 20, 1000, 10),
        (UP, DOWN, (), (), (100, 150), 100, 1000, 150),
        (rules(percent(1)), DOWN, (), (), (1, 2000), 3, 1000, 4),
        (UP, rules(pods(20)), (), (), (3, 2000), 1000, 3, 980),
        (UP, DOWN, (), (), (1, 1000), 10, 50, 20),
        (rules(pods(100), percent(100)), DOWN, (), (), (1, 1000), 10, 500, 110),
        (rules(pods(2), percent(100)), DOWN, (), (), (1, 1000), 10, 500, 20),
        (rules(pods(100)), DOWN, (), (), (1, 1000), 10, 50, 50),
        (rules(pods(30)), DOWN, (), (), (1, 1000), 10, 50, 40),
        (rules(percent(200)), DOWN, (), (), (1, 1000), 10, 50, 30),
        (UP, rules(pods(20), percent(1)), (), (), (1, 1000), 100, 2, 80),
        (UP, rules(pods(2), percent(1)), (), (), (1, 1000), 100, 2, 98),
        (UP, rules(pods(100)), (), (), (1, 1000), 10, 0, 1),
        (UP, rules(percent(100)), (), (), (5, 1000), 10, 2, 5),
        (UP, rules(pods(5)), (), (), (1, 1000), 10, 2, 5),
        (UP, rules(percent(50)), (), (), (1, 1000), 10, 5, 5),
        (rules(pods(300)), DOWN, RECENT, (), (1, 200), 100, 500, 200),
        (rules(percent(10000)), DOWN, RECENT, (), (1, 200), 100, 500, 200),
        (rules(pods(5, 120)), DOWN, RECENT, (), (1, 1000), 100, 500, 100),
        (rules(pods(150, 120)), DOWN, RECENT, (), (1, 1000), 100, 500, 235),
        (rules(percent(200, 120)), DOWN, RECENT, (), (1, 1000), 100, 500, 255),
        (rules(percent(300, 300)), DOWN, spread([4]), spread([2]), (1, 1000), 6, 24, 16),
        (UP, DOWN, (), RECENT, (1, 1000), 10, 5, 5),
        (UP, rules(pods(115, 120)), (), RECENT, (1, 1000), 100, 0, 1),
        (UP, rules(pods(130, 120)), (), RECENT, (5, 1000), 100, 0, 5),
        (UP, rules(percent(100, 120)), (), RECENT, (5, 1000), 100, 2, 5),
        (UP, rules(pods(5, 120)), (), RECENT, (1, 1000), 100, 2, 100),
        (UP, rules(percent(50, 120)), (), spread([2, 4, 6]), (1, 1000), 100, 0, 56),
        (UP, rules(percent(50, 180)), spread([2]), spread([4]), (1, 1000), 10, 1, 6),
        (UP, rules(percent(10, 120)), (), spread([10, 10, 10]), (1, 1000), 100, 0, 100),
        (UP, rules(percent(1000, 120)), (), spread([10, 10, 10]), (1, 1000), 10, 5, 5),
        (rules(pods(1000)), DOWN, FOUR, (), (1, 1000), 100, 200, 200),
        (rules(pods(1000, 120), percent(100)), DOWN, FOUR, (), (1, 1000), 100, 200, 200),
        (UP, rules(pods(1000, 30), percent(100)), (), FOUR, (1, 1000), 100, 5, 5),
        (rules(pods(2), percent(50), select=Select.MIN), DOWN, (), (), (1, 1000), 1, 50, 2),
        (UP, rules(pods(2), percent(50), select=Select.MIN), (), (), (1, 1000), 5, 1, 3),
        (rules(pods(9), select=Select.DISABLED), DOWN, (), (), (1, 1000), 5, 9, 5),
    ],
)
def test_scaling_with_rules(
    up: Rules,
    down: Rules,
    ups: tuple[tuple[float, int], ...],
    downs: tuple[tuple[float, int], ...],
    bounds: tuple[int, int],
    current: int,
    wanted: int,
    replicas: int,
) -> None:
    """The last three are TestCalculateScaleUpLimitWithScalingRules, ...DownLimitWithBehaviors, and `Disabled`."""
    settings = Settings(1.0, *bounds, behavior=Behavior(up, down))
    assert hpa.limited(settings, State((), ups, downs), NOW, current, wanted) == replicas


def play(settings: Settings, *usages: tuple[float, float], current: int = 1) -> list[int]:
    """(seconds, total usage) in turn, each replica ready at once -> the replicas after each."""
    state, seen = State(), []
    for at, total in usages:
        current, state = hpa.step(settings, state, at, current, Usage(total, current))
        seen.append(current)
    return seen


def test_it_doubles_at_once_and_comes_down_after_five_minutes() -> None:
    settings = Settings(0.5, 1, 20)
    rising = play(settings, (0, 5), (15, 5), (30, 5))
    assert rising == [4, 8, 10]
    falling = play(settings, (0, 5), (15, 5), (30, 5), *[(45.0 + 15 * tick, 0.5) for tick in range(22)])
    assert falling[3:] == [10] * 20 + [1, 1]  # the last 10 is of 30 s, and counts until 330 s


def test_a_behavior_limits_the_fall() -> None:
    slow = Behavior(down=Rules((Limit(1, 60.0),), 0.0))
    seen = play(Settings(0.5, 1, 20, behavior=slow), *[(15.0 * tick, 0.5) for tick in range(9)], current=10)
    assert seen == [9, 9, 9, 9, 8, 8, 8, 8, 7]


def test_at_zero_it_is_off_without_metrics_it_holds_and_outside_the_bounds_it_returns_to_them() -> None:
    settings = Settings(0.5, 2, 5)
    assert hpa.step(settings, State(), 0.0, 0, Usage(0.0, 0)) == (0, State())
    assert hpa.step(settings, State(), 0.0, 3, Usage(0.0, 0)) == (3, State())
    assert [hpa.step(settings, State(), 0.0, current, Usage(9.0, 1))[0] for current in (1, 9)] == [2, 5]


@pytest.mark.parametrize("arguments", [(0.0, 1, 2), (1.0, 3, 2), (1.0, -1, 2)])
def test_settings_without_a_meaning_are_refused(arguments: tuple[float, int, int]) -> None:
    with pytest.raises(ValueError, match=r"must be over 0|no number"):
        Settings(*arguments)


@tries(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 50), st.integers(0, 5)), min_size=1, max_size=40),
    st.sampled_from([None, Behavior(), Behavior(Rules((Limit(2, 60.0),), 120.0), Rules((Limit(1, 60.0),), 60.0))]),
)
def test_it_never_leaves_its_bounds(usages: list[tuple[float, int, int]], behavior: Behavior | None) -> None:
    settings, state, current = Settings(0.7, 2, 30, behavior=behavior), State(), 2
    for tick, (total, measured, unready) in enumerate(usages):
        current, state = hpa.step(settings, state, 15.0 * tick, current, Usage(total, measured, unready))
        assert 2 <= current <= 30
