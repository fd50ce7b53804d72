"""What the planner remembers of one service between two decisions: the small part survives a trip through JSON.

Nothing here is precious: without it, or with one that can't be read, the planner starts again from the floor that
stands.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from everwarm_planner.learned import Learned

_FIGURES = {
    "low_since_seconds": "lowSinceSeconds",
    "observed_at_seconds": "observedAtSeconds",
    "observing_since_seconds": "observingSinceSeconds",
    "changed_at_seconds": "changedAtSeconds",
    "spent_since_seconds": "spentSinceSeconds",
    "spent_usd": "spentUsd",
    "allowance": "allowance",
}


@dataclass(frozen=True, slots=True)
class Memory:
    """The state of one service; times are unix times.

    Attributes:
        floor: replicas kept warm now.
        low_since_seconds: since when utilisation has been low without a hole; `None` while it is not, or is not known.
        observed_at_seconds: when the last complete observation was read; `None` before the first.
        observing_since_seconds: since when there have been observations without a hole; `None` before the first.
        changed_at_seconds: when the floor moved last; `None` if it never did.
        spent_since_seconds: when the month began whose spending is counted.
        spent_usd: what the replicas of this month have cost so far.
        allowance: what the calibration on attained latencies has come to: the part of the requests that the staffing
            plans to be late, over what the objective allows; 1 before it has learned anything.
        learned: the long part, which stays in the process.
    """

    floor: int
    low_since_seconds: float | None = None
    observed_at_seconds: float | None = None
    observing_since_seconds: float | None = None
    changed_at_seconds: float | None = None
    spent_since_seconds: float | None = None
    spent_usd: float | None = None
    allowance: float | None = None
    learned: Learned | None = None

    @classmethod
    def start(cls, floor: int) -> Self:
        """Know nothing but the floor that stands (replicas)."""
        return cls(floor=floor)

    def to_dict(self) -> dict[str, int | float | None]:
        """The small part as values that JSON can carry, named as in a Kubernetes status; under 1 kB."""
        return {"floor": self.floor, **{key: getattr(self, name) for name, key in _FIGURES.items()}}

    @classmethod
    def from_dict(cls, content: object, floor: int) -> Self:
        """Read what `to_dict` wrote; anything else (another version's, a person's edit) gives `start(floor)`.

        Keys that are not known are ignored. A memory that is wrong in one value is wrong as a whole: half of one could
        end a low-utilisation window early.
        """
        if not isinstance(content, Mapping):
            return cls.start(floor)
        figures = {name: content.get(key) for name, key in _FIGURES.items()}
        remembered = content.get("floor")
        if type(remembered) is not int or remembered < 0 or not all(map(_is_figure, figures.values())):
            return cls.start(floor)
        known: dict[str, Any] = {name: float(value) for name, value in figures.items() if value is not None}
        return cls(remembered, **known)


def _is_figure(value: object) -> bool:
    """Whether it is a finite number or nothing; JSON has true and 1e999 too."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value))


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that no float can hold
        return False
