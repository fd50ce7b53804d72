"""What the planner remembers of one service between two decisions: it survives a trip through JSON.

Nothing here is precious: without it, or with one that can't be read, the planner starts again from the floor that
stands.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Memory:
    """The state of one service.

    Attributes:
        floor: replicas kept warm now.
        low_since_seconds: since when utilisation has been low without a hole; `None` while it is not, or is not known.
        observed_at_seconds: when the last complete observation was read; `None` before the first.
    """

    floor: int
    low_since_seconds: float | None = None
    observed_at_seconds: float | None = None

    @classmethod
    def start(cls, floor: int) -> Self:
        """Know nothing but the floor that stands (replicas)."""
        return cls(floor=floor)

    def to_dict(self) -> dict[str, int | float | None]:
        """Values that JSON can carry, named as in a Kubernetes status."""
        return {
            "floor": self.floor,
            "lowSinceSeconds": self.low_since_seconds,
            "observedAtSeconds": self.observed_at_seconds,
        }

    @classmethod
    def from_dict(cls, content: object, floor: int) -> Self:
        """Read what `to_dict` wrote; anything else (another version's, a person's edit) gives `start(floor)`.

        Keys that are not known are ignored. A memory that is wrong in one value is wrong as a whole: half of one could
        end a low-utilisation window early.
        """
        if not isinstance(content, Mapping):
            return cls.start(floor)
        times = [content.get("lowSinceSeconds"), content.get("observedAtSeconds")]
        remembered = content.get("floor")
        if type(remembered) is not int or remembered < 0 or not all(_is_time(time) for time in times):
            return cls.start(floor)
        low_since, observed_at = (None if time is None else float(time) for time in times)
        return cls(remembered, low_since, observed_at)


def _is_time(value: object) -> bool:
    """Whether it is a finite number or nothing; JSON has true and 1e999 too."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value))


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that no float can hold
        return False
