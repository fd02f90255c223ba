"""The command line: python -m bench [--seed N] [--rounds N] [--starts N] [--page].

It measures, prints the figures beside their bars, and writes measurements/bench.json and docs/reference/bench.md with
its pictures. With --page it measures nothing and writes the page from the file anew.
"""

from stress.interrupts import end_at_once, run_until_interrupted

if __name__ == "__main__":
    end_at_once()

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.cloud import prepare_layer, run_cloud
from bench.figures import SampleFinder, judge_figures
from bench.page import PAGE, read_measured, write_measured, write_page
from bench.peaks import measure_peaks
from bench.runtime_calls import describe_runtime, measure_runtime
from bench.sizes import list_largest_parts, measure_layer, measure_packages
from bench.starts import describe_starts, measure_starts
from bench.trips import count_trips
from bench.warm import describe_warm, measure_warm
from stress.git_reader import read_git

ROOT = Path(__file__).resolve().parent.parent
SEED = 20261127
ROUNDS = 25  # of a turn of 4 calls for each case: the interval of the median of 25 is from the 8th to the 18th
STARTS = 9  # the fewest of which the interval of a median at 95 % leaves out the extremes
# The whole run takes at most six minutes: on a slow machine there are fewer rounds, and the page says how many.
WARM_LIMIT_S, START_LIMIT_S, RUNTIME_LIMIT_S = 170.0, 80.0, 50.0
MB = 1_000_000


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--seed", type=int, default=SEED, help="of the calls, and of the order of the rounds")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of warm calls")
    parser.add_argument("--starts", type=int, default=STARTS, help="of each program")
    parser.add_argument("--page", action="store_true", help="only write the page anew")
    return parser.parse_args(arguments)


class Progress:
    """What is done at present, on the terminal."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def report(self, text: str) -> None:
        """Print a line with the time since the beginning; on a terminal over the one before."""
        line = f"{time.monotonic() - self._began:5.0f} s  {text}"
        sys.stderr.write(f"\r\x1b[K{line}" if sys.stderr.isatty() else f"{line}\n")
        sys.stderr.flush()

    @property
    def seconds(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self._began


def measure(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Return all that a run measures."""
    dice = random.Random(options.seed)
    prepare_layer()
    measured: dict[str, Any] = {"run": describe_run(options), "sizes": measure_sizes()}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, run_cloud(Path(folder) / "cloud") as cloud:
        progress.report("round trips on the wire, and memory of a call")
        measured["trips"] = count_trips(cloud, dice.getrandbits(32))
        measured["peak_kb"] = measure_peaks(cloud, dice.getrandbits(32))
        report = progress.report
        warm = measure_warm(cloud, dice, rounds=options.rounds, limit_s=WARM_LIMIT_S, report=report)
        measured["calls"] = describe_warm(warm)
        starts = measure_starts(cloud, dice, rounds=options.starts, limit_s=START_LIMIT_S, report=report)
        measured["starts"] = describe_starts(starts)
        runtime = measure_runtime(cloud, dice, rounds=options.starts, limit_s=RUNTIME_LIMIT_S, report=report)
        measured["runtime"] = describe_runtime(runtime)
    measured["figures"] = judge_figures(measured, SampleFinder(warm, starts, runtime.starts))
    measured["run"]["seconds"] = round(progress.seconds)
    return measured


def describe_run(options: argparse.Namespace) -> dict[str, Any]:
    """Return what a reader has to know of the run."""
    commit = read_git(ROOT, "rev-parse", "--short=12", "HEAD") or "unknown"
    changed = bool(read_git(ROOT, "status", "--porcelain", "--", "bench", "functions", "layers", "migrations"))
    return {
        "commit": f"{commit} with changes" if changed else commit,
        "at": time.strftime("%Y-%m-%d", time.gmtime()),
        "seed": options.seed,
        "python": sys.version.split()[0],
        "processors": len(os.sched_getaffinity(0)),
    }


def measure_sizes() -> dict[str, Any]:
    """Return the sizes of what is deployed."""
    layer = measure_layer()
    return {
        "layer": layer,
        "layer_mb": round(sum(layer.values()) / MB, 1),
        "largest_parts": list_largest_parts(),
        "packages": measure_packages(),
    }


def print_figures(measured: dict[str, Any]) -> None:
    """Print each figure beside its bar."""
    print()
    for figure in measured["figures"]:
        interval = f"{figure['low']:g} – {figure['high']:g}" if figure["low"] is not None else ""
        verdict = "met" if figure["met"] else "NOT MET"
        print(f"{figure['name']:<66} {figure['value']:>7g}  {interval:<17} bar ≤ {figure['at_most']:<5g} {verdict}")


def main(arguments: list[str]) -> int:
    """Run the command line."""
    options = parse_arguments(arguments)
    if not options.page:
        measured = measure(options, Progress())
        write_measured(measured)
        print_figures(measured)
    write_page(read_measured())
    print(f"\n{PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(run_until_interrupted(main, sys.argv[1:], "stopped: nothing was kept"))
