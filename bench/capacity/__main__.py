"""`python -m bench.capacity`: load the service with 1 to 200 users; write measurements/capacity.json and the page."""

from stress.interrupts import end_at_once, run_until_interrupted

if __name__ == "__main__":
    end_at_once()

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import uvloop

from bench.capacity.earlier import CommitMissing, read_earlier_commit
from bench.capacity.page import MEASURED, PAGE, format_outcome, list_terminal_rows, read_measured, write_page
from bench.capacity.run import FULL, SHORT, CapacityRun, RunSizes
from bench.programs import ROOT
from stress.fixtures import FixtureError
from stress.local_target import TargetStartError
from stress.processes import raise_priority
from stress.progress_view import ProgressView

SEED = 20261127


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED, help="of calls, pauses and the order of turns")
    parser.add_argument("--base", help="the commit to compare with; default that of bench/capacity/earlier_commit.txt")
    parser.add_argument("--alone", action="store_true", help="compare with no earlier commit")
    parser.add_argument("--short", action="store_true", help="a minute or two, of which no figure can be decided")
    parser.add_argument("--rounds", type=int, help="of all numbers of users, at most")
    parser.add_argument("--out", type=Path, default=MEASURED, help="the file to write; only the default has a page")
    parser.add_argument("--page", action="store_true", help="only write the page anew")
    return parser.parse_args(arguments)


def choose_sizes(options: argparse.Namespace) -> RunSizes:
    """Return the sizes of the run."""
    sizes = SHORT if options.short else FULL
    return sizes if options.rounds is None else replace(sizes, rounds=options.rounds)


def measure(options: argparse.Namespace) -> int:
    """Run all turns and write what was measured; return the exit status."""
    base = None if options.alone else options.base or read_earlier_commit()
    raise_priority()
    sizes = choose_sizes(options)
    with ProgressView(profile="capacity", expected_s=sizes.expected_s) as progress:
        try:
            measured = uvloop.run(CapacityRun(sizes, options.seed, base, ROOT / ".stress", progress).measure_all())
        except (TargetStartError, FixtureError, CommitMissing) as error:
            print(error, file=sys.stderr)
            return 1
    options.out.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print("\n".join(["", *list_terminal_rows(measured), "", *map(format_outcome, measured["figures"]), ""]))
    return 0


def main(arguments: list[str]) -> int:
    """Run the command line."""
    options = parse_arguments(arguments)
    if not options.page and (status := measure(options)):
        return status
    if options.page or options.out == MEASURED:
        write_page(read_measured())
        print(PAGE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(run_until_interrupted(main, sys.argv[1:], "stopped: nothing was kept"))
