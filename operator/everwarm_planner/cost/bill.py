"""A bill: what was paid for, item by item, in USD. Items of several bills add up by their names."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Bill:
    """Items and what each costs in USD, for the span of the usage that it was made from."""

    items_usd: Mapping[str, float]

    @property
    def total_usd(self) -> float:
        """All items together."""
        return math.fsum(self.items_usd.values())

    def __add__(self, other: "Bill") -> "Bill":
        names = [*self.items_usd, *(name for name in other.items_usd if name not in self.items_usd)]
        return of({name: self.items_usd.get(name, 0.0) + other.items_usd.get(name, 0.0) for name in names})


def of(items_usd: Mapping[str, float]) -> Bill:
    """A bill that nobody can change any more."""
    return Bill(MappingProxyType(dict(items_usd)))


def break_even_requests(per_request_usd: float, fixed_usd: float, other_usd: float) -> float:
    """At how many requests something that costs per request, on top of what is fixed, costs as much as something else.

    Infinite where requests cost nothing; 0 where the fixed part alone is as much.
    """
    if other_usd <= fixed_usd:
        return 0.0
    return (other_usd - fixed_usd) / per_request_usd if per_request_usd > 0 else math.inf
