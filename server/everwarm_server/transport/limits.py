"""How long and how large a client may be: a connection's phase and bytes, seen now and then, in; overdue or not out.

A deadline that is set and cleared for each request is a timer for each request, 2 us of a small one's 100. Instead the
listener looks at all its connections once a second; what is found in the same phase of the same request as before has
been in it for at least as long.
"""

import resource
from dataclasses import dataclass
from enum import Enum
from typing import Final

TIMERS_PER_LIMIT: Final = 4  # looks within the shortest limit
KEPT_FILES: Final = 128  # for the model, metrics and the listening sockets
FULL: Final = 0.9  # of the connections that there may be, from where on idle ones make room
ROOMY: Final = 0.75  # until where


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may take.

    Attributes:
        head_seconds: from a request's first byte to the end of its headers.
        head_bytes: of the line of the request and its headers together.
        head_fields: headers of a request.
        body_seconds: that a body may take, whatever its size, besides ...
        body_bytes_per_second: ... a second for as many bytes.
        unread_seconds: that an answer may lie here while the client takes nothing of it; besides, the whole of it a
            second for `body_bytes_per_second`.
        idle_seconds: without a request. Longer than the 90 s after which Go's clients (Knative's queue-proxy) close an
            idle connection: if we closed first, a request might be on its way.
        connections: at once, on one port.
    """

    head_seconds: float = 10.0
    head_bytes: int = 65536
    head_fields: int = 100
    body_seconds: float = 10.0
    body_bytes_per_second: int = 4096
    unread_seconds: float = 30.0
    idle_seconds: float = 120.0
    connections: int = 10_000

    @property
    def look_seconds(self) -> float:
        """How often to look: once a second, more often for limits that are shorter than a few."""
        shortest = min(self.head_seconds, self.body_seconds, self.unread_seconds, self.idle_seconds)
        return min(1.0, shortest / TIMERS_PER_LIMIT)


def most_connections() -> int:
    """How many the kernel lets this process have, less what it needs for itself."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 10**9 if soft == resource.RLIM_INFINITY else max(1, soft - KEPT_FILES)


class Phase(Enum):
    """What a connection waits for."""

    IDLE = "a request"
    HEAD = "the rest of a request's headers"
    BODY = "the rest of a request's body"
    ANSWER = "our answer, which takes what it takes"


class Patience:
    """How long a connection has been in its phase, and how long its answers lay unread. Times by any one clock."""

    __slots__ = ("_most_unread_bytes", "_phase", "_phase_since", "_taken_at", "_unread_bytes", "_unread_since")

    def __init__(self) -> None:
        self._phase: Phase | None = None
        self._phase_since = self._unread_since = self._taken_at = 0.0
        self._unread_bytes = self._most_unread_bytes = 0

    def restart(self) -> None:
        """Something came that was waited for, such as another request."""
        self._phase = None

    def is_over(self, phase: Phase, message_bytes: int, now_seconds: float, limits: Limits) -> bool:
        """Whether a phase has lasted too long; `message_bytes` of the request have come."""
        if phase is not self._phase:
            self._phase, self._phase_since = phase, now_seconds
        waited_seconds = now_seconds - self._phase_since
        if phase is Phase.IDLE:
            return waited_seconds >= limits.idle_seconds
        if phase is Phase.HEAD:
            return waited_seconds >= limits.head_seconds
        if phase is Phase.BODY:
            return waited_seconds >= limits.body_seconds + message_bytes / limits.body_bytes_per_second
        return False

    def idle_seconds(self, now_seconds: float) -> float:
        """How long it has been seen idle."""
        return now_seconds - self._phase_since if self._phase is Phase.IDLE else 0.0

    def is_unread(self, unread_bytes: int, now_seconds: float, limits: Limits) -> bool:
        """Whether the client takes nothing of what was written for it, or too little, for too long."""
        if not unread_bytes or not self._most_unread_bytes:
            self._unread_since = now_seconds
            self._most_unread_bytes = 0
        if not unread_bytes or unread_bytes < self._unread_bytes or not self._most_unread_bytes:
            self._taken_at = now_seconds
        self._unread_bytes = unread_bytes
        self._most_unread_bytes = max(self._most_unread_bytes, unread_bytes)
        allowed_seconds = limits.unread_seconds + self._most_unread_bytes / limits.body_bytes_per_second
        return unread_bytes > 0 and (
            now_seconds - self._taken_at >= limits.unread_seconds or now_seconds - self._unread_since >= allowed_seconds
        )
