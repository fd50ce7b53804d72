"""How far above a forecast the truth was, lately, and how often: the part of a forecast that is not a guess.

Split conformal prediction over a window that moves: the score of a minute is

    (reached - expected) / sqrt(expected)            in requests per minute

and the upper end of a forecast is expected + quantile x sqrt(expected). A square root scales as the noise of counts
does; of the scales that were tried it covered best, over quiet and busy hours alike. Scores are kept in a histogram
whose buckets are as wide as 10 % of a score (0.1 near zero) and whose weights halve in a day: the mean age of what
counts is that of a window of three days, in 1.6 kB instead of 35. A score is known a horizon after its forecast.
"""

import math
from array import array
from dataclasses import dataclass, field

_SIDE = 100  # buckets on each side of zero: scores of up to 11,000
_WIDTH = 0.1
_GROWTH = 2 ** (1 / 1440)  # of the weight of a score, by the minute: half in a day, so its mean age is 1.44 days
_LEAST_PER_SECOND = 1 / 60  # under a request a minute, the noise is that of one
_LARGEST_WEIGHT = 2.0**60  # then all weights are divided by it, so that none overflows


@dataclass(frozen=True, slots=True)
class Scores:
    """A histogram of scores.

    Attributes:
        weights: by bucket, lowest score first.
        unit: what a score of now weighs; it grows instead of all others shrinking.
        total: of all weights.
        count: scores that were ever added.
        top: the highest bucket that is not empty.
    """

    weights: "array[float]" = field(default_factory=lambda: array("d", bytes(8 * (2 * _SIDE + 1))))
    unit: float = 1.0
    total: float = 0.0
    count: int = 0
    top: int = -1

    def add(self, score: float) -> "Scores":
        """One more, a minute after the last."""
        weights, unit, total = array("d", self.weights), self.unit, self.total
        if unit > _LARGEST_WEIGHT:
            weights = array("d", [weight / unit for weight in weights])
            unit, total = 1.0, total / unit
        bucket = _bucket(score)
        weights[bucket] += unit
        return Scores(weights, unit * _GROWTH, total + unit, self.count + 1, max(bucket, self.top))

    def quantile(self, part: float) -> float:
        """The score that this part of all does not exceed, as if even within a bucket; 0 without any score."""
        beyond = (1 - part) * self.total
        seen = 0.0
        weights = self.weights
        for bucket in range(self.top, -1, -1):
            weight = weights[bucket]
            if seen + weight > beyond:
                return math.sinh((bucket - _SIDE + 0.5 - (beyond - seen) / weight) * _WIDTH)
            seen += weight
        return 0.0


def scale(per_second: float) -> float:
    """What a score is in units of, per second, at this expectation: the noise of Poisson counts of a minute."""
    return math.sqrt(max(per_second, _LEAST_PER_SECOND) / 60)


def _bucket(score: float) -> int:
    return min(max(round(math.asinh(score) / _WIDTH), -_SIDE), _SIDE) + _SIDE
