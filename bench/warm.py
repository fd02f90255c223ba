"""Warm calls: every stack, operation and delay in turn, in another order in each round."""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.calls import SeededCalls
from bench.child import ProgramProcess, run_program
from bench.cloud import BenchCloud, build_environment
from bench.measured import describe_median
from bench.programs import OPERATIONS, STACKS, Operation

DELAYS_MS = (0.0, 1.0, 2.5)  # what is added to each round trip: nothing, a network like AWS's, and a slow one
CALLS = (
    4  # of a turn, after one that is not measured: a program that was idle for seconds looks at its connection first
)
WARM_UP = 30  # calls of each program before the first round: caches, the statements' plans, the emulator's own code


@dataclass(frozen=True)
class WarmCase:
    """One combination that is measured."""

    stack: str
    operation: Operation
    delay_ms: float


@dataclass
class WarmSamples:
    """Wall and CPU times of each case, in ms: the median of each turn, whose calls meet the same disturbance."""

    wall: dict[WarmCase, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu: dict[WarmCase, list[float]] = field(default_factory=lambda: defaultdict(list))


def list_cases() -> list[WarmCase]:
    """Return all cases; a delay says nothing of an operation that talks to nobody."""
    return [
        WarmCase(stack, operation, delay)
        for stack in STACKS
        for operation in OPERATIONS
        for delay in (DELAYS_MS if operation != "health" else DELAYS_MS[:1])
    ]


@contextmanager
def run_stacks(
    environment: Mapping[str, str], only: Collection[str] = tuple(STACKS)
) -> Iterator[dict[tuple[str, Operation], ProgramProcess]]:
    """Run a process of each program, and yield which one answers an operation of a stack."""
    stacks = {name: programs for name, programs in STACKS.items() if name in only}
    with ExitStack() as exits:
        processes: dict[str, ProgramProcess] = {}
        for program in {each.name: each for programs in stacks.values() for each in programs.values()}.values():
            variables = build_environment(program.name, environment)
            processes[program.name] = exits.enter_context(run_program(program, variables))
        yield {
            (stack, operation): processes[program.name]
            for stack, programs in stacks.items()
            for operation, program in programs.items()
        }


def measure_warm(
    cloud: BenchCloud, dice: random.Random, *, rounds: int, limit_s: float, report: Callable[[str], None]
) -> WarmSamples:
    """Return the samples of `rounds` rounds, or of as many as begin within `limit_s` seconds."""
    samples, calls, until = WarmSamples(), SeededCalls(dice.getrandbits(32)), time.monotonic() + limit_s
    with run_stacks(cloud.environment) as direct, run_stacks(cloud.delayed_environment) as delayed:
        report("warm calls: warming up")
        for processes in (direct, delayed):
            _warm_up(processes, calls)
        for number in range(1, rounds + 1):
            if time.monotonic() > until:
                break
            cases = list_cases()
            dice.shuffle(cases)
            for case in cases:
                processes = delayed if case.delay_ms else direct
                cloud.set_delay(case.delay_ms)
                _measure_turn(processes[case.stack, case.operation], case, calls, samples)
            report(f"warm calls: round {number} of {rounds}")
    return samples


def _warm_up(processes: Mapping[tuple[str, Operation], ProgramProcess], calls: SeededCalls) -> None:
    for (_, operation), process in processes.items():
        for _ in range(WARM_UP):
            process.call(calls.make_event(operation))


def _measure_turn(process: ProgramProcess, case: WarmCase, calls: SeededCalls, samples: WarmSamples) -> None:
    events = [calls.make_event(case.operation) for _ in range(CALLS + 1)]
    times = [process.call(event) for event in events][1:]
    samples.wall[case].append(median(each.wall_ms for each in times))
    samples.cpu[case].append(median(each.cpu_ms for each in times))


def describe_warm(samples: WarmSamples) -> dict[str, Any]:
    """Return the medians, by stack, operation and delay."""
    found: dict[str, Any] = {}
    for case in list_cases():
        of_delay = found.setdefault(case.stack, {}).setdefault(case.operation, {})
        medians = {"wall_ms": describe_median(samples.wall[case]), "cpu_ms": describe_median(samples.cpu[case])}
        of_delay[f"{case.delay_ms:g}"] = medians
    return found
