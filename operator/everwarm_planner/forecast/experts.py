"""Several forecasters side by side: each is scored as it goes, and who was best lately is believed.

minute    -> each forecaster looks ahead; what it said a horizon ago is scored now
loss      pinball loss at the part that the upper end is meant to cover, rolling over a day: it weighs what is
          missed against what is wasted as the staffing does
gate      who was best is believed only while it beats doing without (the last minute's rate and not more), and
          while it misses no more than twice as often as it says
"""

import math
from dataclasses import dataclass, field

from everwarm_planner.forecast import conformal
from everwarm_planner.forecast.base import Forecaster, State
from everwarm_planner.forecast.conformal import Scores
from everwarm_planner.forecast.ewma import Ewma
from everwarm_planner.forecast.naive import Naive
from everwarm_planner.forecast.past import Past
from everwarm_planner.forecast.ridge import Ridge
from everwarm_planner.forecast.seasonal import Deseasonalised, Yesterday

FORECASTERS: tuple[Forecaster, ...] = (Naive(), Ewma(), Deseasonalised(), Ridge(), Yesterday())
LONGEST_HORIZON_MINUTES = 15
LEAST_SCORES = 60  # an hour of minutes, before a forecaster is believed
_KEPT = 0.5 ** (1 / 720)  # of a loss after a minute: half after half a day, so that it is a day's, more or less
_BETTER = 0.98  # of the loss of who is believed: less is no reason to change
_MISSES = 2.0  # times what a forecaster says that it misses; from there on it is not believed


@dataclass(frozen=True, slots=True)
class Record:
    """How good somebody's upper ends were: rolling sums over the minutes, and what they are to be divided by."""

    loss_sum: float = 0.0
    missed_sum: float = 0.0
    weight: float = 0.0

    def add(self, reached: float, upper: float, part: float) -> "Record":
        """One more outcome."""
        missed = reached > upper
        loss = part * (reached - upper) if missed else (1 - part) * (upper - reached)
        return Record(_KEPT * self.loss_sum + loss, _KEPT * self.missed_sum + missed, _KEPT * self.weight + 1.0)

    @property
    def loss(self) -> float:
        """Mean pinball loss, requests per second; infinite without any outcome."""
        return self.loss_sum / self.weight if self.weight > 0 else math.inf

    @property
    def missed(self) -> float:
        """Part of the upper ends that were exceeded."""
        return self.missed_sum / self.weight if self.weight > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Track:
    """One forecaster's past.

    Attributes:
        state: its own.
        said: (expected, upper) per second of the last minutes, oldest first: what is not scored yet.
        scores: of what has matured.
        record: of its upper ends.
    """

    state: State = ()
    said: tuple[tuple[float, float], ...] = ()
    scores: Scores = field(default_factory=Scores)
    record: Record = field(default_factory=Record)

    def end(self, part: float) -> float:
        """The rate that this part of the times is not exceeded, as it said last; nan where it said nothing."""
        expected = self.said[-1][0] if self.said else math.nan
        return max(0.0, expected + self.scores.quantile(part) * conformal.scale(expected))

    def step(self, forecaster: Forecaster, past: Past, reached: float, part: float, horizon_minutes: int) -> "Track":
        """Score what was said a horizon ago against what was reached since, then let the forecaster look ahead."""
        scores, record = self.scores, self.record
        if len(self.said) >= horizon_minutes:
            expected, upper = self.said[-horizon_minutes]
            if not math.isnan(expected + reached):
                scores = scores.add((reached - expected) / conformal.scale(expected))
                record = record.add(reached, upper, part)
        ahead = forecaster.step(self.state, past, horizon_minutes)
        upper = max(0.0, ahead.peak_per_second + scores.quantile(part) * conformal.scale(ahead.peak_per_second))
        said = (*self.said, (ahead.peak_per_second, upper))[-LONGEST_HORIZON_MINUTES:]
        return Track(ahead.state, said, scores, record)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is expected until the horizon: the highest minute's rate, per second.

    `upper` holds as often as `low` does not; `model` is who says so.
    """

    low: float
    expected: float
    upper: float
    model: str


@dataclass(frozen=True, slots=True)
class Experts:
    """All that is known of one service's future, and from what past; about 20 kB.

    Attributes:
        past: the rates.
        tracks: one per forecaster, in the order of `FORECASTERS`.
        without: the record of doing without: the last minute's rate is reached and not more.
        believed: the number of the forecaster that is believed; `None` while none is.
    """

    past: Past
    tracks: tuple[Track, ...] = (Track(),) * len(FORECASTERS)
    without: Record = field(default_factory=Record)
    believed: int | None = None

    def record(self, minute: int, rate: float, part: float, horizon_minutes: int) -> "Experts":
        """Take in a minute that is over: score, look ahead, choose.

        Args:
            minute: its number since 1970, later than the last; what is left out in between is not known.
            rate: per second; nan where it was not measured.
            part: of the times that the upper end shall hold.
            horizon_minutes: how far to look ahead, 1 to 15.
        """
        past = self.past.record(minute, rate)
        window = past.rates[-horizon_minutes:]
        reached = math.nan if math.isnan(math.fsum(window)) else max(window)
        without = self.without
        if len(past.rates) > horizon_minutes and not math.isnan(reached + past.rates[-horizon_minutes - 1]):
            without = without.add(reached, past.rates[-horizon_minutes - 1], part)
        unknown = ((math.nan, math.nan),) * min(minute - self.past.minute - 1, horizon_minutes)
        tracks = tuple(
            Track(track.state, track.said + unknown, track.scores, track.record).step(
                forecaster, past, reached, part, horizon_minutes
            )
            for forecaster, track in zip(FORECASTERS, self.tracks, strict=True)
        )
        return Experts(past, tracks, without, _believed(tracks, without, self.believed, part))

    def outlook(self, part: float) -> Outlook | None:
        """Until the horizon; `None` while nobody is believed, or who is can't say."""
        if self.believed is None:
            return None
        track = self.tracks[self.believed]
        expected, upper = track.said[-1][0], track.end(part)
        if math.isnan(expected):
            return None
        return Outlook(min(expected, track.end(1 - part)), expected, upper, FORECASTERS[self.believed].name)


def _believed(tracks: tuple[Track, ...], without: Record, before: int | None, part: float) -> int | None:
    """The number of who is best, if good enough."""

    def loss(number: int) -> float:
        track = tracks[number]
        enough = track.scores.count >= LEAST_SCORES and not math.isnan(track.said[-1][0])
        return track.record.loss if enough else math.inf

    best = min(range(len(tracks)), key=loss)
    if before is not None and loss(best) > _BETTER * loss(before):
        best = before
    believable = loss(best) < without.loss and tracks[best].record.missed <= _MISSES * (1 - part)
    return best if believable else None
