"""What policies cost at an equal objective: ours at constants fixed beforehand, peers at defaults and at their best.

Each policy plays a day of several loads (`provisioning.scenarios`) at cold starts of 30 and 120 s. A request is in time
within 0.6 s, its work is 0.2 s on average. Shown are the replicas that were paid on average, the part of the requests
in time, and the regret: cost over that of the clairvoyant plan with as many late requests. Peers' best is the cheapest
of a grid that reaches the goal on the first seed of this very load, so it is a choice that nobody can make beforehand.
Intervals are 95 % over the seeds, which draw requests, work and cold starts anew; the day stays the same.

    python -m bench.policies                       everything: an hour on two cores
    python -m bench.policies --quick               one seed, a quarter of a day, a thin grid: minutes
    python -m bench.policies --set tuning --who ours   other days, on which constants may be chosen
    python -m bench.policies --keep runs.jsonl     write what each run gave, and don't repeat the peers' that are there
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
from bench.provisioning.summary import Cell, Winners, goals, lines, summaries
from bench.provisioning.trials import Result, Task
from bench.rig import report

COLD_STARTS_SECONDS = (30.0, 120.0)
QUICK_HORIZON_SECONDS = 6 * 3600.0
Run = tuple[float, Contender]
_RUNS_AT_ONCE = 40  # of one load and seed in a process, which has to draw the load and fill the bound's table first


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--set", choices=("tuning", "reported"), default="reported")
    parser.add_argument("--only", metavar="TEXT", default="", help="loads whose name has this text")
    parser.add_argument("--who", choices=("all", "ours", "peers"), default="all")
    parser.add_argument("--cold-start", type=float, action="append", metavar="SECONDS")
    parser.add_argument("--seeds", type=int, default=None, help="10 by default, 1 with --quick")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    return parser.parse_args(words)


def main() -> int:
    """Search the peers' best on the first seed, run the rest of the seeds, print, and say whether the goals hold."""
    chosen = arguments()
    loads = scenarios.TUNING if chosen.set == "tuning" else scenarios.REPORTED
    loads = tuple(load for load in loads if chosen.only in load.name)
    cold_starts = tuple(chosen.cold_start or COLD_STARTS_SECONDS)
    seeds = chosen.seeds or (1 if chosen.quick else 10)
    session = Session(chosen, loads)

    ours = () if chosen.who == "peers" else contenders.OURS
    beforehand = ours if chosen.who == "ours" else (*ours, *contenders.DEFAULTS)
    once = contenders.ON_KNATIVE if ours else ()
    grid = () if chosen.who == "ours" else contenders.THIN_GRID if chosen.quick else contenders.GRID
    everything = tuple(itertools.product(cold_starts, (*beforehand, *once, *grid)))
    first = session.run({(load, 0): everything for load in loads})
    winners = {Cell(load, cold): best(first, Cell(load, cold)) for load in loads for cold in cold_starts}
    rest = session.run(
        {
            (load, seed): tuple(
                (cold, contender)
                for cold in cold_starts
                for contender in (*beforehand, *dict.fromkeys(winners[Cell(load, cold)].values()))
            )
            for load, seed in itertools.product(loads, range(1, seeds))
        }
    )
    table = summaries([result for result in (*first, *rest) if _kept(result, winners)])
    measures = goals(table) if chosen.set == "reported" else []
    print("\n".join(lines(table, winners)))
    print(f"\n{seeds} seeds, {session.describe()}\n{report.goals(measures, digits=4) if measures else ''}")
    if chosen.json:
        report.write_json(measures, chosen.json)
    if chosen.plot:
        from bench.provisioning import frontier

        frontier.write(chosen.plot, first)
    return report.exit_code(measures)


class Session:
    """Runs what has not been run yet, and keeps it where that was asked for."""

    def __init__(self, chosen: argparse.Namespace, loads: Sequence[Scenario]) -> None:
        self._horizon = QUICK_HORIZON_SECONDS if chosen.quick else None
        self._processes: int = chosen.processes
        self._keep: Path | None = chosen.keep
        self._known: list[Result] = []
        self._begun = time.monotonic()
        self._played = 0
        if self._keep is not None and self._keep.exists():
            kept = trials.read(self._keep.read_text(), loads)
            self._known = [result for result in kept if not result.contender.family.startswith("hybrid")]

    def run(self, wanted: dict[tuple[Scenario, int], tuple[Run, ...]]) -> list[Result]:
        """All results that are wanted, run or known."""
        found = [result for result in self._known if _run_of(result) in wanted.get((result.scenario, result.seed), ())]
        known = {(result.scenario, result.seed, *_run_of(result)) for result in found}
        tasks = []
        for (load, seed), runs in wanted.items():
            missing = [run for run in runs if (load, seed, *run) not in known]
            for begin in range(0, len(missing), _RUNS_AT_ONCE):
                part = tuple(missing[begin : begin + _RUNS_AT_ONCE])
                tasks.append(Task(load, seed, part, self._horizon, bound=True))
        for number, part in enumerate(trials.results(tasks, self._processes), start=1):
            found.extend(part)
            self._played += len(part)
            if self._keep is not None:
                with self._keep.open("a") as file:
                    file.write(trials.written(part))
            print(f"{number} of {len(tasks)} parts played", file=sys.stderr, flush=True)
        return found

    def describe(self) -> str:
        """What it took."""
        return f"{self._played} runs in {(time.monotonic() - self._begun) / 60:.0f} min"


def best(results: Sequence[Result], cell: Cell) -> dict[tuple[str, float], Contender]:
    """The cheapest of each family that reaches each goal; families that never do are left out."""
    found: dict[tuple[str, float], Result] = {}
    for result in results:
        if result.contender.hindsight and Cell(result.scenario, result.cold_start_seconds) == cell:
            for goal in GOALS:
                key = (result.contender.family, goal)
                if result.attainment >= goal and (key not in found or result.mean_replicas < found[key].mean_replicas):
                    found[key] = result
    return {key: result.contender for key, result in found.items()}


def _run_of(result: Result) -> Run:
    return result.cold_start_seconds, result.contender


def _kept(result: Result, winners: Winners) -> bool:
    """Not what lost in the grid."""
    cell = Cell(result.scenario, result.cold_start_seconds)
    return not result.contender.hindsight or result.contender in winners[cell].values()


if __name__ == "__main__":
    sys.exit(main())
