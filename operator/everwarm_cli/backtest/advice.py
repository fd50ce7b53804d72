"""What was played on the test days -> which policy to choose, the sentence why, and the YAML that says so.

Of the policies that met the objective the cheapest is chosen, or who answered more in time for next to the same cost.
If none met it, who came nearest. Kubernetes' autoscaler is a yardstick here: everwarm does not set it up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from everwarm_cli.comparison import Setup
from everwarm_cli.numbers import number
from everwarm_cli.policies import Choice, PolicyName
from everwarm_cli.presentation import Judged
from everwarm_planner import queueing, wording
from everwarm_planner.policies.schedule import Window
from everwarm_planner.queueing import Traffic

_LITTLE_HISTORY_SECONDS = 2 * 86_400.0
_EQUAL = 0.02  # a difference in cost that other days would undo
_P99 = 0.98  # from this part on, p99 of the spec is nearer than p95


@dataclass(frozen=True, slots=True)
class Advice:
    """The recommendation.

    Attributes:
        policy: its label.
        chosen: its place in the list.
        sentence: why, with numbers.
        doubts: what may make it wrong, a sentence each.
        scaling: `spec` of a ModelService, as YAML.
    """

    policy: str
    chosen: int
    sentence: str
    doubts: tuple[str, ...]
    scaling: str


def fixed_replicas(setup: Setup) -> int:
    """What a person would set who knows the training days: enough for their highest interval, by queueing theory."""
    load = setup.load
    known = [rate for rate in load.history.rates_per_second if not math.isnan(rate)] if load.history else []
    peak = max(known, default=load.mean_per_second)
    variation = math.expm1(load.service_sigma**2)
    traffic = Traffic(peak, load.service_seconds, variation, load.dispersion)
    servers = queueing.least_servers(traffic, setup.objective_seconds, setup.objective_part)
    slots = math.ceil(traffic.load) if servers is None else servers
    return min(setup.max_replicas, max(1, setup.min_replicas, math.ceil(slots / setup.concurrency)))


def spelled_out(choice: Choice, setup: Setup) -> Choice:
    """The policy with its number, where a backtest chooses it: how many `fixed` is."""
    if choice.name is PolicyName.FIXED and choice.value is None:
        return Choice(choice.name, float(setup.fixed_replicas))
    return choice


def advise(judged: Sequence[Judged], setup: Setup) -> Advice:
    """The recommendation for what was played."""
    ours = [one for one in judged if one.outcome.choice.name is not PolicyName.HPA]
    meeting = [one for one in ours if one.met]
    if meeting:
        least = min(one.usd_per_month.mean for one in meeting)
        equal = [one for one in meeting if one.usd_per_month.mean <= least * (1 + _EQUAL)]
        best = max(equal, key=lambda one: one.outcome.figures["attainment"].mean)
    else:
        best = max(ours, key=lambda one: one.outcome.figures["attainment"].mean)
    sentence = _sentence(best, judged, setup, any_met=bool(meeting))
    doubts = tuple(_doubts(best, judged, setup))
    return Advice(best.outcome.choice.label, judged.index(best), sentence, doubts, _yaml(best, setup))


def _sentence(best: Judged, judged: Sequence[Judged], setup: Setup, *, any_met: bool) -> str:
    goal = f"{wording.percent(setup.objective_part)} within {wording.milliseconds(setup.objective_seconds)}"
    attained = _attained(best)
    if not any_met:
        return (
            f"No policy answered {goal}: {best.outcome.choice.label} came nearest with {attained} "
            f"for ${_usd(best)} a month. More replicas at most, a shorter cold start or a slower objective would help."
        )
    others = [_against(best, one) for one in judged if one is not best]
    others = [text for text in others if text]
    begin = f"{best.outcome.choice.label} answered {attained} within the objective ({goal}) for ${_usd(best)} a month"
    return f"{begin}; {'; '.join(others)}." if others else f"{begin}."


def _against(best: Judged, other: Judged) -> str:
    """How another policy compares: cheaper but too late, or in time and dearer."""
    ratio = other.usd_per_month.mean / best.usd_per_month.mean - 1 if best.usd_per_month.mean else 0.0
    label, attained = other.outcome.choice.label, _attained(other)
    if not other.met:
        price = f"costs {_percent(-ratio)} less" if ratio < 0 else "does not even cost less"
        return f"{label} {price} but answered only {attained}"
    if ratio <= -_EQUAL or (ratio < 0 and other.outcome.choice.name is PolicyName.HPA):
        return f"{label}, which everwarm does not set up, met it for {_percent(-ratio)} less"
    if ratio < 0:
        return f"{label} cost {_percent(-ratio)} less, but answered only {attained}"
    return f"{label} met it for {_percent(ratio)} more" if ratio >= 0.005 else f"{label} cost the same"


def _doubts(best: Judged, judged: Sequence[Judged], setup: Setup) -> list[str]:
    doubts = []
    history, days = setup.load.history, setup.load.seconds / 86_400
    learned = history.step_seconds * len(history.rates_per_second) if history else 0.0
    if learned < _LITTLE_HISTORY_SECONDS and any(one.outcome.choice.name is PolicyName.HYBRID for one in judged):
        known = wording.duration(learned) if learned else "nothing"
        doubts.append(f"hybrid knew {known} from before; it knows a day's shape after two days.")
    if days < 1:
        doubts.append("The test is shorter than a day: nights or peaks may be missing from it.")
    near = [one for one in judged if one is not best and one.met and _overlaps(one, best)]
    if near:
        names = ", ".join(one.outcome.choice.label for one in near)
        doubts.append(f"Over these seeds the cost of {names} can't be told from it.")
    attained = best.outcome.figures["attainment"]
    if best.met and attained.low < setup.objective_part:
        doubts.append("Whether it met the objective is within the interval over the seeds: more --seeds would tell.")
    doubts.append("The days to come may differ from the test days, which every choice here has seen.")
    return doubts


def _overlaps(one: Judged, other: Judged) -> bool:
    a, b = one.usd_per_month, other.usd_per_month
    return a.low <= b.high and b.low <= a.high


def _yaml(best: Judged, setup: Setup) -> str:
    """The part of a ModelService's spec that asks for the policy."""
    choice = best.outcome.choice
    least, most, policy, comment = setup.min_replicas, setup.max_replicas, choice.name.value, ""
    windows = setup.windows if choice.name is PolicyName.SCHEDULE else ()
    if choice.name is PolicyName.FIXED:
        least = most = setup.fixed(choice)
    if choice.name is PolicyName.KPA:
        policy, comment = "fixed", "  # the floor; Knative's autoscaler does the rest"
    if choice.name is PolicyName.SCHEDULE and choice.value:
        policy = "hybrid"
    scaling: dict[str, Any] = {"policy": policy, "minReplicas": least, "maxReplicas": most}
    if windows:
        scaling["schedule"] = [_window(window) for window in windows]
    part = "p99Milliseconds" if setup.objective_part >= _P99 else "p95Milliseconds"
    slo = {part: max(1, round(setup.objective_seconds * 1000))}
    spec = {"spec": {"concurrency": setup.concurrency, "slo": slo, "scaling": scaling}}
    text = yaml.safe_dump(spec, sort_keys=False)
    return text.replace(f"policy: {policy}\n", f"policy: {policy}{comment}\n")


def _window(window: Window) -> dict[str, Any]:
    return {
        "cron": window.cron,
        "timeZone": window.time_zone,
        "durationSeconds": round(window.duration_seconds),
        "replicas": window.replicas,
    }


def _attained(one: Judged) -> str:
    """With a digit more than elsewhere, so that what just missed never reads like what was asked."""
    return f"{one.outcome.figures['attainment'].mean * 100:.4g} %"


def _usd(one: Judged) -> str:
    return number(one.usd_per_month.mean)


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.0f} %" if ratio >= 0.005 else "under 1 %"
