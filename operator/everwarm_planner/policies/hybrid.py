"""The default policy: replicas for what is expected and for what is there, released when they cost more than a start.

    expected  = upper end of the forecast until a replica that is asked for now would be ready (forecast.experts)
    now       = the rate of the last minute; the latest one where it is more than noise above what is expected
    staffing  = the fewest replicas that answer `objective` of the requests in time, by queueing theory (staffing),
                for the higher of both; how much may be late is calibrated on what was attained (calibration)
    drain     = what keeps up with the load and works a backlog off in `drain_seconds`
    floor     = the highest max(staffing, drain) of the time for which keeping costs less than starting (release)

So forecasts only raise, and where there is none, or none that is good enough, the policy is reactive.
"""

import math
from dataclasses import dataclass, field, replace

from everwarm_planner import measures, release, staffing, wording
from everwarm_planner.calibration import Calibration
from everwarm_planner.decision import Forecast, Reason
from everwarm_planner.forecast.experts import LONGEST_HORIZON_MINUTES, Experts
from everwarm_planner.forecast.past import Past
from everwarm_planner.forecast.seed import seeded
from everwarm_planner.history import Series
from everwarm_planner.learned import Learned
from everwarm_planner.measures import Measures
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, Observation
from everwarm_planner.policies.base import Proposal

_MINUTE = 60.0
_LEVEL_SECONDS = 150.0  # the rate's noise is smoothed over this; longer saves no more on the traces it was tuned on
_RECENT_SECONDS = 15.0  # the span of the latest rate, for its noise: a scrape interval
_FRESH_MINUTES = 3.0  # what was said longer ago is no forecast any more
_FORGOTTEN_MINUTES = 7 * 1440  # without any minute for a week, or a clock that was set back by one, all begins again
_SEEDED_WITHIN = 10  # minutes
_LEAST_REQUESTS = 0.05  # expected until a replica would be ready: with fewer, none is started for them
_HIGHEST_PART = 0.999  # three days hold four thousand scores: no more can be known of the rest
_CLEARLY = 0.7  # of what may be late: a floor that is right for this part of it is not lowered
_MOST_LATE = 0.5  # part of the requests: no calibration plans for more


@dataclass(frozen=True, slots=True)
class Need:
    """What the moment asks for, and why."""

    replicas: int
    reason: Reason
    cause: str
    argument: str | None = None


@dataclass(frozen=True, slots=True)
class Hybrid:
    """The parameters.

    Attributes:
        target_seconds: the latency objective of one request.
        concurrency: requests that one replica computes at once.
        objective: part of the requests that shall be answered within it, 0 to 1.
        time_to_ready_seconds: from asking for a replica until it answers, while nothing is measured; 60 s.
        minimum_billing_seconds: what a replica costs at least once it was started (60 s on Fargate; 0 on own nodes).
        forecast_misses: how much more often a forecast's upper end may be exceeded than requests may be late; 16, for
            a minute over it makes few of its requests late. The tighter the calibration, the higher the end.
        drain_seconds: in what time a backlog shall be worked off; 20 s.
        keep_seconds: replicas are kept for at least so long; 60 s, the span that one observation covers.
        surprise: how many standard deviations the latest rate must be above what is expected to count; 2.
        dispersion, service_variation: what is assumed of the traffic where nobody measures it: Poisson arrivals, and
            the variation of a lognormal whose 95th percentile is twice its mean.
        calibration: how what was attained moves what is planned.

    Raises:
        ValueError: a parameter has no meaning.
    """

    target_seconds: float
    concurrency: int
    objective: float = 0.95
    time_to_ready_seconds: float = 60.0
    minimum_billing_seconds: float = 0.0
    forecast_misses: float = 16.0
    drain_seconds: float = 20.0
    keep_seconds: float = 60.0
    surprise: float = 2.0
    dispersion: float = 1.0
    service_variation: float = 0.25
    calibration: Calibration = field(default_factory=Calibration)

    def __post_init__(self) -> None:
        for name in ("target_seconds", "concurrency", "drain_seconds"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be over 0, not {value}")
        not_negative = (
            *("time_to_ready_seconds", "minimum_billing_seconds", "keep_seconds"),
            *("forecast_misses", "surprise", "dispersion", "service_variation"),
        )
        for name in not_negative:
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be 0 or more, not {value}")
        if not 0 < self.objective < 1:
            raise ValueError(f"objective is a part of the requests, within 0 and 1, not {self.objective}")

    @property
    def needs_observation(self) -> bool:
        """Yes: all it does follows from measurements."""
        return True

    @property
    def judged_part(self) -> float:
        """Of the times that the upper end of a forecast shall hold when forecasters are compared."""
        return max(0.5, 1 - 2 * (1 - self.objective))

    def part(self, allowance: float) -> float:
        """Of the times that the upper end of the forecast shall hold that is staffed for."""
        return min(max(0.5, 1 - self.forecast_misses * allowance * (1 - self.objective)), _HIGHEST_PART)

    def propose(self, observation: Observation | MissingObservation, memory: Memory) -> Proposal:
        """Raise at once, release late.

        Raises:
            TypeError: there is no observation; the planner holds without asking a policy.
        """
        if isinstance(observation, MissingObservation):
            raise TypeError("the hybrid policy can't propose anything without an observation")
        learned = self._learn_from(observation, memory)
        allowance = self._allowance(observation, memory, learned)
        outlook = self._outlook(observation, learned, self.part(allowance))
        need = self._need(observation, learned, outlook, (allowance, memory.floor))
        if need is None:
            need = _unknown(observation, memory.floor)
        ready = self._ready_seconds(observation)
        keep = release.keep_seconds(ready, self.minimum_billing_seconds, self.keep_seconds)
        asked = release.ask(learned.asked, observation.at_seconds, need.replicas, keep)
        proposal = _proposal(need, asked[0], memory.floor, observation.at_seconds, keep)
        demand = None if learned.measures is None else self._demand(observation.rate_per_second, learned.measures)
        return replace(
            proposal,
            demand=demand,
            forecast=outlook,
            learned=replace(learned, asked=asked),
            allowance=allowance,
        )

    def learn(self, series: Series, memory: Memory) -> Memory:
        """Know the week before, and what each forecaster would have said on its last day.

        What was seen since the start is left as it is, so this must come before, or within the first minutes.
        """
        experts = seeded(series, self.judged_part, self._horizon_minutes(self.time_to_ready_seconds, _MINUTE))
        learned = memory.learned or Learned()
        if experts is None or (learned.experts is not None and len(learned.experts.past.rates) > _SEEDED_WITHIN):
            return memory
        return replace(memory, learned=replace(learned, experts=experts))

    def _learn_from(self, observation: Observation, memory: Memory) -> Learned:
        learned, passed = memory.learned or Learned(), _passed(observation, memory)
        assumed = Measures(1.0, self.service_variation, self.dispersion)
        return replace(
            learned,
            measures=measures.measure(learned.measures, observation, assumed, passed),
            experts=self._recorded(observation, learned.experts, passed),
            level=self._level(observation, learned, passed),
        )

    def _level(self, observation: Observation, learned: Learned, passed: float) -> float:
        """The rate without its noise: smoothed as long as it stays within it, else what it is now."""
        rate, level = observation.rate_per_second, learned.level
        if level is None or learned.measures is None:
            return rate
        noise = _noise(level, learned.measures.dispersion, _MINUTE)
        if abs(rate - level) > self.surprise * noise:
            return rate
        return level + min(1.0, passed / _LEVEL_SECONDS) * (rate - level)

    def _recorded(self, observation: Observation, experts: Experts | None, passed: float) -> Experts:
        """What the forecasters know, with the minute that is over, if one is."""
        minute = math.floor(observation.at_seconds / _MINUTE) - 1
        if experts is None or abs(minute - experts.past.minute) > _FORGOTTEN_MINUTES:
            return Experts(Past.begin(minute, observation.rate_per_second))
        if minute <= experts.past.minute:
            return experts
        horizon = self._horizon_minutes(self._ready_seconds(observation), passed)
        return experts.record(minute, observation.rate_per_second, self.judged_part, horizon)

    def _ready_seconds(self, observation: Observation) -> float:
        measured = observation.time_to_ready_seconds
        return self.time_to_ready_seconds if measured is None else measured

    def _horizon_minutes(self, ready_seconds: float, tick_seconds: float) -> int:
        """From now until what is asked for at the next decision is ready, and the minute that this one is a part of."""
        minutes = math.ceil((ready_seconds + min(tick_seconds, _MINUTE)) / _MINUTE) + 1
        return min(minutes, LONGEST_HORIZON_MINUTES)

    def _allowance(self, observation: Observation, memory: Memory, learned: Learned) -> float:
        before = self.calibration.start if memory.allowance is None else memory.allowance
        late = observation.late_fraction
        if late is None or learned.experts is None:
            return before
        usual = learned.experts.past.level
        weight = observation.rate_per_second / usual if usual > 0 else 1.0  # nan is not over 0
        return self.calibration.step(before, late, 1 - self.objective, _passed(observation, memory), weight)

    def _outlook(self, observation: Observation, learned: Learned, part: float) -> Forecast | None:
        experts = learned.experts
        if experts is None or observation.at_seconds / _MINUTE - experts.past.minute > _FRESH_MINUTES:
            return None
        outlook = experts.outlook(part)
        if outlook is None:
            return None
        ready = self._ready_seconds(observation)
        rates = outlook.low, outlook.expected, outlook.upper
        return Forecast(*rates, part, ready, outlook.model)

    def _need(
        self, observation: Observation, learned: Learned, outlook: Forecast | None, standing: tuple[float, int]
    ) -> Need | None:
        """What the load and the forecast ask for; `None` where it is not known how long a request takes.

        `standing`: the allowance and the floor that stand.
        """
        allowance, floor = standing
        if observation.rate_per_second == 0 and observation.in_flight == 0 and not _expects(outlook):
            return Need(0, Reason.STEADY, "No request came in the window", "no replica is needed")
        known = learned.measures
        if known is None:
            return None
        late = min(_MOST_LATE, allowance * (1 - self.objective))
        now = self._rate_now(observation, learned, outlook)
        # What stands stays until it is clearly too much: else the calibration flips between two numbers for ever.
        load = min(max(self._staff(known, now, late), floor), self._staff(known, now, _CLEARLY * late))
        ahead = 0 if outlook is None else self._staff(known, outlook.upper_per_second, late)
        backlog = max(0.0, observation.in_flight - observation.ready_replicas * self.concurrency)
        drain = math.ceil(
            (now * known.service_seconds + backlog * known.service_seconds / self.drain_seconds) / self.concurrency
        )
        goal = f"for {wording.percent(self.objective)} within {wording.milliseconds(self.target_seconds)}"
        if backlog > 0 and drain > max(load, ahead):
            cause = f"{wording.rate(now)} come and {wording.requests(backlog)} wait"
            return Need(drain, Reason.UNDER_PROVISIONED, cause, f"to catch up takes {wording.replicas(drain)}")
        if outlook is not None and ahead > load:
            return Need(
                ahead, Reason.FORECAST, _expectation(outlook, now), f"that takes {wording.replicas(ahead)} {goal}"
            )
        cause = f"{wording.rate(now)} of {wording.milliseconds(known.service_seconds)} come"
        return Need(load, Reason.UNDER_PROVISIONED, cause, f"that takes {wording.replicas(load)} {goal}")

    def _staff(self, known: Measures, rate_per_second: float, late: float) -> int:
        return staffing.replicas(known.traffic(rate_per_second), self.target_seconds, late, self.concurrency)

    def _rate_now(self, observation: Observation, learned: Learned, outlook: Forecast | None) -> float:
        """The level; the latest rate, where it is more than noise above that and above what is expected."""
        recent, level, known = observation.recent_rate_per_second, learned.level or 0.0, learned.measures
        if recent is None or known is None:
            return level
        expected = level if outlook is None else max(level, outlook.upper_per_second)
        noise = _noise(expected, known.dispersion, _RECENT_SECONDS)
        return max(level, recent) if recent > expected + self.surprise * noise else level

    def _demand(self, rate_per_second: float, known: Measures) -> float:
        return rate_per_second * known.service_seconds / self.concurrency


def _passed(observation: Observation, memory: Memory) -> float:
    last = memory.observed_at_seconds
    return 0.0 if last is None else max(0.0, observation.at_seconds - last)


def _noise(rate_per_second: float, dispersion: float, span_seconds: float) -> float:
    """Standard deviation of a rate that was counted over a span."""
    return math.sqrt(max(rate_per_second, 1 / _MINUTE) * dispersion / span_seconds)


def _expects(outlook: Forecast | None) -> bool:
    return outlook is not None and outlook.upper_per_second * outlook.horizon_seconds >= _LEAST_REQUESTS


def _unknown(observation: Observation, floor: int) -> Need:
    if observation.in_flight > 0:
        return Need(max(floor, 1), Reason.UNDER_PROVISIONED, "Requests wait and none was answered yet")
    return Need(floor, Reason.STEADY, "No request was answered yet")


def _expectation(outlook: Forecast, now: float) -> str:
    ahead = wording.duration(outlook.horizon_seconds)
    point, upper = f"{outlook.point_per_second:.3g}", wording.rate(outlook.upper_per_second)
    return f"{wording.rate(now)} come, {point} are expected and up to {upper} within {ahead} (by {outlook.model})"


def _proposal(need: Need, most: tuple[float, int], floor: int, at_seconds: float, keep_seconds: float) -> Proposal:
    """Towards the most that was needed while replicas are kept."""
    since, wanted = most
    argument = need.argument
    if wanted > need.replicas:
        kept = f"{wording.replicas(wanted)} were needed {wording.duration(at_seconds - since)} ago"
        kept += f" and one is kept for {wording.duration(keep_seconds)}"
        argument = kept if argument is None else f"{argument}, {kept}"
    reason = Reason.STEADY
    if wanted > floor:
        reason = need.reason
    elif wanted < floor:
        reason = Reason.OVER_PROVISIONED
    return Proposal(wanted, reason, need.cause, argument)
