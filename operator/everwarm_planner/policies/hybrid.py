"""The default policy: as many replicas as queueing theory asks for, backlogs worked off, released by what it costs.

    load         = rate x mean service time                                     busy slots
    staffing     = the fewest slots that answer `objective` of the requests in time (Erlang C, with measured variation)
    drain        = load + backlog x mean service time / `drain_seconds`
    wanted       = max(staffing, drain)
    floor        = the highest `wanted` of the release window

A replica that is given back and needed again costs a start; one that is kept costs its idle time. The deterministic
online rule that never pays more than twice the least possible (ski rental; Lu and Chen 2011, "Simple and effective
dynamic provisioning for power-proportional data centers") keeps it for as long as a start costs.
"""

import math
from dataclasses import dataclass, replace

from everwarm_planner import queueing, wording
from everwarm_planner.decision import Reason
from everwarm_planner.history import Series
from everwarm_planner.learned import Learned
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, Observation
from everwarm_planner.policies.base import Proposal
from everwarm_planner.queueing import Traffic

_LEAST_RELEASE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Hybrid:
    """The parameters.

    Attributes:
        target_seconds: the latency objective of one request.
        concurrency: requests that one replica computes at once.
        objective: part of the requests that shall be answered within it, 0 to 1.
        time_to_ready_seconds: from asking for a replica until it answers, while nothing is measured; 60 s.
        minimum_billing_seconds: what a replica costs at least once it was started (60 s on Fargate; 0 on own nodes).
        drain_seconds: in what time a backlog shall be worked off; 20 s.
        dispersion, service_variation: what is assumed of the traffic where nobody measures it: Poisson arrivals, and
            the variation of a lognormal whose 95th percentile is twice its mean.

    Raises:
        ValueError: a parameter has no meaning.
    """

    target_seconds: float
    concurrency: int
    objective: float = 0.95
    time_to_ready_seconds: float = 60.0
    minimum_billing_seconds: float = 0.0
    drain_seconds: float = 20.0
    dispersion: float = 1.0
    service_variation: float = 0.25

    def __post_init__(self) -> None:
        for name in ("target_seconds", "concurrency", "drain_seconds"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be over 0, not {value}")
        for name in ("time_to_ready_seconds", "minimum_billing_seconds", "dispersion", "service_variation"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be 0 or more, not {value}")
        if not 0 < self.objective < 1:
            raise ValueError(f"objective is a part of the requests, within 0 and 1, not {self.objective}")

    @property
    def needs_observation(self) -> bool:
        """Yes: all it does follows from measurements."""
        return True

    def propose(self, observation: Observation | MissingObservation, memory: Memory) -> Proposal:
        """Raise at once, release late.

        Raises:
            TypeError: there is no observation; the planner holds without asking a policy.
        """
        if isinstance(observation, MissingObservation):
            raise TypeError("the hybrid policy can't propose anything without an observation")
        service = observation.service_seconds or 0.0
        if observation.rate_per_second == 0 and observation.in_flight == 0:
            wanted, cause, argument = 0, "No request came in the window", "no replica is needed"
        elif service > 0:
            wanted, cause, argument = self._wanted(observation, service)
        else:
            return _without_service_time(observation, memory)
        learned = memory.learned or Learned()
        asked = tuple(pair for pair in learned.asked if pair[1] > wanted)
        asked = (*asked, (observation.at_seconds, wanted))
        since = observation.at_seconds - self.release_seconds(observation)
        asked = tuple(pair for pair in asked if pair[0] >= since)
        floor = asked[0][1]
        demand = observation.rate_per_second * service / self.concurrency
        reason = Reason.STEADY
        if floor > memory.floor:
            reason = Reason.UNDER_PROVISIONED
        elif floor < memory.floor:
            reason = Reason.OVER_PROVISIONED
        return Proposal(floor, reason, cause, argument, demand, learned=replace(learned, asked=asked))

    def learn(self, series: Series, memory: Memory) -> Memory:
        """Nothing yet that the floor could follow."""
        del series
        return memory

    def release_seconds(self, observation: Observation) -> float:
        """For how long a replica is kept that nobody needs: as long as a start costs."""
        ready = observation.time_to_ready_seconds
        start = self.time_to_ready_seconds if ready is None else ready
        return max(_LEAST_RELEASE_SECONDS, start + self.minimum_billing_seconds)

    def _wanted(self, observation: Observation, service: float) -> tuple[int, str, str]:
        dispersion = self.dispersion if observation.dispersion is None else observation.dispersion
        variation = self.service_variation if observation.service_variation is None else observation.service_variation
        rate = max(observation.rate_per_second, observation.recent_rate_per_second or 0.0)
        traffic = Traffic(rate, service, variation, dispersion)
        servers = queueing.least_servers(traffic, self.target_seconds, self.objective)
        staffing = math.ceil((math.ceil(traffic.load) if servers is None else servers) / self.concurrency)
        backlog = max(0.0, observation.in_flight - observation.ready_replicas * self.concurrency)
        drain = math.ceil((traffic.load + backlog * service / self.drain_seconds) / self.concurrency)
        cause = f"{rate:.3g} requests/s of {wording.milliseconds(service)}"
        if backlog > 0 and drain > staffing:
            return drain, f"{cause}, and {wording.requests(backlog)} that wait", f"they need {wording.replicas(drain)}"
        goal = f"for {wording.percent(self.objective)} within {wording.milliseconds(self.target_seconds)}"
        return staffing, cause, f"they need {wording.replicas(staffing)} {goal}"


def _without_service_time(observation: Observation, memory: Memory) -> Proposal:
    waiting = observation.in_flight > 0
    floor = max(memory.floor, 1) if waiting else memory.floor
    reason = Reason.UNDER_PROVISIONED if floor > memory.floor else Reason.STEADY
    return Proposal(floor, reason, "Requests wait and none was answered yet" if waiting else "No request was answered")
