"""From wanted to running replicas, with the table of Knative's own test.

From knative.dev/serving v0.42.2, pkg/reconciler/autoscaling/kpa/scaler_test.go TestScaler and TestDisableScaleToZero
(Apache-2.0). Not ported: failing probes, reachability and initial scales over 1, which are not modelled.
"""

import pytest

from everwarm_planner.policies import kpa_scale
from everwarm_planner.policies.kpa_scale import Activity, Bounds, Phase, Target, ZeroSettings

NOW = 10_000.0
STABLE, GRACE = 60.0, 30.0
DEFAULT = ZeroSettings()
NO_BOUNDS = Bounds()


def was(phase: Phase, seconds: float, proxied: float | None = None) -> Activity:
    return Activity(phase, NOW - seconds, None if proxied is None else NOW - proxied)


ACTIVE, INACTIVE, ACTIVATING = Phase.ACTIVE, Phase.INACTIVE, Phase.ACTIVATING


@pytest.mark.parametrize(
    ("settings", "activity", "bounds", "wanted", "replicas", "applied"),
    [
        pytest.param(DEFAULT, was(ACTIVE, STABLE - 1), NO_BOUNDS, 0, 1, True, id="just before idle period"),
        pytest.param(
            ZeroSettings(stable_window_seconds=20), was(ACTIVE, 19), NO_BOUNDS, 0, 1, True, id="custom window, before"
        ),
        pytest.param(
            ZeroSettings(stable_window_seconds=20), was(ACTIVE, 60), NO_BOUNDS, 0, 0, False, id="custom window, after"
        ),
        pytest.param(DEFAULT, was(ACTIVE, STABLE), NO_BOUNDS, 0, 0, False, id="waits after idle period"),
        pytest.param(DEFAULT, was(INACTIVE, GRACE), NO_BOUNDS, 0, 0, True, id="after grace period"),
        pytest.param(
            ZeroSettings(retention_seconds=2 * GRACE), was(INACTIVE, GRACE), NO_BOUNDS, 0, 0, False, id="retained"
        ),
        pytest.param(
            ZeroSettings(retention_seconds=GRACE), was(INACTIVE, GRACE), NO_BOUNDS, 0, 0, True, id="after retention"
        ),
        pytest.param(DEFAULT, was(INACTIVE, GRACE - 1), NO_BOUNDS, 0, 0, False, id="just before grace period"),
        pytest.param(
            DEFAULT, was(INACTIVE, GRACE - 1, GRACE - 1), NO_BOUNDS, 0, 0, False, id="before grace, proxied short"
        ),
        pytest.param(DEFAULT, was(INACTIVE, GRACE - 1, GRACE), NO_BOUNDS, 0, 0, True, id="before grace, proxied long"),
        pytest.param(
            ZeroSettings(grace_seconds=60, retention_seconds=42),
            was(INACTIVE, 59, 60),
            NO_BOUNDS,
            0,
            0,
            True,
            id="proxied long, retention over",
        ),
        pytest.param(DEFAULT, was(ACTIVATING, 315), NO_BOUNDS, 0, None, False, id="while activating"),
        pytest.param(DEFAULT, was(ACTIVATING, 631), NO_BOUNDS, 0, 0, True, id="activating after deadline"),
        pytest.param(DEFAULT, was(INACTIVE, GRACE - 1), Bounds(2), 0, 2, True, id="minScale before grace period"),
        pytest.param(DEFAULT, was(INACTIVE, GRACE), Bounds(2), 0, 2, True, id="minScale after grace period"),
        pytest.param(DEFAULT, was(ACTIVATING, 0), NO_BOUNDS, 10, 10, True, id="scales up"),
        pytest.param(DEFAULT, was(ACTIVATING, 0), Bounds(0, 8), 10, 8, True, id="scales up to maxScale"),
        pytest.param(DEFAULT, was(INACTIVE, GRACE / 2), NO_BOUNDS, 10, 10, True, id="scale up inactive revision"),
        pytest.param(DEFAULT, was(INACTIVE, 0), NO_BOUNDS, None, None, False, id="from zero with no metrics"),
        pytest.param(DEFAULT, was(ACTIVATING, 0), NO_BOUNDS, 1, 1, True, id="scales up from zero to desired one"),
        pytest.param(DEFAULT, was(ACTIVE, 0), NO_BOUNDS, None, None, False, id="negative scale does not scale"),
        pytest.param(ZeroSettings(enabled=False), was(ACTIVE, 99), NO_BOUNDS, 0, 1, True, id="disabled, minScale 0"),
        pytest.param(ZeroSettings(enabled=False), was(ACTIVE, 99), Bounds(2), 0, 2, True, id="disabled, minScale 2"),
        pytest.param(
            ZeroSettings(enabled=False), was(ACTIVE, 99), NO_BOUNDS, None, None, False, id="disabled, no metrics"
        ),
    ],
)
def test_scaler(
    settings: ZeroSettings,
    activity: Activity,
    bounds: Bounds,
    wanted: int | None,
    replicas: int | None,
    *,
    applied: bool,
) -> None:
    assert kpa_scale.target(settings, bounds, activity, NOW, wanted) == Target(replicas, applied=applied)


@pytest.mark.parametrize(
    ("before", "replicas", "ready", "minimum", "after"),
    [
        (ACTIVE, 0, 3, 0, INACTIVE),
        (ACTIVATING, 0, 0, 0, INACTIVE),
        (INACTIVE, 1, 0, 0, ACTIVATING),
        (ACTIVE, 5, 1, 2, ACTIVATING),
        (ACTIVATING, 2, 2, 2, ACTIVE),
        (INACTIVE, None, 0, 0, INACTIVE),
        (ACTIVATING, None, 0, 0, ACTIVATING),
        (ACTIVE, None, 0, 0, ACTIVATING),
        (INACTIVE, None, 1, 0, INACTIVE),
        (ACTIVATING, None, 1, 0, ACTIVE),
        (ACTIVE, None, 1, 0, ACTIVE),
    ],
)
def test_the_next_phase_follows_upstreams_table(
    before: Phase, replicas: int | None, ready: int, minimum: int, after: Phase
) -> None:
    """The comment over computeActiveCondition in kpa.go, without its rows of an initial scale of zero."""
    result = kpa_scale.next_activity(was(before, 100.0), NOW, Target(replicas, applied=False), ready, -1, minimum)
    assert result == Activity(after, NOW - 100.0 if before is after else NOW, NOW)


@pytest.mark.parametrize(
    ("replicas", "ready", "excess", "proxied"),
    [(2, 2, 0, None), (2, 2, -1, NOW - 5), (2, 0, 10, NOW - 5), (0, 2, 10, NOW - 5), (None, 2, 10, NOW - 5)],
)
def test_the_activator_leaves_the_way_only_while_there_is_room_for_a_burst(
    replicas: int | None, ready: int, excess: int, proxied: float | None
) -> None:
    before = was(ACTIVE, 100.0, 5.0)
    after = kpa_scale.next_activity(before, NOW, Target(replicas, applied=False), ready, excess)
    assert after.proxied_since_seconds == proxied
