"""What a gRPC call brings besides its message: a client that may leave, a deadline, metadata."""

import math
import time
from collections.abc import Callable
from typing import Any, Final

from everwarm_server.dataplane import Arrival

TENANT: Final = "x-tenant-id"


class Caller:
    """The client of a call (see admission.Client)."""

    __slots__ = ("gone", "when_gone")

    def __init__(self) -> None:
        self.gone = False
        self.when_gone: Callable[[], None] | None = None

    def leave(self) -> None:
        """It has cancelled its call, or its connection has ended."""
        self.gone = True
        if self.when_gone is not None:
            self.when_gone()


def arrival(context: Any) -> Arrival:
    """When and how a call came, now."""
    now_seconds = time.perf_counter()
    metadata = dict(context.invocation_metadata() or ())
    left_seconds = context.time_remaining()
    return Arrival(
        monotonic_seconds=now_seconds,
        unix_seconds=time.time(),
        request_start=_bytes(metadata.get("x-request-start")),
        deadline_seconds=math.inf if left_seconds is None else now_seconds + left_seconds,
        tenant=str(metadata.get(TENANT, "")),
        traceparent=_bytes(metadata.get("traceparent")),
    )


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
