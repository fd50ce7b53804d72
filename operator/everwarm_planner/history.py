"""Requests per second over the past, as somebody else recorded it (Prometheus, a trace). Values only."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Series:
    """Mean rates of consecutive intervals.

    Attributes:
        begin_seconds: where the first interval begins, unix time.
        step_seconds: length of each; 60 is best, 300 is fine.
        rates_per_second: one per interval; nan where nothing was measured, which is not a zero.

    Raises:
        ValueError: an interval has no length, or a rate is negative or infinite.
    """

    begin_seconds: float
    step_seconds: float
    rates_per_second: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 0 < self.step_seconds < math.inf or not math.isfinite(self.begin_seconds):
            raise ValueError(f"a series can't begin at {self.begin_seconds} with steps of {self.step_seconds} s")
        wrong = [rate for rate in self.rates_per_second if rate < 0 or math.isinf(rate)]
        if wrong:
            raise ValueError(f"rates must be finite and not negative, not {wrong[0]}; nan marks what was not measured")
