"""Registrations and starts under Lambda's own runtime client, as a second column beside the calls in the process."""

import random
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.calls import SeededCalls
from bench.cloud import BenchCloud, build_environment
from bench.measured import describe_median
from bench.programs import EMPTY, FUNCTIONS, STACKS, MeasuredProgram
from bench.runtime import RuntimeProgram, run_in_runtime
from bench.starts import StartSamples

CALLS = 10  # of a turn, after one that is not measured
WARM_UP = 20
STARTED_HERE = (FUNCTIONS["health"], EMPTY, *(programs["registration"] for programs in STACKS.values()))


@dataclass
class RuntimeSamples:
    """The wall and CPU times of registrations by stack, in ms, the median of each turn; and the starts."""

    wall: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    starts: StartSamples = field(default_factory=StartSamples)


def measure_runtime(
    cloud: BenchCloud, dice: random.Random, *, rounds: int, limit_s: float, report: Callable[[str], None]
) -> RuntimeSamples:
    """Return the samples of `rounds` rounds, or of as many as begin within `limit_s` seconds."""
    samples, calls, until = RuntimeSamples(), SeededCalls(dice.getrandbits(32)), time.monotonic() + limit_s
    with ExitStack() as exits:
        running: dict[str, RuntimeProgram] = {}
        for stack, programs in STACKS.items():
            running[stack] = exits.enter_context(_run(programs["registration"], cloud))
            for _ in range(WARM_UP):
                running[stack].call(calls.make_event("registration"))
        for number in range(1, rounds + 1):
            if time.monotonic() > until:
                break
            _measure_round(running, calls, dice, samples)
            _measure_starts(cloud, dice, samples)
            report(f"under awslambdaric: round {number} of {rounds}")
    return samples


def _run(program: MeasuredProgram, cloud: BenchCloud) -> Any:
    return run_in_runtime(program, build_environment(program.name, cloud.environment))


def _measure_round(
    running: dict[str, RuntimeProgram], calls: SeededCalls, dice: random.Random, samples: RuntimeSamples
) -> None:
    for stack in dice.sample(sorted(running), len(running)):
        events = [calls.make_event("registration") for _ in range(CALLS + 1)]
        times = [running[stack].call(event) for event in events][1:]
        samples.wall[stack].append(median(each.wall_ms for each in times))
        samples.cpu[stack].append(median(each.cpu_ms for each in times))


def _measure_starts(cloud: BenchCloud, dice: random.Random, samples: RuntimeSamples) -> None:
    for program in dice.sample(STARTED_HERE, len(STARTED_HERE)):
        with _run(program, cloud) as process:
            samples.starts.values[program.name]["total"].append(process.start_ms)


def describe_runtime(samples: RuntimeSamples) -> dict[str, Any]:
    """Return the medians of registrations by stack, and of starts by program."""
    return {
        "registration": {
            stack: {"wall_ms": describe_median(samples.wall[stack]), "cpu_ms": describe_median(samples.cpu[stack])}
            for stack in STACKS
        },
        "starts": {
            program.name: describe_median(samples.starts.values[program.name]["total"]) for program in STARTED_HERE
        },
    }
