"""A spec -> the planner that decides for it, and a status -> what that planner remembers. Pure."""

from everwarm_operator.api.v1alpha1 import ModelService, Spec
from everwarm_operator.facts import Raw, ServiceFacts
from everwarm_operator.floor import plan
from everwarm_planner.guardrails import Bounds
from everwarm_planner.memory import Memory
from everwarm_planner.plan import Planner
from everwarm_planner.policies.fixed import Fixed
from everwarm_planner.policies.paper import Paper


def planner(spec: Spec) -> Planner:
    """The planner that a spec asks for."""
    scaling = spec.scaling
    bounds = Bounds(min_replicas=scaling.min_replicas, max_replicas=scaling.max_replicas)
    if scaling.policy == "fixed":
        return Planner(policy=Fixed(replicas=scaling.min_replicas), bounds=bounds)
    paper = Paper(
        target_p95_seconds=spec.slo.p95_milliseconds / 1000,
        concurrency=spec.concurrency,
        low_utilization_seconds=float(scaling.low_utilization_seconds),
    )
    return Planner(policy=paper, bounds=bounds)


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
