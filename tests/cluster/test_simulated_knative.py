"""The simulated pod autoscaler beside the real one, on the same requests: replicas over time within a stated error.

The floor stays at one replica, so all that moves is Knative's own. Requests come at times fixed beforehand to a model
with a service time of 250 ms; the simulation gets those times, that service time, the cluster's configuration and the
cold start that was seen, and nothing else of what happened.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from everwarm_planner.policies.kpa import Settings
from everwarm_planner.policies.kpa_scale import ZeroSettings
from everwarm_simulator import timeline
from everwarm_simulator.distributions import Deterministic
from everwarm_simulator.knative import Knative
from everwarm_simulator.run import Run, Service, simulate
from everwarm_simulator.workload import Workload
from harness import models
from harness.access import Cluster
from harness.knative import SETTINGS
from harness.load import replay
from harness.models import held_out_samples, inference
from harness.watch import Watched

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

SERVICE_SECONDS = 0.25 + 0.01  # the model's own, and what server, queue-proxy and ingress add
MAX_REPLICAS = 5
PHASES = ((20, 2.0), (40, 9.0), (30, 4.0), (30, 1.5))  # (seconds, requests per second)
# Of replicas, on average over time. The real autoscaler decides at a phase of its own within its two seconds, samples
# the queue-proxies at instants, and a pod takes longer to start while others do.
MEAN_ERROR_REPLICAS = 0.5
REPLICA_SECONDS_ERROR = 0.15


@pytest.fixture
def slow(cluster: Cluster, slow_digits_image: str) -> Iterator[str]:
    """Yields the URL of a model whose floor stays at one replica."""
    yield from models.serving(
        cluster, models.slow_digits("replayed", slow_digits_image, maximum=MAX_REPLICAS, policy="fixed")
    )


def test_simulated_knative_runs_as_many_replicas_as_the_real_one(cluster: Cluster, slow: str) -> None:
    arrivals = _arrivals()
    horizon = float(sum(seconds for seconds, _ in PHASES))
    address, headers = cluster.address(slow)
    path, body = f"{address}/v2/models/replayed/infer", inference(held_out_samples(1)[0])

    with Watched(cluster, "replayed") as watched, replay(path, body, headers, arrivals.tolist()) as outcome:
        outcome.wait(at_most_seconds=horizon + 60)
    real = watched.scales(outcome.began_at)
    run = _simulated(arrivals, horizon, real.cold_start_seconds())

    assert set(outcome.codes) == {200}, outcome
    seconds = np.arange(5, horizon)
    wanted, simulated = real.wanted_at(seconds), timeline.wanted_at(run, seconds)
    apart = timeline.deviation(wanted, simulated)
    print(f"cold start {real.cold_start_seconds():.1f} s; {apart}")
    print("real     ", *wanted.astype(int))
    print("simulated", *simulated.astype(int))
    assert wanted.max() >= 4
    assert abs(apart.peak_replicas) <= 1
    assert apart.mean_replicas <= MEAN_ERROR_REPLICAS
    assert abs(apart.replica_seconds_ratio - 1) <= REPLICA_SECONDS_ERROR


def _arrivals() -> np.ndarray:
    """Evenly spaced within a phase: the panic window here is one second, in which chance is most of a Poisson load."""
    times: list[float] = []
    begin = 0.0
    for seconds, rate in PHASES:
        times.extend(begin + (np.arange(int(seconds * rate)) + 0.5) / rate)
        begin += seconds
    return np.array(times)


def _simulated(arrivals: np.ndarray, horizon: float, cold_start_seconds: float) -> Run:
    configured = SETTINGS["config-autoscaler"]
    stable, grace = (int(configured[key].removesuffix("s")) for key in ("stable-window", "scale-to-zero-grace-period"))
    settings = Settings(target=0.7, total=1.0, stable_window_seconds=stable)
    zero = ZeroSettings(enabled=False, stable_window_seconds=stable, grace_seconds=grace)
    workload = Workload(arrivals, np.full(len(arrivals), SERVICE_SECONDS), horizon)
    service = Service(concurrency=1, cold_start=Deterministic(cold_start_seconds), max_replicas=MAX_REPLICAS)
    return simulate(workload, service, Knative(settings, MAX_REPLICAS, zero=zero), None, np.random.default_rng(0))
