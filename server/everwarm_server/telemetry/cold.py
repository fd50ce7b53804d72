"""Which requests found no warm replica: unix seconds of a request and of readiness in, yes or no out."""

import math
from typing import Final

GRACE_SECONDS: Final = 0.5  # a proxy that held a request for this replica sends it within this time
OLDEST_SECONDS: Final = 600.0  # no proxy holds a request for longer: such a header is of another unit or clock
SKEW_SECONDS: Final = 1.0  # by which the proxy's clock may be ahead of ours


def request_start(header: bytes | None, arrival_seconds: float) -> float | None:
    """When the request reached the first proxy, by its header `X-Request-Start: t=<unix seconds>`.

    None without the header, or if it can't be true: later than the arrival, or more than ten minutes earlier.
    """
    if header is None:
        return None
    try:
        start = float(header.strip().removeprefix(b"t="))
    except ValueError:
        return None
    if not math.isfinite(start) or not -SKEW_SECONDS <= arrival_seconds - start <= OLDEST_SECONDS:
        return None
    return start


def found_no_warm_replica(header: bytes | None, arrival_seconds: float, ready_seconds: float) -> bool:
    """Whether a request had to wait for this replica to become ready.

    With a sound header: it started before readiness. Without one: it arrived before, and waited here; or within half a
    second after readiness, as what was waiting for this replica does.
    """
    start = request_start(header, arrival_seconds)
    if start is not None:
        return start < ready_seconds
    return -OLDEST_SECONDS <= arrival_seconds - ready_seconds <= GRACE_SECONDS
