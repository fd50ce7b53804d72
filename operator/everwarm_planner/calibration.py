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
        start: the allowance before anything was attained: half of what may be late is left to the rest.
        least, most: what it stays within; at the least, staffing plans for a twentieth of what is allowed.
        slowness_seconds: with nothing late at all, it grows e-fold in this time.
    """

    start: float = 0.5
    least: float = 0.05
    most: float = 8.0
    slowness_seconds: float = 6 * 3600.0

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
        change = (1 - late / allowed) * passed / self.slowness_seconds
        return min(max(allowance * math.exp(change), self.least), self.most)
