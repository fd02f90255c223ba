"""The memory that a warm call holds at a time, as Python counts it: the same on an idle and on a busy machine."""

from collections.abc import Collection
from statistics import median

from bench.calls import SeededCalls
from bench.child import ProgramProcess
from bench.cloud import BenchCloud
from bench.programs import OPERATIONS, STACKS, Operation
from bench.warm import run_stacks

KB = 1000
CALLS = 9  # whose median is counted: once in a while a cache grows meanwhile


def measure_peaks(
    cloud: BenchCloud, seed: int, stacks: Collection[str] = tuple(STACKS)
) -> dict[str, dict[Operation, int]]:
    """Return the KB of a call, rounded up, by stack and operation."""
    calls = SeededCalls(seed)
    with run_stacks(cloud.environment, only=stacks) as processes:
        return {
            stack: {operation: _measure(processes[stack, operation], operation, calls) for operation in OPERATIONS}
            for stack in stacks
        }


def _measure(process: ProgramProcess, operation: Operation, calls: SeededCalls) -> int:
    process.call(calls.make_event(operation))
    peaks = [process.measure_allocations(calls.make_event(operation))["peak_bytes"] for _ in range(CALLS)]
    return -int(-median(peaks) // KB)
