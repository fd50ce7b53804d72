"""A header `traceparent` in, whose trace it is and whether its spans are wanted out: W3C Trace Context, level 2.

The samplers are those that OpenTelemetry names in OTEL_TRACES_SAMPLER. They are a comparison each, made here so that
nothing of OpenTelemetry is imported before a span is to be sent.
"""

import random
import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

# Versions after 00 may have more after a dash; ff is none.
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)
_SAMPLED: Final = 0x01
_LOWER_HALF: Final[int] = 2**64  # of a trace's id: what OpenTelemetry's SDKs compare


class Parent(NamedTuple):
    """Who asked us, as far as traces go."""

    trace_id: int
    span_id: int
    sampled: bool


def parse(traceparent: bytes | None) -> Parent | None:
    """The parent; None without a header, or if it is not one."""
    match = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent.strip())
    if match is None or (match[1] == b"00" and match[5] is not None):
        return None
    return Parent(int(match[2], 16), int(match[3], 16), bool(int(match[4], 16) & _SAMPLED))


class Trace(NamedTuple):
    """A request whose spans are wanted: the trace, the request's own span and, if there is one, its parent's."""

    trace_id: int
    span_id: int
    parent_id: int | None

    @property
    def trace_hex(self) -> str:
        """The trace's id as logs and metrics show it."""
        return f"{self.trace_id:032x}"


@dataclass(frozen=True, slots=True)
class Sampler:
    """Decides which requests get spans.

    Attributes:
        ratio: of the traces that begin here.
        heeds_parent: whether a parent's flag decides, where there is one.
    """

    ratio: float = 1.0
    heeds_parent: bool = True
    ids: random.Random = field(default_factory=random.Random)

    def begin(self, traceparent: bytes | None) -> Trace | None:
        """The trace of a request that has arrived; None: its spans are not wanted."""
        parent = parse(traceparent)
        if parent is None:
            trace_id = self.ids.getrandbits(128) or 1
            return Trace(trace_id, self.span_id(), None) if self._samples(trace_id) else None
        wanted = parent.sampled if self.heeds_parent else self._samples(parent.trace_id)
        return Trace(parent.trace_id, self.span_id(), parent.span_id) if wanted else None

    def span_id(self) -> int:
        """An id for a span; 0 would be none."""
        return self.ids.getrandbits(64) or 1

    def _samples(self, trace_id: int) -> bool:
        return trace_id % _LOWER_HALF < round(self.ratio * _LOWER_HALF)


class UnknownSampler(ValueError):
    """OTEL_TRACES_SAMPLER or its argument is not one that OpenTelemetry's specification has."""


def sampler(name: str, argument: str) -> Sampler:
    """The sampler by OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG; both may be empty.

    Raises:
        UnknownSampler: see there.
    """
    kind = name.strip().lower() or "parentbased_always_on"
    root = kind.removeprefix("parentbased_")
    ratios = {"always_on": 1.0, "always_off": 0.0}
    if root == "traceidratio":
        try:
            ratios[root] = float(argument or "1.0")
        except ValueError:
            ratios[root] = -1.0
    ratio = ratios.get(root, -1.0)
    if not 0.0 <= ratio <= 1.0:
        raise UnknownSampler(
            f"OTEL_TRACES_SAMPLER={name!r} with OTEL_TRACES_SAMPLER_ARG={argument!r} is no sampler; use always_on, "
            "always_off or traceidratio with a ratio from 0 to 1, each also with parentbased_ before it."
        )
    return Sampler(ratio, root != kind)
