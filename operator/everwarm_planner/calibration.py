"""What theory plans against what was attained: a slow integrator. Pure.

The staffing plans that a part of the requests is late: `allowance` times what the objective allows. Forecasts that are
wrong, replicas that start and bursts make others late; formulas are approximations. So the allowance moves until what
is attained is the objective, no less and no more:

    d ln(allowance) / dt  =  (1 - late / (1 - objective)) x rate / mean rate / slowness

Requests count, not minutes: a busy hour moves it more. It is an integrator, so what was late in a burst is made up
for, and it is slow, so it does not chase one.
"""

import math
from dataclasses import dataclass

_LONGEST_SECONDS = 60.0  # between two observations that are believed to tell of all the time between
_MOST_WEIGHT = 4.0  # times the mean rate


@dataclass(frozen=True, slots=True)
class Calibration:
    """The integrator's parameters.

    Attributes:
        start: the allowance before anything was attained: rather too many replicas on the first day than too few.
        least, most: what it stays within: what no number of replicas could have met must not ask for any number.
        slowness_seconds: with nothing late at all, it grows e-fold in this time.
        reserve: part of what may be late that is left for what comes after the last look.
    """

    start: float = 0.1
    least: float = 0.005
    most: float = 8.0
    slowness_seconds: float = 2 * 3600.0
    reserve: float = 0.15

    def step(self, allowance: float, late: float, allowed: float, passed_seconds: float, weight: float) -> float:
        """The allowance after some time.

        Args:
            allowance: before.
            late: part of the requests that were answered late, 0 to 1.
            allowed: what the objective leaves, 0 to 1.
            passed_seconds: since the last step.
            weight: rate of requests over their mean rate.
        """
        passed = min(max(passed_seconds, 0.0), _LONGEST_SECONDS) * min(weight, _MOST_WEIGHT)
        change = (1 - late / (allowed * (1 - self.reserve))) * passed / self.slowness_seconds
        return min(max(allowance * math.exp(change), self.least), self.most)
