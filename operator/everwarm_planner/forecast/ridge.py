"""A linear mix of the last minutes, the time of day and yesterday, learned as it goes. Ridge regression.

The sums that least squares needs are kept with exponential forgetting; each minute does one sweep of Gauss and Seidel
over the normal equations, which for a ridge (symmetric, positive definite) comes to their solution. So no minute costs
more than another, as that of a daily refit would.
"""

import math
import operator
from dataclasses import dataclass

from everwarm_planner.forecast.base import State, Step
from everwarm_planner.forecast.past import Past

_FEATURES = 6
_SUMS = _FEATURES * _FEATURES
_NAIVE = (0.0, 1.0, 0.0, 0.0, 0.0, 0.0)  # the weights before anything is learned: the last minute
_LEARNED = _SUMS + 2 * _FEATURES  # sums, moments and weights; what waits for its outcome follows
_MOST = 10.0  # times what was seen before: one spike of a hundred times must not be all that the sums remember


@dataclass(frozen=True, slots=True)
class Ridge:
    """Recursive ridge regression.

    Attributes:
        half_life_minutes: after which a minute weighs half; a day.
        penalty: pulls the weights to those of the naive forecast, in minutes of evidence.
    """

    half_life_minutes: float = 1440.0
    penalty: float = 2.0
    name: str = "a mix that was learned"

    def step(self, state: State, past: Past, horizon_minutes: int) -> Step:
        """Learn from the features that were seen a horizon ago, then apply to those of now."""
        now = _features(past, horizon_minutes)
        learned = state[:_LEARNED] or (0.0,) * (_SUMS + _FEATURES) + _NAIVE
        waiting = state[_LEARNED:]
        if len(waiting) >= _FEATURES * horizon_minutes:
            begin = len(waiting) - _FEATURES * horizon_minutes
            reached = max(past.rates[-horizon_minutes:])
            learned = self._learn(learned, waiting[begin : begin + _FEATURES], reached)
        waiting = (*waiting, *now)[-_FEATURES * horizon_minutes :]
        weights = learned[_SUMS + _FEATURES :]
        peak = sum(weight * feature for weight, feature in zip(weights, now, strict=True))
        return Step(learned + waiting, max(0.0, peak))

    def _learn(self, learned: State, features: State, reached: float) -> State:
        scale = features[1] + features[3]  # so that a busy hour does not outweigh a quiet one
        if math.isnan(sum(features) + reached) or scale <= 0:
            return learned
        kept = 0.5 ** (1 / self.half_life_minutes)
        x = [feature / scale for feature in features]
        y = min(reached / scale, _MOST)
        sums = [kept * old + a * b for old, (a, b) in zip(learned, ((a, b) for a in x for b in x), strict=False)]
        moments = [kept * old + a * y for old, a in zip(learned[_SUMS:], x, strict=False)]
        weights = list(learned[_SUMS + _FEATURES :])
        for i in range(_FEATURES):
            row = sums[i * _FEATURES : (i + 1) * _FEATURES]
            others = sum(map(operator.mul, row, weights)) - row[i] * weights[i]
            weights[i] = (moments[i] + self.penalty * _NAIVE[i] - others) / (row[i] + self.penalty)
        return (*sums, *moments, *weights)


def _features(past: Past, horizon_minutes: int) -> State:
    """Rates per second, and 1 (one request a second, so that the mix is no line through the origin)."""
    lately = past.mean(20)
    usual, yesterday = past.usual(horizon_minutes), past.yesterday(horizon_minutes)
    return (
        1.0,
        past.last,
        past.mean(5),
        lately,
        lately if math.isnan(usual) else usual,
        lately if math.isnan(yesterday) else yesterday,
    )
