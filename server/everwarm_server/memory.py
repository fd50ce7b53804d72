"""Which models leave when another needs room: what is loaded in, the least recently used of those not in use out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Resident(Generic[_T]):
    """A model in memory.

    Attributes:
        what: the model.
        size_bytes: what it takes.
        used_seconds: when it was asked last, by any clock.
        may_leave: whether it is neither in use nor pinned.
    """

    what: _T
    size_bytes: int
    used_seconds: float
    may_leave: bool


def leaving(residents: Iterable[Resident[_T]], needed_bytes: int, budget_bytes: int) -> list[_T] | None:
    """Who leaves so that `needed_bytes` more fit in the budget: the least recently used first, no more than it takes.

    None: it can't be made to fit, so nobody should leave for it.
    """
    present = list(residents)
    excess_bytes = sum(each.size_bytes for each in present) + needed_bytes - budget_bytes
    found = []
    for each in sorted(present, key=lambda resident: resident.used_seconds):
        if excess_bytes <= 0:
            break
        if each.may_leave and each.size_bytes > 0:
            found.append(each.what)
            excess_bytes -= each.size_bytes
    return found if excess_bytes <= 0 else None
