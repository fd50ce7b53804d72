"""What policies cost at an equal objective: ours at constants fixed beforehand, peers at defaults and at their best.

Each policy plays two days of several loads (`provisioning.scenarios`) at cold starts of 30 and 120 s. A request is in
time within 0.6 s, its work is 0.2 s on average. Shown are the replicas that were paid on average, the part of the
requests in time, and the regret: cost over that of the clairvoyant plan with as many late requests. Peers' best is the
cheapest of a grid that reaches the goal on the first seed of this very load, so it is a choice that nobody can make
beforehand. Intervals are 95 % over the seeds, which draw requests, work and cold starts anew; the days stay the same.

    python -m bench.policies                       everything: an hour on two cores
    python -m bench.policies --quick               one seed, a quarter of a day: minutes
    python -m bench.policies --set tuning          the other days, on which constants may be chosen
"""

import argparse
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.provisioning import contenders, scenarios, trials
from bench.provisioning.contenders import GOALS, Contender
from bench.provisioning.scenarios import Scenario
from bench.provisioning.summary import Cell, goals, lines, summaries
from bench.provisioning.trials import Result, Task
from bench.rig import report

COLD_STARTS_SECONDS = (30.0, 120.0)
QUICK_HORIZON_SECONDS = 6 * 3600.0


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--set", choices=("tuning", "reported"), default="reported")
    parser.add_argument("--only", metavar="TEXT", default="", help="loads whose name has this text")
    parser.add_argument("--ours", action="store_true", help="the hybrid policy alone")
    parser.add_argument("--cold-start", type=float, action="append", metavar="SECONDS")
    parser.add_argument("--seeds", type=int, default=None, help="10 by default, 1 with --quick")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(words)


def main() -> int:
    """Search the peers' best on the first seed, run the rest of the seeds, print, and say whether the goals hold."""
    chosen = arguments()
    loads = scenarios.TUNING if chosen.set == "tuning" else scenarios.REPORTED
    loads = tuple(load for load in loads if chosen.only in load.name)
    cold_starts = tuple(chosen.cold_start or COLD_STARTS_SECONDS)
    horizon = QUICK_HORIZON_SECONDS if chosen.quick else None
    seeds = chosen.seeds or (1 if chosen.quick else 10)
    begun = time.monotonic()

    ours = (*contenders.OURS, *contenders.OURS_ON_KNATIVE)
    fixed_beforehand = ours if chosen.ours else (*ours, *contenders.DEFAULTS)
    grid = () if chosen.ours else contenders.GRID
    first_runs = tuple(itertools.product(cold_starts, (*fixed_beforehand, *grid)))
    first = _run([Task(load, 0, first_runs, horizon, bound=True) for load in loads], chosen.processes)
    winners = {Cell(load, cold): _best(first, Cell(load, cold)) for load in loads for cold in cold_starts}
    rest = _run(_rest(loads, cold_starts, seeds, fixed_beforehand, winners, horizon), chosen.processes)

    kept = [result for result in (*first, *rest) if _kept(result, winners)]
    table = summaries(kept)
    print("\n".join(lines(table, winners)))
    print(f"\n{seeds} seeds, {len(first) + len(rest)} runs in {(time.monotonic() - begun) / 60:.0f} min")
    measures = goals(table)
    if chosen.set == "reported":
        print(report.goals(measures))
    if chosen.json:
        report.write_json(measures, chosen.json)
    return 0 if all(measure.holds for measure in measures) or chosen.set == "tuning" else 1


def _run(tasks: list[Task], processes: int) -> list[Result]:
    found: list[Result] = []
    for number, part in enumerate(trials.results(tasks, processes), start=1):
        found.extend(part)
        print(f"{number} of {len(tasks)} loads played", file=sys.stderr)
    return found


def _best(results: list[Result], cell: Cell) -> dict[tuple[str, float], Contender]:
    """The cheapest of each family that reaches each goal; families that never do are left out."""
    best: dict[tuple[str, float], Result] = {}
    for result in results:
        if result.contender.hindsight and Cell(result.scenario, result.cold_start_seconds) == cell:
            for goal in GOALS:
                key = (result.contender.family, goal)
                if result.attainment >= goal and (key not in best or result.mean_replicas < best[key].mean_replicas):
                    best[key] = result
    return {key: result.contender for key, result in best.items()}


def _rest(
    loads: Sequence[Scenario],
    cold_starts: Sequence[float],
    seeds: int,
    fixed_beforehand: Sequence[Contender],
    winners: dict[Cell, dict[tuple[str, float], Contender]],
    horizon: float | None,
) -> list[Task]:
    tasks = []
    for load, seed in itertools.product(loads, range(1, seeds)):
        runs = tuple(
            (cold, contender)
            for cold in cold_starts
            for contender in (*fixed_beforehand, *dict.fromkeys(winners[Cell(load, cold)].values()))
        )
        tasks.append(Task(load, seed, runs, horizon, bound=True))
    return tasks


def _kept(result: Result, winners: dict[Cell, dict[tuple[str, float], Contender]]) -> bool:
    """Not what lost in the grid."""
    cell = Cell(result.scenario, result.cold_start_seconds)
    return not result.contender.hindsight or result.contender in winners[cell].values()


if __name__ == "__main__":
    sys.exit(main())
