"""Observation, decision and conditions -> the patch of a ModelService's status. Pure.

A pass in which nothing changed writes nothing. Figures are rewritten when one of them moves by over 5 %; the decision's
sentence and the planner's memory, which hold figures too, are rewritten with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from everwarm_operator.api import conditions
from everwarm_operator.api.conditions import Claim
from everwarm_operator.api.v1alpha1 import ForecastStatus, Observed, Status
from everwarm_operator.facts import Raw, ServiceFacts
from everwarm_operator.floor import Leftover, RevisionPlan
from everwarm_planner.decision import Decision
from everwarm_planner.memory import Memory
from everwarm_planner.observation import MissingObservation, Observation

MOVED_FRACTION = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a pass found out about one service.

    Attributes:
        generation: of the spec that was acted on.
        facts: what Kubernetes says.
        observed: what the status shall show as measured (see `published`).
        decision: what was decided.
        memory: what the planner remembers.
        plans: the parts of the floor.
        claims: what the conditions say.
        acts: whether floors are written; else the status shows those that stand.
        leftovers: floors on revisions without traffic: remembered here until they are taken off.
    """

    generation: int
    facts: ServiceFacts
    observed: Observed | None
    decision: Decision
    memory: Memory
    plans: tuple[RevisionPlan, ...]
    claims: tuple[Claim, ...]
    leftovers: tuple[Leftover, ...] = ()
    acts: bool = True


def published(old: Raw, observation: Observation | MissingObservation, now: str) -> Observed | None:
    """The figures for the status: the old ones while they are about right, or nothing new is known."""
    before = Observed.model_validate(old["observed"]) if old.get("observed") else None
    if isinstance(observation, MissingObservation):
        return before
    after = Observed(
        p95_milliseconds=None if observation.p95_seconds is None else round(observation.p95_seconds * 1000),
        rate_per_second=_rounded(observation.rate_per_second),
        utilization=_rounded(observation.utilization),
        cold_start_fraction=_rounded(observation.cold_start_fraction),
        at=now,
    )
    if before is not None and not _moved(before, after):
        return before
    return after


def status(old: Raw, outcome: Outcome, now: str) -> dict[str, Any]:
    """The whole new status.

    Args:
        old: the status as it is.
        outcome: of this pass.
        now: RFC 3339.
    """
    new: dict[str, Any] = {
        "observedGeneration": outcome.generation,
        "floor": outcome.decision.floor,
        "readyReplicas": outcome.facts.ready_replicas,
        "revisions": [
            *(
                {"name": plan.name, "percent": plan.percent, "floor": plan.floor if outcome.acts else plan.live}
                for plan in outcome.plans
            ),
            *({"name": left.name, "percent": 0, "floor": left.floor} for left in outcome.leftovers),
        ],
        "conditions": conditions.merge(
            old.get("conditions") or [], outcome.claims, generation=outcome.generation, now=now
        ),
    }
    if outcome.facts.url is not None:
        new["url"] = outcome.facts.url
    if outcome.observed is not None:
        new["observed"] = outcome.observed.model_dump(by_alias=True, exclude_none=True)
    new["decision"] = {"reason": outcome.decision.reason.value, "sentence": outcome.decision.sentence, "at": now}
    forecast = _forecast(outcome.decision)
    if forecast is not None:
        new["forecast"] = forecast.model_dump(by_alias=True)
    new["memory"] = {key: value for key, value in outcome.memory.to_dict().items() if value is not None}
    if _says_nothing_new(old, new):
        new["decision"], new["memory"] = old["decision"], old["memory"]
        if forecast is not None and "forecast" in old:
            new["forecast"] = old["forecast"]
    return new


def remembered_floors(old: Raw) -> dict[str, int]:
    """Floor by revision, as a status says."""
    status = Status.model_validate({"revisions": old.get("revisions") or []})
    return {revision.name: revision.floor for revision in status.revisions}


def patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) that makes the new object of the old; empty if they are equal."""
    difference: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            inner = patch(before, value)
            if inner:
                difference[key] = inner
        elif key not in old or before != value:
            difference[key] = value
    return difference


def _forecast(decision: Decision) -> ForecastStatus | None:
    expected = decision.forecast
    if expected is None:
        return None
    low, point, upper = (
        float(f"{rate:.3g}") for rate in (expected.low_per_second, expected.point_per_second, expected.upper_per_second)
    )
    return ForecastStatus(
        low_per_second=low,
        point_per_second=point,
        upper_per_second=upper,
        horizon_seconds=round(expected.horizon_seconds),
        model=expected.model,
    )


def _says_nothing_new(old: Raw, new: Mapping[str, Any]) -> bool:
    """Whether the decision and the memory differ from the old ones by no more than figures and times."""
    decision, memory = old.get("decision") or {}, old.get("memory") or {}
    return (
        decision.get("reason") == new["decision"]["reason"]
        and memory.get("floor") == new["memory"]["floor"]
        and memory.get("lowSinceSeconds") == new["memory"].get("lowSinceSeconds")
        and not _spent_more(memory, new["memory"])
        and old.get("observed") == new.get("observed")
        and old.get("observedGeneration") == new["observedGeneration"]
    )


def _spent_more(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether what was spent must be written down: a budget would be overspent by what a restart forgets."""
    old, new = before.get("spentUsd") or 0.0, after.get("spentUsd") or 0.0
    return bool(abs(new - old) > MOVED_FRACTION * max(old, new))


def _moved(before: Observed, after: Observed) -> bool:
    for name in ("p95_milliseconds", "rate_per_second", "utilization", "cold_start_fraction"):
        old, new = getattr(before, name), getattr(after, name)
        if (old is None) != (new is None):
            return True
        if old is not None and abs(new - old) > MOVED_FRACTION * max(abs(old), abs(new)):
            return True
    return False


def _rounded(figure: float | None) -> float | None:
    """Three significant digits: more would say more than is known."""
    return None if figure is None else float(f"{figure:.3g}")
