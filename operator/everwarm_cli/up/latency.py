"""Latencies as counts in fine buckets: bounded memory for any number of requests, percentiles within 1 %."""

import math
from collections import Counter
from collections.abc import Mapping

_GROWTH = 1.02  # each bucket ends 2 % above where it begins
_SMALLEST_SECONDS = 1e-5

Buckets = Mapping[int, int]


def bucket(seconds: float) -> int:
    """The number of the bucket that a latency falls into."""
    return max(0, math.ceil(math.log(max(seconds, _SMALLEST_SECONDS) / _SMALLEST_SECONDS, _GROWTH)))


def difference(later: Buckets, earlier: Buckets) -> Buckets:
    """What was counted between two readings of the same counts."""
    return Counter(later) - Counter(earlier)


def _middle_seconds(number: int) -> float:
    middle: float = _SMALLEST_SECONDS * _GROWTH ** (number - 0.5)
    return middle


def quantile(buckets: Buckets, part: float) -> float | None:
    """The latency in seconds that `part` (0 to 1) of the requests stayed within; `None` without requests."""
    total = sum(buckets.values())
    if total == 0:
        return None
    rank, seen = math.ceil(part * total), 0
    for number in sorted(buckets):
        seen += buckets[number]
        if seen >= rank:
            return _middle_seconds(number)
    raise AssertionError("the ranks end before the counts do")


def part_over(buckets: Buckets, limit_seconds: float) -> float | None:
    """The part of the requests over a limit, 0 to 1; `None` without requests."""
    total = sum(buckets.values())
    if total == 0:
        return None
    return sum(count for number, count in buckets.items() if number > bucket(limit_seconds)) / total
