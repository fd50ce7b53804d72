"""Figures with their intervals, as people read them. Values in, text out."""

import math

from everwarm_simulator.report import Interval


def around(figure: Interval, factor: float = 1.0) -> str:
    """`11.4 ±2.5`; without the second where one seed tells nothing of the others, `never` where it is infinite."""
    if not math.isfinite(figure.mean):
        return "never"
    half = (figure.high - figure.mean) * factor
    return number(figure.mean * factor) + (f" ±{number(half, 2)}" if math.isfinite(half) and half > 1e-6 else "")


def around_seconds(figure: Interval) -> str:
    """A duration with its interval, in milliseconds up to ten seconds."""
    factor, unit = (1.0, " s") if figure.mean >= 10 else (1000.0, " ms")
    return around(figure, factor) + (unit if math.isfinite(figure.mean) else "")


def number(value: float, digits: int = 3) -> str:
    """Some significant digits, and never an exponent: `0.0185`, `11.4`, `1,060`."""
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    if places > 6:
        return "under 0.000001"
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
