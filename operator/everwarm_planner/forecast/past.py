"""The past of one service's rate: the last hour by the minute, the last week by ten minutes. Values in, new values out.

What was not measured is nan, never zero. The week gives a time-of-day profile: the mean of the same time on the days
before, each with its neighbours. It follows UTC; a clock change moves the traffic by an hour, and the profile after it
within days.
"""

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

MINUTE_SECONDS = 60
RECENT_MINUTES = 60
SLOT_MINUTES = 10  # fine enough for a morning's rise, coarse enough that its own noise is small
_DAY_SLOTS = 24 * 60 // SLOT_MINUTES
_DAYS = 7  # each weekday once
_WEEK_SLOTS = _DAYS * _DAY_SLOTS
_LEAST_DAYS = 2  # one day is no pattern
_LEAST_MINUTES = SLOT_MINUTES // 2  # of a slot, that its mean stands for it
_AHEAD = range(-1, 4)  # slots around now whose profile is kept, for horizons of up to 20 minutes


@dataclass(frozen=True, slots=True)
class Past:
    """The rates, per second.

    Attributes:
        minute: the last one that is recorded, counted from 1970.
        rates: of the last minutes, the newest last; nan where nothing was measured.
        slots: means of the last week's ten-minute slots, by their number modulo a week; 4 kB.
        slot_sum, slot_count: of the minutes of the slot that is not over yet.
        profile: of the slots around now.
        level: mean rate of the last days (half of it is of the last 17 hours); nan until a slot is over.
        seen: slots in it.
    """

    minute: int
    rates: tuple[float, ...]
    slots: "array[float]" = field(default_factory=lambda: array("f", [math.nan]) * _WEEK_SLOTS)
    slot_sum: float = 0.0
    slot_count: int = 0
    profile: tuple[float, ...] = (math.nan,) * len(_AHEAD)
    level: float = math.nan
    seen: int = 0

    @classmethod
    def begin(cls, minute: int, rate: float) -> "Past":
        """Know one minute."""
        known = not math.isnan(rate)
        return cls(minute, (rate,), slot_sum=rate if known else 0.0, slot_count=int(known))

    def record(self, minute: int, rate: float) -> "Past":
        """Add a minute that is over; those that were left out since the last are not known.

        Raises:
            ValueError: the minute is not later than the last.
        """
        if minute <= self.minute:
            raise ValueError(f"minute {minute} does not come after {self.minute}")
        left_out = min(minute - self.minute - 1, RECENT_MINUTES)
        rates = (*self.rates, *(math.nan,) * left_out, rate)[-RECENT_MINUTES:]
        known = not math.isnan(rate)
        slot, now = self.minute // SLOT_MINUTES, minute // SLOT_MINUTES
        if now == slot:
            total, count = (self.slot_sum + rate, self.slot_count + 1) if known else (self.slot_sum, self.slot_count)
            return replace(self, minute=minute, rates=rates, slot_sum=total, slot_count=count)
        slots = array("f", self.slots)
        over = self.slot_sum / self.slot_count if self.slot_count >= _LEAST_MINUTES else math.nan
        slots[slot % _WEEK_SLOTS] = over
        level, seen = self.level, self.seen
        if not math.isnan(over):
            seen += 1
            level = over if seen == 1 else level + (over - level) * max(1 / seen, 1 / _DAY_SLOTS)
        for skipped in range(max(slot + 1, now - _WEEK_SLOTS), now):
            slots[skipped % _WEEK_SLOTS] = math.nan
        if now == slot + 1:
            profile = (*self.profile[1:], _profile(slots, now + _AHEAD[-1], now))
        else:
            profile = tuple(_profile(slots, now + ahead, now) for ahead in _AHEAD)
        return Past(minute, rates, slots, rate if known else 0.0, int(known), profile, level, seen)

    @property
    def last(self) -> float:
        """The rate of the newest minute; nan if it was not measured."""
        return self.rates[-1]

    def mean(self, minutes: int) -> float:
        """Of the newest minutes, as far as they were measured; nan if none was."""
        return _mean(self.rates[-minutes:])

    def usual(self, ahead_minutes: int) -> float:
        """The profile at the minute that is so far ahead (0: the newest recorded one, at most 20); nan: not known."""
        place = (self.minute + ahead_minutes + 0.5) / SLOT_MINUTES - 0.5
        whole = math.floor(place)
        index = whole - self.minute // SLOT_MINUTES - _AHEAD[0]
        before, after = self.profile[index], self.profile[index + 1]
        return before + (after - before) * (place - whole)

    def yesterday(self, ahead_minutes: int) -> float:
        """The mean of the slot a day before the minute that is so far ahead; nan: not known."""
        slot = (self.minute + ahead_minutes) // SLOT_MINUTES
        return self.slots[(slot - _DAY_SLOTS) % _WEEK_SLOTS]


def _profile(slots: "array[float]", slot: int, now: int) -> float:
    """The mean of this time of day over the days before; a slot that is not over is not in it."""
    days = 0
    values = []
    for day in range(1, _DAYS + 1):
        middle = slot - day * _DAY_SLOTS
        found = [
            slots[near % _WEEK_SLOTS] for near in (middle - 1, middle, middle + 1) if now - _WEEK_SLOTS <= near < now
        ]
        found = [value for value in found if value == value]
        days += bool(found)
        values.extend(found)
    return math.fsum(values) / len(values) if days >= _LEAST_DAYS else math.nan


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan
