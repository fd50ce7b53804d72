"""Durations as people write them (`300ms`, `2s`, `5m`, `14d`) -> seconds."""

import math
import re

_UNITS_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)", re.ASCII)


def seconds(text: str | float) -> float:
    """Read a duration; a bare number is seconds.

    Raises:
        ValueError: it is no duration, or it is zero; the text says what one looks like.
    """
    match = _DURATION.fullmatch(str(text).strip())
    value = float(match[1]) * _UNITS_SECONDS[match[2]] if match else math.nan
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{text!r} is no duration over zero; write for example 300ms, 2s or 5m")
    return value
