"""Knative's pod autoscaler as one loop: what is reported each second goes in, replicas to run come out. No clock.

Puts the parts together as Knative's processes do: averages (`buckets`), the decision (`kpa`), and what becomes of it
(`kpa_scale`). What queue-proxies and activator report is taken as complete and undisturbed. A first request at zero
replicas is reported at once, as one request in flight, and taken off the next report.
"""

from everwarm_planner.policies import kpa, kpa_scale
from everwarm_planner.policies.buckets import Buckets
from everwarm_planner.policies.kpa_scale import Activity, Phase, ZeroSettings


class Loop:
    """A PodAutoscaler of class kpa. `initial_replicas` are ready when it starts."""

    def __init__(
        self,
        settings: kpa.Settings,
        max_replicas: int,
        initial_replicas: int = 1,
        zero: ZeroSettings | None = None,
        begin_seconds: float = 0.0,
    ) -> None:
        self._settings = settings
        self._zero = zero or ZeroSettings(stable_window_seconds=settings.stable_window_seconds)
        self._max_replicas = max_replicas
        self._stable = Buckets(settings.stable_window_seconds)
        self._panic = Buckets(settings.panic_window_seconds)
        self._state = kpa.State.start(begin_seconds, initial_replicas)
        self._activity = Activity(Phase.ACTIVE if initial_replicas else Phase.INACTIVE, begin_seconds)
        self._desired: int | None = None
        self._excess = -1
        self._ready = initial_replicas
        self._reported_early = 0.0

    def report(self, at_seconds: float, concurrency: float, ready: int) -> None:
        """The mean number of requests in flight over the second that ends now; without pods nobody reports a zero."""
        if self._ready > 0 or ready > 0 or concurrency > 0:
            self._record(at_seconds, max(0.0, concurrency - self._reported_early))
        self._reported_early = 0.0

    def poke(self, at_seconds: float) -> None:
        """A request came while no replica ran; `decide` at once."""
        self._record(at_seconds, 1.0)
        self._reported_early = 1.0

    def decide(self, at_seconds: float, ready: int, running: int, floor: int) -> int:
        """The replicas to run, the floor as min-scale included; `running`, those asked for, where nothing shall change.

        Upstream decides every two seconds, after that second was reported.
        """
        self._ready = ready
        stable = None if self._stable.empty(at_seconds) else self._stable.average(at_seconds)
        sample = kpa.Sample(at_seconds, stable, self._panic.average(at_seconds), ready)
        result, self._state = kpa.step(self._settings, self._state, sample)
        if result.replicas is not None:
            self._desired, self._excess = result.replicas, result.excess_burst_capacity
        bounds = kpa_scale.Bounds(floor, self._max_replicas)
        target = kpa_scale.target(self._zero, bounds, self._activity, at_seconds, self._desired)
        self._activity = kpa_scale.next_activity(self._activity, at_seconds, target, ready, self._excess, floor)
        return target.replicas if target.applied and target.replicas is not None else running

    def _record(self, at_seconds: float, value: float) -> None:
        self._stable = self._stable.record(at_seconds, value)
        self._panic = self._panic.record(at_seconds, value)
