"""A spec -> the planner that decides for it, and a status -> what that planner remembers. Pure."""

from dataclasses import dataclass, replace

from everwarm_operator.api.scaling import Scaling
from everwarm_operator.api.v1alpha1 import ModelService, Spec
from everwarm_operator.errors import InvalidSpec
from everwarm_operator.facts import Raw, ServiceFacts
from everwarm_operator.floor import plan
from everwarm_planner.budget import Budget
from everwarm_planner.decision import Decision, Reason
from everwarm_planner.guardrails import Bounds, Fallback
from everwarm_planner.memory import Memory
from everwarm_planner.pace import Pace
from everwarm_planner.plan import Planner
from everwarm_planner.policies.base import Policy
from everwarm_planner.policies.fixed import Fixed
from everwarm_planner.policies.hybrid import Hybrid
from everwarm_planner.policies.paper import Paper
from everwarm_planner.policies.schedule import Schedule, Window


@dataclass(frozen=True, slots=True)
class Objective:
    """This part of the requests (0 to 1) shall be answered within this time."""

    target_seconds: float
    part: float


def objective(spec: Spec) -> Objective:
    """What a spec promises, and the hybrid policy plans for."""
    if spec.slo.p99_milliseconds is not None:
        return Objective(spec.slo.p99_milliseconds / 1000, 0.99)
    return Objective(spec.slo.p95_milliseconds / 1000, 0.95)


def planner(spec: Spec, window_seconds: float) -> Planner:
    """The planner that a spec asks for.

    Args:
        spec: of a ModelService.
        window_seconds: what an observation covers; before one was seen in full, none lowers a floor.

    Raises:
        InvalidSpec: the API server could not see what is wrong: a cron expression, the name of a time zone.
    """
    scaling = spec.scaling
    try:
        return Planner(
            policy=_scheduled(spec),
            bounds=Bounds(min_replicas=scaling.min_replicas, max_replicas=scaling.max_replicas),
            pace=Pace(
                most_up=scaling.pace.max_step_up,
                most_down=scaling.pace.max_step_down,
                cool_down_seconds=float(scaling.pace.cool_down_seconds),
                settle_seconds=window_seconds,
            ),
            budget=_budget(scaling),
            fallback=_fallback(scaling),
        )
    except ValueError as error:
        raise InvalidSpec(f"spec.scaling can't be followed: {error}") from error


def paused(memory: Memory, facts: ServiceFacts) -> tuple[Decision, Memory]:
    """What stands, as the decision of a service whose scaling is paused."""
    routed = [part for part in plan(0, facts.revisions) if part.percent > 0]
    floor = sum(part.live for part in routed) if routed else memory.floor
    sentence = f"Scaling is paused: the floor stays at {floor}."
    return Decision(floor, floor, Reason.PAUSED, sentence), replace(memory, floor=floor, low_since_seconds=None)


def _scheduled(spec: Spec) -> Policy:
    """The policy, and the windows over it."""
    scaling = spec.scaling
    windows = tuple(
        Window(window.cron, window.duration_seconds, window.replicas, window.time_zone, window.name)
        for window in scaling.schedule
    )
    if scaling.policy == "schedule":
        return Schedule(windows)
    base = _policy(spec)
    return Schedule(windows, base) if windows else base


def _policy(spec: Spec) -> Policy:
    if spec.scaling.policy == "fixed":
        return Fixed(replicas=spec.scaling.min_replicas)
    if spec.scaling.policy == "paper":
        return Paper(
            target_p95_seconds=spec.slo.p95_milliseconds / 1000,
            concurrency=spec.concurrency,
            low_utilization_seconds=float(spec.scaling.low_utilization_seconds),
        )
    promise = objective(spec)
    return Hybrid(target_seconds=promise.target_seconds, concurrency=spec.concurrency, objective=promise.part)


def _budget(scaling: Scaling) -> Budget | None:
    wanted = scaling.budget
    return None if wanted is None else Budget(wanted.usd_per_month, wanted.usd_per_replica_hour)


def _fallback(scaling: Scaling) -> Fallback | None:
    wanted = scaling.fallback
    return None if wanted is None else Fallback(float(wanted.after_seconds), wanted.replicas)


def remembered(service: ModelService, old: Raw, facts: ServiceFacts) -> Memory:
    """Where to go on after a start of the operator: never with a lower floor than what stands.

    Args:
        service: whose memory.
        old: its status as it is.
        facts: what Kubernetes says; it has the last word where a status was lost.
    """
    floor = old.get("floor")
    if isinstance(floor, int) and floor >= 0:
        memory = Memory.from_dict(old.get("memory"), floor)
        # The status is written before the floor is, so its floor is the newest, whatever the memory says.
        return memory if memory.floor == floor else Memory.start(floor)
    live = sum(part.live for part in plan(0, facts.revisions) if part.percent > 0)
    return Memory.start(max(live, service.spec.scaling.min_replicas))
