"""What holds for all observations, memories and bounds."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from everwarm_planner import queueing
from everwarm_planner.decision import Reason
from everwarm_planner.guardrails import Bounds
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, MissingReason, Observation
from everwarm_planner.pace import Pace
from everwarm_planner.plan import Planner
from everwarm_planner.policies.fixed import Fixed
from everwarm_planner.policies.hybrid import Hybrid
from everwarm_planner.policies.paper import Paper
from everwarm_planner.policies.schedule import Schedule, Window
from everwarm_planner.queueing import Traffic

ANY = st.floats()
SANE = st.floats(0, 1e6)
PART = st.floats(0, 1)
TIMES = st.floats(0, 1e9)

observations = st.builds(
    Observation,
    at_seconds=TIMES,
    rate_per_second=SANE,
    p95_seconds=st.none() | SANE,
    service_seconds=st.none() | st.floats(0, 1e3),
    cold_start_fraction=PART,
    utilization=st.none() | PART,
    ready_replicas=st.integers(0, 1000),
    in_flight=SANE,
    dispersion=st.none() | st.floats(0, 1000),
    service_variation=st.none() | st.floats(0, 100),
    starting_replicas=st.integers(0, 1000),
    time_to_ready_seconds=st.none() | st.floats(0, 1e5),
    recent_rate_per_second=st.none() | SANE,
    late_fraction=st.none() | PART,
)
broken = st.builds(
    Observation, ANY, ANY, st.none() | ANY, st.none() | ANY, ANY, st.none() | ANY, st.integers(-1, 9), ANY
)
missing = st.builds(MissingObservation, TIMES, st.sampled_from(MissingReason), st.text(max_size=20))
memories = st.builds(Memory, st.integers(0, 200), st.none() | TIMES, st.none() | TIMES)
bounds = st.tuples(st.integers(0, 50), st.integers(1, 100)).map(lambda pair: Bounds(min(pair), max(pair)))
papers = st.builds(
    Paper,
    target_p95_seconds=st.floats(0.001, 10),
    concurrency=st.integers(1, 32),
    low_utilization_seconds=st.floats(1, 1000),
    step_replicas=st.integers(1, 5),
)
hybrids = st.builds(
    Hybrid,
    target_seconds=st.floats(0.01, 10),
    concurrency=st.integers(1, 32),
    objective=st.floats(0.5, 0.999),
    time_to_ready_seconds=st.floats(0, 600),
    keep_seconds=st.floats(0, 600),
)
fixeds = st.builds(Fixed, st.integers(0, 200))
schedules = st.builds(
    Schedule,
    st.just((Window("*/20 * * * *", 600.0, 7), Window("30 2 * * *", 7200.0, 40, "Europe/Berlin"))),
    st.none() | papers | hybrids,
)
paces = st.builds(
    Pace,
    most_up=st.none() | st.integers(1, 9),
    most_down=st.none() | st.integers(1, 9),
    cool_down_seconds=st.floats(0, 900),
    settle_seconds=st.floats(0, 900),
)
planners = st.builds(Planner, papers | hybrids | fixeds | schedules, bounds, pace=paces)
blind = st.builds(Planner, papers, bounds)
measuring = st.builds(Planner, papers | hybrids, bounds, pace=paces)


@given(planners, observations | broken | missing, memories)
def test_the_floor_is_always_within_the_bounds_and_told(
    planner: Planner, observation: Observation | MissingObservation, memory: Memory
) -> None:
    decision, after = planner.decide(observation, memory)
    assert planner.bounds.min_replicas <= decision.floor <= planner.bounds.max_replicas
    assert (decision.previous_floor, after.floor) == (memory.floor, decision.floor)
    assert str(decision.floor) in decision.sentence
    assert not decision.changed or f"from {memory.floor} to {decision.floor}." in decision.sentence
    assert decision.sentence.endswith(".")
    assert decision.sentence.count(": ") >= 1


@settings(deadline=None)  # a memory of a week, as text
@given(planners, observations | broken | missing, memories)
def test_it_is_deterministic(planner: Planner, observation: Observation | MissingObservation, memory: Memory) -> None:
    # as text: nan, which marks what was not measured, is equal to nothing, not even to itself
    assert repr(planner.decide(observation, memory)) == repr(planner.decide(observation, memory))


@given(blind, missing | broken.filter(lambda o: o.ready_replicas < 0), memories)
def test_missing_data_never_moves_a_floor_that_is_within_the_bounds(
    planner: Planner, observation: Observation | MissingObservation, memory: Memory
) -> None:
    decision, after = planner.decide(observation, memory)
    assert decision.floor == planner.bounds.clamp(memory.floor)
    assert after.low_since_seconds is None


@given(blind, observations, memories)
def test_an_under_provisioned_service_is_lowered_by_a_changed_bound_alone(
    planner: Planner, observation: Observation, memory: Memory
) -> None:
    decision, _ = planner.decide(observation, memory)
    if decision.reason is Reason.UNDER_PROVISIONED:
        assert decision.floor >= memory.floor
    if decision.floor < memory.floor:
        assert decision.reason in {Reason.OVER_PROVISIONED, Reason.BOUNDS_CHANGED}


@given(blind, observations, memories, SANE)
def test_more_requests_never_mean_fewer_replicas_when_under_provisioned(
    planner: Planner, observation: Observation, memory: Memory, more: float
) -> None:
    slow = replace(observation, p95_seconds=100.0, cold_start_fraction=1.0)
    busier = replace(slow, rate_per_second=slow.rate_per_second + more)
    assert planner.decide(slow, memory)[0].floor <= planner.decide(busier, memory)[0].floor


@given(blind, st.lists(st.tuples(observations, st.floats(0, 200)), max_size=30), memories)
def test_at_most_one_step_down_within_a_window(
    planner: Planner, steps: list[tuple[Observation, float]], memory: Memory
) -> None:
    assert isinstance(planner.policy, Paper)
    memory = Memory.start(planner.bounds.clamp(memory.floor))
    now, lowered_at = 0.0, -1e9
    for observation, pause in steps:
        now += pause
        decision, memory = planner.decide(replace(observation, at_seconds=now), memory)
        if decision.floor < decision.previous_floor:
            # as the planner computes it: a difference of floats, not a sum
            assert now - lowered_at >= planner.policy.low_utilization_seconds
            assert decision.previous_floor - decision.floor <= planner.policy.step_replicas
            lowered_at = now


@given(st.floats(0, 40), st.integers(1, 50), st.integers(1, 5))
def test_constant_load_comes_to_rest(demand: float, floor: int, minimum: int) -> None:
    """A service that is slow and cold below its demand and well above it: the floor falls, or rises once, and stays."""
    planner = Planner(Paper(0.3, 1, low_utilization_seconds=60), Bounds(minimum, 50))
    memory, floors = Memory.start(floor), [floor]
    for tick in range(400):
        short = memory.floor < demand
        observation = Observation(
            at_seconds=tick * 15.0,
            rate_per_second=demand * 10,
            p95_seconds=1.0 if short else 0.2,
            service_seconds=0.1,
            cold_start_fraction=0.5 if short else 0.0,
            utilization=min(1.0, demand / memory.floor),
            ready_replicas=memory.floor,
            in_flight=demand,
        )
        memory = planner.decide(observation, memory)[1]
        floors.append(memory.floor)
    moves = [after - before for before, after in pairwise(floors) if after != before]
    assert sum(move > 0 for move in moves) <= 1
    assert floors[-100:] == [floors[-1]] * 100
    assert floors[-1] >= min(demand, 50)


@given(measuring, missing, memories)
def test_no_policy_that_measures_moves_without_data(
    planner: Planner, observation: MissingObservation, memory: Memory
) -> None:
    assert planner.decide(observation, memory)[0].floor == planner.bounds.clamp(memory.floor)


@given(measuring, st.lists(observations, min_size=1, max_size=8), st.integers(0, 200))
def test_after_a_restart_nothing_is_lowered_before_it_was_observed_for_long_enough(
    planner: Planner, seen: list[Observation], floor: int
) -> None:
    memory, begin = Memory.start(planner.bounds.clamp(floor)), 1e6
    for number, observation in enumerate(seen):
        at = begin + 60.0 * number
        decision, memory = planner.decide(replace(observation, at_seconds=at), memory)
        if at - begin < planner.pace.settle_seconds:
            assert decision.floor >= decision.previous_floor


@settings(deadline=None)  # the first window of a time zone reads its file
@given(planners, st.lists(observations, min_size=1, max_size=6), memories)
def test_no_step_is_longer_than_the_pace_allows(planner: Planner, seen: list[Observation], memory: Memory) -> None:
    memory = Memory.start(planner.bounds.clamp(memory.floor))
    for number, observation in enumerate(seen):
        decision, memory = planner.decide(replace(observation, at_seconds=1e6 + 90.0 * number), memory)
        moved = decision.floor - decision.previous_floor
        assert planner.pace.most_up is None or moved <= planner.pace.most_up
        assert planner.pace.most_down is None or -moved <= planner.pace.most_down


@given(
    st.builds(Planner, hybrids, st.just(Bounds(0, 10**6))),
    st.lists(st.floats(0, 100), min_size=1, max_size=200),
    st.floats(0, 1e4),
    st.floats(0, 1e4),
)
def test_hybrid_is_monotone_in_the_rate(planner: Planner, past: list[float], rate: float, more: float) -> None:
    """Between two minutes, so that both know the same past."""
    seen = Observation(0.0, 1.0, 0.2, 0.2, 0.0, 0.5, 3, 1.0)
    memory = Memory.start(0)
    for number, before in enumerate(past):
        at = 6e6 + 60.0 * number
        memory = planner.decide(replace(seen, at_seconds=at, rate_per_second=before), memory)[1]
    now = replace(seen, at_seconds=at + 1.0, rate_per_second=rate)
    busier = replace(now, rate_per_second=rate + more)
    assert planner.decide(now, memory)[0].floor <= planner.decide(busier, memory)[0].floor


@given(st.floats(0.5, 300), st.sampled_from([0.9, 0.95, 0.99]), st.integers(0, 60))
@settings(max_examples=15, deadline=None)
def test_on_constant_load_hybrid_comes_to_rest(rate: float, objective: float, floor: int) -> None:
    """Theory is right here: what it plans to be late is late. A day by the minute: the last hours hardly move."""
    policy = Hybrid(0.6, 1, objective)
    planner, memory, floors = Planner(policy, Bounds(0, 200)), Memory.start(floor), []
    traffic = Traffic(rate, 0.2, 0.25)
    for minute in range(600):
        late = queueing.waiting(traffic, max(1, memory.floor)).latency_exceeds(0.6)
        seen = Observation(
            6e6 + 60.0 * minute, rate, 0.3, 0.2, 0.0, 0.7, memory.floor, rate / 5, late_fraction=min(1.0, late)
        )
        memory = planner.decide(seen, memory)[1]
        floors.append(memory.floor)
    moves = sum(after != before for before, after in pairwise(floors[240:]))
    assert moves <= 12
    assert max(floors[240:]) - min(floors[240:]) <= 2
