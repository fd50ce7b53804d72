"""The shape of the traffic, smoothed: what is not measured is assumed, then kept."""

from dataclasses import replace

import pytest

from everwarm_planner.measures import Measures, measure
from everwarm_planner.observation import Observation

ASSUMED = Measures(1.0, 0.25, 1.0)
SEEN = Observation(1000.0, 24.0, 0.2, 0.1, 0.0, 0.6, 3, 2.0, dispersion=4.0, service_variation=0.5)


@pytest.mark.parametrize(
    ("old", "seen", "passed", "expected"),
    [
        (None, SEEN, 0.0, Measures(0.1, 0.5, 4.0)),
        (None, replace(SEEN, dispersion=None, service_variation=None), 0.0, Measures(0.1, 0.25, 1.0)),
        (None, replace(SEEN, service_seconds=None), 0.0, None),
        (Measures(0.3, 0.1, 2.0), replace(SEEN, service_seconds=None), 15.0, Measures(0.3, 0.1, 2.0)),
        (Measures(0.3, 0.1, 2.0), replace(SEEN, dispersion=None), 300.0, Measures(0.1, 0.1 + 0.4 / 12, 2.0)),
        (Measures(0.3, 0.1, 2.0), SEEN, 30.0, Measures(0.28, 0.1 + 0.4 / 120, 2.0 + 2.0 / 120)),
        (Measures(0.3, 0.1, 2.0), SEEN, 0.0, Measures(0.3, 0.1, 2.0)),
        (Measures(0.3, 0.1, 2.0), SEEN, 1e9, Measures(0.1, 0.5, 4.0)),
    ],
)
def test_what_is_known_after_an_observation(
    old: Measures | None, seen: Observation, passed: float, expected: Measures | None
) -> None:
    known = measure(old, seen, ASSUMED, passed)
    if expected is None or known is None:
        assert known is expected
    else:
        assert (known.service_seconds, known.service_variation, known.dispersion) == pytest.approx(
            (expected.service_seconds, expected.service_variation, expected.dispersion)
        )
