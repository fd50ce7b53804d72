"""The paper's headline comes out of the preset, and only out of it. Seeds are fixed; tolerances are over seeds."""

import numpy as np
import pytest

from everwarm_cli.reproduce import adaptive, scaling
from everwarm_cli.reproduce.adaptive import Control
from everwarm_cli.reproduce.assumptions import PAPER, Effort

SHORT = Effort(3, 6.0)


def test_the_preset_gives_800_against_320_ms_and_60_percent_fewer_cold_starts() -> None:
    headline = adaptive.headline(SHORT)
    reactive, found, minimum = (headline.outcomes[control] for control in Control)
    assert reactive.p95_seconds.mean == pytest.approx(0.785, abs=0.03)
    assert reactive.cold_fraction.mean == pytest.approx(0.093, abs=0.012)
    assert found.p95_seconds.mean == pytest.approx(0.321, abs=0.012)
    assert found.cold_fraction.mean == pytest.approx(0.040, abs=0.005)
    assert found.provisioned.mean == pytest.approx(1.05, abs=0.05)
    # Nearly all of it is the one instance that is never let go.
    assert minimum.p95_seconds.mean == pytest.approx(found.p95_seconds.mean, rel=0.02)
    assert minimum.provisioned.mean == pytest.approx(1.0, abs=0.001)


def test_all_controls_see_the_same_requests_and_initialisations() -> None:
    runs = adaptive.headline(Effort(1, 1.0)).latencies
    assert len({len(latencies) for latencies in runs.values()}) == 1
    again = adaptive.headline(Effort(1, 1.0)).latencies
    assert all(np.array_equal(runs[control], again[control]) for control in Control)


@pytest.mark.parametrize("expiry", [60.0, 600.0])
def test_where_instances_live_for_minutes_algorithm_1_changes_nothing(expiry: float) -> None:
    pair = adaptive.compare(adaptive.preset(expiry), Effort(2, 2.0))
    reactive, found = pair[Control.REACTIVE], pair[Control.ADAPTIVE]
    assert reactive.cold_fraction.mean < 0.05
    assert found.p95_seconds.mean == pytest.approx(reactive.p95_seconds.mean, rel=0.01)


def test_of_the_other_loads_only_bursts_have_a_cold_p95() -> None:
    cold = {case.name: adaptive.compare(case, Effort(2, 2.0))[Control.REACTIVE] for case in adaptive.CASES}
    assert {name for name, one in cold.items() if one.cold_fraction.mean > 0.05} == {"bursts of 5 s every 10 min, 10/s"}


@pytest.mark.parametrize(
    ("rate", "single"),
    [(1.0, (0.35, 0.45)), (4.0, (0.9, 2.5)), (8.0, (900.0, 1100.0))],
    ids=["little load", "near its capacity", "over its capacity"],
)
def test_one_server_explodes_and_functions_stay_flat(rate: float, single: tuple[float, float]) -> None:
    point = scaling.point(rate, Effort(3, 0.0))
    assert single[0] < point.single_seconds.mean < single[1]
    assert point.serverless_seconds.mean == pytest.approx(0.279, abs=0.006)
    assert PAPER.mean_rate_per_second == pytest.approx(1.16)
