"""Results of runs -> one line per policy and load with intervals over the seeds, and the goals of the project."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.provisioning.contenders import GOALS, Contender
from bench.provisioning.scenarios import Scenario
from bench.provisioning.trials import Result
from bench.rig import report

from everwarm_simulator.report import Interval, interval

REGRET_GOALS = {("ServeGen m-large", 30.0): 1.15, ("ServeGen m-large", 120.0): 1.20}
EQUAL = 0.03  # a difference in cost under this part is called none


@dataclass(frozen=True, slots=True)
class Cell:
    """A load at a mean cold start in seconds."""

    scenario: Scenario
    cold_start_seconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """One contender in one cell, over all seeds."""

    cell: Cell
    contender: Contender
    replicas: Interval
    attainment: Interval
    regret: Interval
    bound: float


Winners = Mapping[Cell, Mapping[tuple[str, float], Contender]]


def summaries(results: Sequence[Result]) -> list[Summary]:
    """In the order in which the cells and contenders come first."""
    grouped: dict[tuple[Cell, Contender], list[Result]] = defaultdict(list)
    for result in results:
        grouped[Cell(result.scenario, result.cold_start_seconds), result.contender].append(result)
    return [
        Summary(
            cell,
            contender,
            interval([result.mean_replicas for result in group]),
            interval([result.attainment for result in group]),
            interval([result.regret for result in group]),
            sum(result.bound_replicas for result in group) / len(group),
        )
        for (cell, contender), group in grouped.items()
    ]


def lines(table: Sequence[Summary], winners: Winners) -> Iterator[str]:
    """What people read: a table per load and cold start, and where a peer's best is as cheap as ours."""
    for cell in dict.fromkeys(summary.cell for summary in table):
        yield f"\n{cell.scenario.name}, cold start {cell.cold_start_seconds:g} s"
        here = [summary for summary in table if summary.cell == cell]
        rows = [_row(summary, winners[cell]) for summary in here]
        yield report.table(("policy", "replicas", "in time %", "regret", "bound"), rows)
        for goal in GOALS:
            yield _verdict(here, winners[cell], goal)


def goals(table: Sequence[Summary]) -> list[report.Measure]:
    """The regret to the bound on ServeGen where 95 % are wanted, and that the wanted part is reached."""
    found = []
    for summary in table:
        contender, cell = summary.contender, summary.cell
        if contender.family == "hybrid":
            name = f"hybrid for {contender.value:.0%}, {cell.scenario.name}, cold start {cell.cold_start_seconds:g} s"
            goal = REGRET_GOALS.get((cell.scenario.name, cell.cold_start_seconds))
            if goal is not None and contender.value == GOALS[0]:
                found.append(report.Measure(f"{name}: regret", summary.regret.mean, goal, "x the bound", at_most=True))
            found.append(report.Measure(f"{name}: in time", summary.attainment.mean, contender.value, "of requests"))
    return found


def _row(summary: Summary, winners: Mapping[tuple[str, float], Contender]) -> tuple[str, ...]:
    contender = summary.contender
    peers = ("KPA", "HPA", "Algorithm 1")
    kind = ", default" if not contender.hindsight and contender.family in peers else ""
    reached = [f"{goal:.0%}" for (family, goal), winner in winners.items() if winner == contender]
    best = f", best for {' and '.join(reached)}" if contender.hindsight else ""
    return (
        f"{contender.family} {contender.setting}{kind}{best}",
        _around(summary.replicas, 1, 2),
        _around(summary.attainment, 100, 2),
        _around(summary.regret, 1, 3),
        f"{summary.bound:.2f}",
    )


def _around(value: Interval, factor: float, digits: int) -> str:
    half = (value.high - value.mean) * factor
    return f"{value.mean * factor:.{digits}f}" + (f" ±{half:.{digits}f}" if half == half else "")


def _verdict(here: Sequence[Summary], winners: Mapping[tuple[str, float], Contender], goal: float) -> str:
    ours = next((s for s in here if s.contender.family == "hybrid" and s.contender.value == goal), None)
    if ours is None:
        return f"{goal:.0%}: without the hybrid policy nothing is compared"
    words = []
    for summary in here:
        family = summary.contender.family
        if winners.get((family, goal)) == summary.contender:
            saved = 1 - ours.replicas.mean / summary.replicas.mean
            words.append(f"{family} {_compared(saved)}")
    never = {"KPA", "HPA", "Algorithm 1", "fixed"} - {family for family, reached in winners if reached == goal}
    words.extend(f"{family} never reaches it" for family in sorted(never))
    reached = "" if ours.attainment.mean >= goal else f", and misses the goal at {ours.attainment.mean:.1%}"
    return f"{goal:.0%}: hybrid pays {ours.replicas.mean:.2f}{reached}; peers in hindsight: {', '.join(words)}"


def _compared(saved: float) -> str:
    if abs(saved) <= EQUAL:
        return "the same (within 3 %)"
    return f"{1 / (1 - saved) - 1:.0%} more" if saved > 0 else f"{saved / (saved - 1):.0%} less"
