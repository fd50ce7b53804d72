"""All benches, one after the other: `python -m bench [--quick] [--only NAMES] [--json FILE]`.

Each runs in a process of its own and prints its table. With --json, the goals of all are collected in one file, a list
of {bench, name, got, goal, unit, holds}; a bench that can't run has no entries there, and is named at the end.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.rig import report

BENCHES: Final = ("simulator", "planner", "policies", "quantization", "serving", "batching")
CANT_RUN: Final = 2  # the exit code of a bench that could not measure; 1: a goal was missed


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--quick", action="store_true", help="at most 5 minutes for each")
    parser.add_argument("--only", default=",".join(BENCHES), help="benches, by commas (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="collect the goals of all there")
    options = parser.parse_args(given)
    options.only = [name.strip() for name in options.only.split(",") if name.strip()]
    if unknown := sorted(set(options.only) - set(BENCHES)):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    return options


def run(name: str, *, quick: bool, json: Path) -> int:
    """Run one bench, with its goals to a file; its exit code."""
    command = [sys.executable, "-m", f"bench.{name}", "--json", str(json), *(["--quick"] if quick else [])]
    return subprocess.run(command, check=False).returncode


def main(given: Sequence[str]) -> int:
    """Run; 0: all goals hold, 1: some are missed, 2: a bench could not run."""
    options = arguments(given)
    codes: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="everwarm-bench-") as directory:
        files = {name: Path(directory) / f"{name}.json" for name in options.only}
        for name, file in files.items():
            print(f"\n== {name}", flush=True)
            codes[name] = run(name, quick=options.quick, json=file)
        if options.json is not None:
            report.collect(files, options.json)
    failed = [name for name, code in codes.items() if code not in {0, 1}]
    if failed:
        print(f"bench: could not run: {', '.join(failed)}", file=sys.stderr)
        return CANT_RUN
    return max(codes.values(), default=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
