"""What replicas used of memory -> how much to ask for. Pure.

After the recommender of the Vertical Pod Autoscaler (kubernetes/autoscaler vertical-pod-autoscaler/pkg/recommender):
for memory it keeps the peaks of the last eight days, one a day, whose weight halves each day; aims at their 90th
percentile; adds 15 %; and never asks for less than 250 Mi. What ran out of memory counts 20 % (at least 100 Mi) more
than it had. A model's replicas are alike, so their highest peak counts; unlike upstream's histogram, whose buckets are
5 % wide, eight numbers are kept as they are.
"""

import math
from dataclasses import dataclass

_DAY_SECONDS = 86_400.0
_DAYS = 8  # upstream's memory aggregation interval count
_HALF_LIFE_DAYS = 1.0
_PART = 0.9
_MARGIN = 1.15
_LEAST_BYTES = 250 * 2**20
_MOST_BYTES = 2.0**60  # no machine has that; a figure over it is a broken one
_OUT_OF_MEMORY = (1.2, 100 * 2**20)  # factor, and bytes at least, over what was not enough
_ROUND_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class MemoryPeaks:
    """The highest use of any replica, by day; small enough for a Kubernetes status.

    Attributes:
        peaks: (day since 1970, bytes), oldest first, at most eight.
    """

    peaks: tuple[tuple[int, float], ...] = ()

    def seen(self, at_seconds: float, used_bytes: float) -> "MemoryPeaks":
        """With what the largest replica used at this unix time; a figure that can't be is left out."""
        if not 0 < used_bytes < _MOST_BYTES:
            return self
        day = int(at_seconds // _DAY_SECONDS)
        before = dict(self.peaks)
        before[day] = max(used_bytes, before.get(day, 0.0))
        kept = sorted(pair for pair in before.items() if pair[0] > max(before) - _DAYS)
        return MemoryPeaks(tuple(kept))

    def out_of_memory(self, at_seconds: float, limit_bytes: float) -> "MemoryPeaks":
        """With a replica that was ended because its limit was not enough."""
        factor, least = _OUT_OF_MEMORY
        return self.seen(at_seconds, max(limit_bytes * factor, limit_bytes + least))


@dataclass(frozen=True, slots=True)
class MemoryRecommendation:
    """What to ask for, in whole mebibytes, and why."""

    request_bytes: int
    sentence: str


def recommend(peaks: MemoryPeaks, requested_bytes: int | None) -> MemoryRecommendation | None:
    """The recommendation; `None` before the first measurement.

    Args:
        peaks: what was used.
        requested_bytes: what is asked for now, for the sentence.
    """
    if not peaks.peaks:
        return None
    today = peaks.peaks[-1][0]
    weighted = sorted((used, 2 ** ((day - today) / _HALF_LIFE_DAYS)) for day, used in peaks.peaks)
    goal = _PART * math.fsum(weight for _, weight in weighted)
    reached, chosen = 0.0, weighted[-1][0]
    for used, weight in weighted:
        reached += weight
        if reached >= goal * (1 - 1e-12):
            chosen = used
            break
    wanted = math.ceil(max(_LEAST_BYTES, chosen * _MARGIN) / _ROUND_BYTES) * _ROUND_BYTES
    days = "day" if len(peaks.peaks) == 1 else f"{len(peaks.peaks)} days"
    cause = f"The daily peaks of the last {days} reach {_mebibytes(chosen)} nine times in ten"
    asked = "" if requested_bytes is None else f" instead of {_mebibytes(requested_bytes)}"
    return MemoryRecommendation(wanted, f"{cause}: with 15 % to spare, ask for {_mebibytes(wanted)}{asked}.")


def _mebibytes(count: float) -> str:
    return f"{math.ceil(count / _ROUND_BYTES)} Mi"
