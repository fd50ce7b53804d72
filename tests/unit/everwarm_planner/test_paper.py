"""Algorithm 1, branch by branch and boundary by boundary: observation and memory -> whole decision and memory."""

from dataclasses import replace

import pytest

from everwarm_planner.decision import Decision, Reason
from everwarm_planner.guardrails import Bounds
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, MissingReason, Observation
from everwarm_planner.plan import Planner
from everwarm_planner.policies.paper import Paper

POLICY = Paper(target_p95_seconds=0.3, concurrency=1)
PLANNER = Planner(POLICY, Bounds(1, 10))
TO_ZERO = Planner(POLICY, Bounds(0, 10))

BUSY = Observation(
    at_seconds=1000.0,
    rate_per_second=19.2,
    p95_seconds=0.212,
    service_seconds=0.125,
    cold_start_fraction=0.0,
    utilization=0.63,
    ready_replicas=3,
    in_flight=2.0,
)
SLOW = replace(BUSY, p95_seconds=0.812, cold_start_fraction=0.18, utilization=0.98)
IDLE = replace(BUSY, rate_per_second=0.0, p95_seconds=None, service_seconds=None, utilization=0.0, in_flight=0.0)
ASLEEP = replace(IDLE, utilization=None, ready_replicas=0)

UNDER, OVER, STEADY = Reason.UNDER_PROVISIONED, Reason.OVER_PROVISIONED, Reason.STEADY


def remembered(floor: int, low_since: float | None = None, observed_at: float | None = 990.0) -> Memory:
    return Memory(floor, low_since, observed_at)


def windows(memory: Memory) -> Memory:
    """The part of a memory that says which window is open; what pace and calibration keep has tests of its own."""
    return Memory(memory.floor, memory.low_since_seconds, memory.observed_at_seconds)


RAISES = [
    pytest.param(
        SLOW,
        1,
        4,
        2.4,
        "p95 812 ms is over the target of 300 ms and 18 % of requests found no warm replica: demand is 2.4 replicas, "
        "so the floor goes from 1 to 4.",
        id="one and a half times the demand, rounded up",
    ),
    pytest.param(
        replace(SLOW, rate_per_second=16.0),
        1,
        3,
        2.0,
        "p95 812 ms is over the target of 300 ms and 18 % of requests found no warm replica: demand is 2 replicas, "
        "so the floor goes from 1 to 3.",
        id="a product that is whole is not rounded up",
    ),
    pytest.param(
        replace(SLOW, rate_per_second=8.0),
        1,
        2,
        1.0,
        "p95 812 ms is over the target of 300 ms and 18 % of requests found no warm replica: demand is 1 replica, "
        "so the floor goes from 1 to 2.",
        id="one replica is no plural",
    ),
    pytest.param(
        replace(SLOW, rate_per_second=72.0),
        1,
        10,
        9.0,
        "p95 812 ms is over the target of 300 ms and 18 % of requests found no warm replica: demand is 9 replicas, "
        "but the maximum is 10 replicas, so the floor goes from 1 to 10.",
        id="Cmax binds and says so",
    ),
    pytest.param(
        replace(SLOW, rate_per_second=3.2),
        3,
        3,
        0.4,
        "p95 812 ms is over the target of 300 ms and 18 % of requests found no warm replica: demand is 0.4 replicas "
        "and asks for a floor of 1, but a service that is under-provisioned is never lowered, so the floor stays at 3.",
        id="the literal algorithm would lower an under-provisioned service",
    ),
    pytest.param(
        replace(SLOW, rate_per_second=19.2),
        4,
        4,
        2.4,
        "p95 812 ms is over the target of 300 ms and 18 % of requests found no warm replica: demand is 2.4 replicas, "
        "so the floor stays at 4.",
        id="enough already",
    ),
    pytest.param(
        replace(SLOW, cold_start_fraction=0.05),
        1,
        4,
        2.4,
        "p95 812 ms is over the target of 300 ms and 5 % of requests found no warm replica: demand is 2.4 replicas, "
        "so the floor goes from 1 to 4.",
        id="exactly the threshold is many",
    ),
    pytest.param(
        replace(SLOW, service_seconds=None),
        2,
        2,
        None,
        "p95 812 ms is over the target of 300 ms and 18 % of requests found no warm replica: the service time is not "
        "known yet, so the floor stays at 2.",
        id="without a service time nothing can be computed",
    ),
    pytest.param(
        replace(SLOW, p95_seconds=12.34, cold_start_fraction=1.0),
        1,
        4,
        2.4,
        "p95 12.34 s is over the target of 300 ms and 100 % of requests found no warm replica: demand is 2.4 replicas, "
        "so the floor goes from 1 to 4.",
        id="long latencies in seconds",
    ),
]


@pytest.mark.parametrize(("observation", "before", "after", "demand", "sentence"), RAISES)
def test_an_under_provisioned_service_gets_one_and_a_half_times_its_demand(
    observation: Observation, before: int, after: int, demand: float | None, sentence: str
) -> None:
    # An open low-utilisation window must not survive the raise, or the next observation would take it back.
    decision, memory = PLANNER.decide(observation, remembered(before, low_since=0.0))
    assert decision == Decision(after, before, UNDER, sentence, demand)
    assert windows(memory) == remembered(after, observed_at=1000.0)


HOLDS = [
    pytest.param(
        BUSY, 3, "p95 212 ms is within 300 ms and utilisation is 63 %: the floor stays at 3.", id="all is well"
    ),
    pytest.param(
        replace(SLOW, p95_seconds=0.3),
        3,
        "p95 300 ms is within 300 ms and utilisation is 98 %: the floor stays at 3.",
        id="exactly the target is not over it",
    ),
    pytest.param(
        replace(SLOW, p95_seconds=0.3004, cold_start_fraction=0.0496),
        3,
        "p95 300.4 ms is over the target of 300 ms, but only 4.96 % of requests found no warm replica (many is 5 %) "
        "and utilisation is 98 %: the floor stays at 3.",
        id="slow with few cold starts: more warm replicas are not the cure that the paper knows",
    ),
    pytest.param(
        replace(SLOW, cold_start_fraction=0.0),
        1,
        "p95 812 ms is over the target of 300 ms, but each request found a warm replica and utilisation is 98 %: "
        "the floor stays at 1.",
        id="slow without cold starts",
    ),
    pytest.param(
        replace(SLOW, p95_seconds=0.2),
        3,
        "p95 200 ms is within 300 ms and utilisation is 98 %: the floor stays at 3.",
        id="cold starts that do not hurt",
    ),
    pytest.param(
        replace(BUSY, utilization=0.5),
        3,
        "p95 212 ms is within 300 ms and utilisation is 50 %: the floor stays at 3.",
        id="exactly half is not low",
    ),
    pytest.param(
        replace(BUSY, p95_seconds=None, service_seconds=None, utilization=1.0),
        3,
        "No request finished in the window and utilisation is 100 %: the floor stays at 3.",
        id="requests longer than the window",
    ),
    pytest.param(
        replace(BUSY, utilization=None),
        3,
        "p95 212 ms is within 300 ms and utilisation is not known: the floor stays at 3.",
        id="an unknown utilisation is not low",
    ),
    pytest.param(
        ASLEEP, 2, "No replica is ready and no request waits: the floor stays at 2.", id="the floor's replicas start"
    ),
]


@pytest.mark.parametrize(("observation", "floor", "sentence"), HOLDS)
def test_otherwise_it_holds_and_the_low_window_ends(observation: Observation, floor: int, sentence: str) -> None:
    decision, memory = PLANNER.decide(observation, remembered(floor, low_since=100.0))
    assert decision == Decision(floor, floor, STEADY, sentence, POLICY.demand(observation))
    assert windows(memory) == remembered(floor, observed_at=1000.0)


LOW = replace(BUSY, utilization=0.31)
LOWERS = [
    pytest.param(
        LOW,
        remembered(3),
        Decision(
            3,
            3,
            STEADY,
            "p95 212 ms is within 300 ms and utilisation is 31 %, under 50 % for 0 of 300 s: the floor stays at 3.",
            2.4,
        ),
        remembered(3, 1000.0, 1000.0),
        id="the window opens",
    ),
    pytest.param(
        LOW,
        remembered(3, 700.5),
        Decision(
            3,
            3,
            STEADY,
            "p95 212 ms is within 300 ms and utilisation is 31 %, under 50 % for 299 of 300 s: the floor stays at 3.",
            2.4,
        ),
        remembered(3, 700.5, 1000.0),
        id="half a second short of a window",
    ),
    pytest.param(
        LOW,
        remembered(3, 700.0),
        Decision(
            2,
            3,
            OVER,
            "Utilisation is 31 % and was under 50 % for 300 s: the floor goes from 3 to 2.",
            2.4,
        ),
        remembered(2, 1000.0, 1000.0),
        id="a whole window lowers by one and starts again",
    ),
    pytest.param(
        LOW,
        remembered(1, 700.0),
        Decision(
            1,
            1,
            OVER,
            "Utilisation is 31 % and was under 50 % for 300 s: the minimum is 1 replica, so the floor stays at 1.",
            2.4,
        ),
        remembered(1, 700.0, 1000.0),
        id="the minimum binds, says so, and the window is not used up",
    ),
    pytest.param(
        IDLE,
        remembered(2, 700.0),
        Decision(1, 2, OVER, "Utilisation is 0 % and was under 50 % for 300 s: the floor goes from 2 to 1.", 0.0),
        remembered(1, 1000.0, 1000.0),
        id="no requests at all",
    ),
    pytest.param(
        replace(IDLE, utilization=None),
        remembered(2, 700.0),
        Decision(1, 2, OVER, "Utilisation is 0 % and was under 50 % for 300 s: the floor goes from 2 to 1.", 0.0),
        remembered(1, 1000.0, 1000.0),
        id="ready replicas without a request are idle though nobody measured it",
    ),
    pytest.param(
        LOW,
        remembered(3, 700.0, observed_at=879.0),
        Decision(
            3,
            3,
            STEADY,
            "p95 212 ms is within 300 ms and utilisation is 31 %, under 50 % for 0 of 300 s: the floor stays at 3.",
            2.4,
        ),
        remembered(3, 1000.0, 1000.0),
        id="a window with a hole of 121 s is no whole window",
    ),
    pytest.param(
        LOW,
        remembered(3, 700.0, observed_at=None),
        Decision(
            3,
            3,
            STEADY,
            "p95 212 ms is within 300 ms and utilisation is 31 %, under 50 % for 0 of 300 s: the floor stays at 3.",
            2.4,
        ),
        remembered(3, 1000.0, 1000.0),
        id="a window that nobody observed is none",
    ),
    pytest.param(
        LOW,
        remembered(3, 5000.0),
        Decision(
            3,
            3,
            STEADY,
            "p95 212 ms is within 300 ms and utilisation is 31 %, under 50 % for 0 of 300 s: the floor stays at 3.",
            2.4,
        ),
        remembered(3, 1000.0, 1000.0),
        id="a window that begins in the future begins now",
    ),
]


@pytest.mark.parametrize(("observation", "memory", "decision", "after"), LOWERS)
def test_low_utilisation_over_a_whole_window_lowers_by_one_step(
    observation: Observation, memory: Memory, decision: Decision, after: Memory
) -> None:
    decided, memory = PLANNER.decide(observation, memory)
    assert (decided, windows(memory)) == (decision, after)


AT_ZERO = [
    pytest.param(
        ASLEEP,
        remembered(0, 100.0),
        Decision(0, 0, STEADY, "No replica is ready and no request waits: the floor stays at 0.", 0.0),
        remembered(0, None, 1000.0),
        id="asleep",
    ),
    pytest.param(
        replace(ASLEEP, rate_per_second=0.05, in_flight=3.0),
        remembered(0),
        Decision(0, 0, STEADY, "No replica is ready and 3 requests wait: the floor stays at 0.", None),
        remembered(0, None, 1000.0),
        id="the first requests wait and none has finished: nothing is known of their latency yet",
    ),
    pytest.param(
        replace(ASLEEP, rate_per_second=0.05, in_flight=1.0),
        remembered(0),
        Decision(0, 0, STEADY, "No replica is ready and 1 request waits: the floor stays at 0.", None),
        remembered(0, None, 1000.0),
        id="one request waits",
    ),
    pytest.param(
        replace(
            ASLEEP, rate_per_second=0.1, in_flight=2.0, p95_seconds=4.2, cold_start_fraction=1.0, service_seconds=0.125
        ),
        remembered(0),
        Decision(
            1,
            0,
            UNDER,
            "p95 4200 ms is over the target of 300 ms and 100 % of requests found no warm replica: demand is under 0.1 "
            "replicas, so the floor goes from 0 to 1.",
            0.0125,
        ),
        remembered(1, None, 1000.0),
        id="requests met cold starts and more wait",
    ),
    pytest.param(
        replace(ASLEEP, rate_per_second=0.1, in_flight=2.0, p95_seconds=4.2, cold_start_fraction=1.0),
        remembered(0),
        Decision(
            1,
            0,
            UNDER,
            "p95 4200 ms is over the target of 300 ms and 100 % of requests found no warm replica: the service time is "
            "not known yet, so the floor goes from 0 to 1.",
            None,
        ),
        remembered(1, None, 1000.0),
        id="an unknown service time still needs one replica",
    ),
    pytest.param(
        IDLE,
        remembered(1, 700.0),
        Decision(0, 1, OVER, "Utilisation is 0 % and was under 50 % for 300 s: the floor goes from 1 to 0.", 0.0),
        remembered(0, 1000.0, 1000.0),
        id="the last replica goes after a whole window",
    ),
    pytest.param(
        IDLE,
        remembered(0, 700.0),
        Decision(0, 0, STEADY, "Utilisation is 0 % and was under 50 % for 300 s: the floor stays at 0.", 0.0),
        remembered(0, 700.0, 1000.0),
        id="replicas that Knative still runs above a floor of zero",
    ),
]


@pytest.mark.parametrize(("observation", "memory", "decision", "after"), AT_ZERO)
def test_a_minimum_of_zero_allows_scale_to_zero_and_back(
    observation: Observation, memory: Memory, decision: Decision, after: Memory
) -> None:
    decided, memory = TO_ZERO.decide(observation, memory)
    assert (decided, windows(memory)) == (decision, after)


def test_a_larger_step_stops_at_the_minimum() -> None:
    planner = Planner(Paper(0.3, 1, step_replicas=3), Bounds(2, 10))
    decision, memory = planner.decide(LOW, remembered(4, 700.0))
    assert decision == Decision(
        2,
        4,
        OVER,
        "Utilisation is 31 % and was under 50 % for 300 s: the minimum is 2 replicas, so the floor goes from 4 to 2.",
        POLICY.demand(LOW),
    )
    assert windows(memory) == remembered(2, 1000.0, 1000.0)


@pytest.mark.parametrize(
    ("concurrency", "rate", "service", "floor"),
    [
        (1, 40.0, 0.05, 3),
        (4, 40.0, 0.05, 1),
        (4, 80.0, 0.1, 3),
        (2, 3.0, 0.1, 1),
        (1, 2.0, 1.0, 3),
        (1, 0.001, 0.01, 1),
    ],
)
def test_demand_is_the_busy_slots_over_the_concurrency(
    concurrency: int, rate: float, service: float, floor: int
) -> None:
    policy = Paper(target_p95_seconds=0.3, concurrency=concurrency)
    observation = replace(SLOW, rate_per_second=rate, service_seconds=service)
    assert policy.propose(observation, Memory.start(1)).floor == floor


def test_the_policy_refuses_to_guess_without_data() -> None:
    with pytest.raises(TypeError, match="without an observation"):
        POLICY.propose(MissingObservation(0.0, MissingReason.EMPTY, ""), Memory.start(1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"target_p95_seconds": 0.0},
        {"target_p95_seconds": float("nan")},
        {"concurrency": 0},
        {"low_utilization_seconds": -1.0},
        {"factor": float("inf")},
        {"step_replicas": 0},
        {"cold_start_fraction": 5.0},
        {"low_utilization": 50.0},
    ],
    ids=str,
)
def test_parameters_without_meaning_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(POLICY, **wrong)
