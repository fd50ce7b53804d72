"""A recorded past -> experts that know it: for after a restart, from one range query. Values in, values out.

The week goes into the profile, which is cheap. The forecasters run over the last day alone, and only where the series
is by the minute: means of longer intervals would teach them less noise than there is.
"""

import math

from everwarm_planner.forecast.experts import Experts
from everwarm_planner.forecast.past import MINUTE_SECONDS, Past
from everwarm_planner.history import Series

_RUN_MINUTES = 1440


def seeded(series: Series, part: float, horizon_minutes: int) -> Experts | None:
    """The experts at the end of the series; `None` where it holds nothing."""
    rates = series.rates_per_second
    minutes = int(len(rates) * series.step_seconds // MINUTE_SECONDS)
    if minutes == 0:
        return None
    first = math.ceil(series.begin_seconds / MINUTE_SECONDS)

    def rate(number: int) -> float:
        return rates[min(int(number * MINUTE_SECONDS / series.step_seconds), len(rates) - 1)]

    by_minute = series.step_seconds <= MINUTE_SECONDS
    silent = max(0, minutes - _RUN_MINUTES) if by_minute else minutes
    past = Past.begin(first, rate(0))
    for number in range(1, silent):
        past = past.record(first + number, rate(number))
    experts = Experts(past)
    for number in range(max(1, silent), minutes):
        experts = experts.record(first + number, rate(number), part, horizon_minutes)
    return experts
