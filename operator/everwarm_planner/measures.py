"""What the traffic is like, apart from its rate; smoothed, since one window holds few requests. Values only."""

from dataclasses import dataclass

from everwarm_planner.observation import Observation
from everwarm_planner.queueing import Traffic

_SERVICE_SECONDS = 300.0  # a new version of a model shows within minutes
_SHAPE_SECONDS = 3600.0  # variance needs many more requests than a mean: 60 counts of a second give it to 20 %


@dataclass(frozen=True, slots=True)
class Measures:
    """The traffic of one service.

    Attributes:
        service_seconds: mean time that a request keeps a slot busy.
        service_variation: its variance over its squared mean.
        dispersion: variance over mean of the arrivals of a second.
    """

    service_seconds: float
    service_variation: float
    dispersion: float

    def traffic(self, rate_per_second: float) -> Traffic:
        """At a rate."""
        return Traffic(rate_per_second, self.service_seconds, self.service_variation, self.dispersion)


def measure(old: Measures | None, seen: Observation, assumed: Measures, passed_seconds: float) -> Measures | None:
    """What is known after an observation; `None` before the first request was answered.

    Args:
        old: what was known.
        seen: what was measured; figures that were not are kept, or taken from `assumed` at first.
        assumed: of traffic that nobody has measured.
        passed_seconds: since the last observation.
    """
    service = seen.service_seconds
    if not service:
        return old
    variation, dispersion = seen.service_variation, seen.dispersion
    if old is None:
        return Measures(
            service,
            assumed.service_variation if variation is None else variation,
            assumed.dispersion if dispersion is None else dispersion,
        )
    return Measures(
        _towards(old.service_seconds, service, passed_seconds / _SERVICE_SECONDS),
        _towards(old.service_variation, variation, passed_seconds / _SHAPE_SECONDS),
        _towards(old.dispersion, dispersion, passed_seconds / _SHAPE_SECONDS),
    )


def _towards(old: float, new: float | None, part: float) -> float:
    return old if new is None else old + min(max(part, 0.0), 1.0) * (new - old)
