"""Starts of whole processes, each program in turn, in another order in each round."""

import random
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from bench.calls import SeededCalls
from bench.child import StartTimes, run_program
from bench.cloud import BenchCloud, build_environment
from bench.measured import describe_median
from bench.programs import FASTAPI, FLOOR, FUNCTIONS, POWERTOOLS, STARTED, MeasuredProgram, Operation

KIB = 1024
MB = 1_000_000
# The first call of a new process: what a client waits for beside the start. The others have no operation of their own.
FIRST_CALLS: dict[str, Operation] = {
    FUNCTIONS["members"].name: "registration",
    FUNCTIONS["claims"].name: "claim",
    FUNCTIONS["health"].name: "health",
    FLOOR.name: "registration",
    POWERTOOLS.name: "registration",
    FASTAPI.name: "registration",
}


class StartSamples:
    """The starts of each program: parts and total in ms, the first call, and what the process has become."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, program: MeasuredProgram, start: StartTimes) -> None:
        """Note one start."""
        parts = start.list_parts_ms()
        for name, value in {**parts, "total": sum(parts.values())}.items():
            self.values[program.name][name].append(value)
        self.values[program.name]["modules"].append(start.modules)

    def add_state(self, program: MeasuredProgram, state: dict[str, int]) -> None:
        """Note what a process is after its first call."""
        self.values[program.name]["warm_modules"].append(state["modules"])
        self.values[program.name]["warm_mb"].append(state["rss_kib"] * KIB / MB)


def measure_starts(
    cloud: BenchCloud, dice: random.Random, *, rounds: int, limit_s: float, report: Callable[[str], None]
) -> StartSamples:
    """Return the samples of `rounds` rounds, after one that fills the kernel's cache of files.

    Of fewer, if they don't begin within `limit_s` seconds.
    """
    samples, calls, until = StartSamples(), SeededCalls(dice.getrandbits(32)), time.monotonic() + limit_s
    for number in range(rounds + 1):
        if time.monotonic() > until:
            break
        programs = list(STARTED)
        dice.shuffle(programs)
        for program in programs:
            _measure_start(program, cloud, calls, samples if number else StartSamples())
        report(f"starts: round {number} of {rounds}")
    return samples


def _measure_start(program: MeasuredProgram, cloud: BenchCloud, calls: SeededCalls, samples: StartSamples) -> None:
    with run_program(program, build_environment(program.name, cloud.environment)) as process:
        samples.add(program, process.start)
        if operation := FIRST_CALLS.get(program.name):
            event, began = calls.make_event(operation), time.perf_counter()
            process.call(event)
            samples.values[program.name]["first_call"].append((time.perf_counter() - began) * 1000)
        samples.add_state(program, process.measure())


def describe_starts(samples: StartSamples) -> dict[str, Any]:
    """Return the medians of each program; of modules the exact number, if all starts agree."""
    found: dict[str, Any] = {}
    for program in STARTED:
        values = samples.values[program.name]
        found[program.name] = {"title": program.title, **{name: describe_median(each) for name, each in values.items()}}
    return found
