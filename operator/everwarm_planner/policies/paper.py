"""Algorithm 1 of Naayini 2024 ("adaptive provisioning"), literal: observation -> proposal.

    demand = rate x mean service time / concurrency
    if p95 > target and many requests met a cold start:  Cp = min(Cmax, ceil(1.5 x demand))
    else if utilisation is consistently under 50 %:      reduce Cp gradually, to a floor of 1 or 2
    else:                                                keep Cp

The paper leaves "many", "consistently" and "gradually" open; each is a parameter here, with its unit and reason. Two
traits of the text are kept and mended outside: it can LOWER Cp while under-provisioned (1.5 x demand below the floor
that stands: the guardrails forbid it), and Cmax and the minimum are the planner's bounds. Two are kept as they are:
demand is measured on served load, so a backlog does not raise it; and with a minimum of 0 a trickle of requests moves
the floor 0 -> 1 -> 0, since one cold request is "many" and one warm replica is under half busy.
"""

import math
from dataclasses import dataclass

from everwarm_planner import wording
from everwarm_planner.decision import Reason
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, Observation
from everwarm_planner.policies.base import Proposal

# A product of measured floats that is 3 on paper may be 3.0000000000000004: no replica is started for the last bit.
_ROUNDING = 1 - 1e-12


@dataclass(frozen=True, slots=True)
class Paper:
    """The parameters of Algorithm 1.

    Attributes:
        target_p95_seconds: the latency objective.
        concurrency: requests that one replica computes at once.
        cold_start_fraction: "many cold starts", from this part of the requests on; 5 %, for only from there on is the
            95th percentile itself a cold request.
        low_utilization: the paper's 50 %, as a fraction; strictly under it is low.
        low_utilization_seconds: "consistently": low at each observation for this long; 300 s, five of Knative's stable
            windows.
        factor: the paper's 1.5.
        step_replicas: "gradually": replicas given back at once, after which a new window starts.

    Raises:
        ValueError: a parameter has no meaning, for example a concurrency of 0.
    """

    target_p95_seconds: float
    concurrency: int
    cold_start_fraction: float = 0.05
    low_utilization: float = 0.5
    low_utilization_seconds: float = 300.0
    factor: float = 1.5
    step_replicas: int = 1

    def __post_init__(self) -> None:
        positive = ("target_p95_seconds", "concurrency", "low_utilization_seconds", "factor", "step_replicas")
        for name in positive:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be over 0, not {value}")
        for name in ("cold_start_fraction", "low_utilization"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be within 0 and 1, not {value}")

    @property
    def needs_observation(self) -> bool:
        """Yes: all it does follows from measurements."""
        return True

    def propose(self, observation: Observation | MissingObservation, memory: Memory) -> Proposal:
        """Raise, lower by one step, or hold.

        Raises:
            TypeError: there is no observation; the planner holds without asking a policy.
        """
        if isinstance(observation, MissingObservation):
            raise TypeError("Algorithm 1 can't propose anything without an observation")
        demand = self.demand(observation)
        p95 = observation.p95_seconds
        if p95 is not None and p95 > self.target_p95_seconds and self._has_many_cold_starts(observation):
            return self._raise(observation, p95, demand, memory)
        return self._lower_or_hold(observation, demand, memory)

    def demand(self, observation: Observation) -> float | None:
        """Replicas that the served load keeps busy on average (Little's law); `None` where no service time is known."""
        if observation.rate_per_second == 0:
            return 0.0
        if observation.service_seconds is None:
            return None
        return observation.rate_per_second * observation.service_seconds / self.concurrency

    def _has_many_cold_starts(self, observation: Observation) -> bool:
        fraction = observation.cold_start_fraction
        return fraction > 0 and fraction >= self.cold_start_fraction

    def _raise(self, observation: Observation, p95: float, demand: float | None, memory: Memory) -> Proposal:
        cold = wording.percent(observation.cold_start_fraction)
        cause = f"{self._latency(p95)} and {cold} of requests found no warm replica"
        if demand is None:
            # The least that an under-provisioned service needs; what more, the next observation tells.
            floor, argument = max(1, memory.floor), "the service time is not known yet"
        else:
            floor = math.ceil(self.factor * demand * _ROUNDING)
            argument = f"demand is {wording.replicas(demand)}"
        return Proposal(floor, Reason.UNDER_PROVISIONED, cause, argument, demand)

    def _lower_or_hold(self, observation: Observation, demand: float | None, memory: Memory) -> Proposal:
        now = observation.at_seconds
        utilization = _utilization(observation)
        latency = self._why_not_under_provisioned(observation)
        if utilization is None:
            return Proposal(memory.floor, Reason.STEADY, _unknown_utilization(observation, latency), demand=demand)
        busy = wording.percent(utilization)
        if utilization >= self.low_utilization:
            return Proposal(memory.floor, Reason.STEADY, f"{latency} and utilisation is {busy}", demand=demand)
        since = now if memory.low_since_seconds is None else min(memory.low_since_seconds, now)
        window, limit = f"{self.low_utilization_seconds:.4g} s", wording.percent(self.low_utilization)
        if now - since < self.low_utilization_seconds:
            cause = f"{latency} and utilisation is {busy}, under {limit} for {int(now - since)} of {window}"
            return Proposal(memory.floor, Reason.STEADY, cause, demand=demand, low_since_seconds=since)
        cause = f"Utilisation is {busy} and was under {limit} for {window}"
        if memory.floor == 0:
            return Proposal(0, Reason.STEADY, cause, demand=demand, low_since_seconds=since)
        lower = max(0, memory.floor - self.step_replicas)
        return Proposal(lower, Reason.OVER_PROVISIONED, cause, demand=demand, low_since_seconds=now)

    def _latency(self, p95: float) -> str:
        return f"p95 {wording.milliseconds(p95)} is over the target of {wording.milliseconds(self.target_p95_seconds)}"

    def _why_not_under_provisioned(self, observation: Observation) -> str:
        p95 = observation.p95_seconds
        if p95 is None:
            return "No request finished in the window"
        if p95 <= self.target_p95_seconds:
            return f"p95 {wording.milliseconds(p95)} is within {wording.milliseconds(self.target_p95_seconds)}"
        if observation.cold_start_fraction == 0:
            return f"{self._latency(p95)}, but each request found a warm replica"
        cold, many = wording.percent(observation.cold_start_fraction), wording.percent(self.cold_start_fraction)
        return f"{self._latency(p95)}, but only {cold} of requests found no warm replica (many is {many})"


def _utilization(observation: Observation) -> float | None:
    """Busy part of the ready slots. Ready replicas without any request are idle, even where no figure says so."""
    idle = observation.ready_replicas > 0 and observation.rate_per_second == 0 and observation.in_flight == 0
    return 0.0 if observation.utilization is None and idle else observation.utilization


def _unknown_utilization(observation: Observation, latency: str) -> str:
    if observation.ready_replicas > 0:
        return f"{latency} and utilisation is not known"
    waiting = round(observation.in_flight)
    if waiting == 0:
        return "No replica is ready and no request waits"
    return f"No replica is ready and {wording.requests(waiting)} {'waits' if waiting == 1 else 'wait'}"
