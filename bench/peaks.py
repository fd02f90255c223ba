"""The memory that a warm call holds at a time, as Python counts it: the same on an idle and on a busy machine."""

from collections.abc import Collection

from bench.calls import SeededCalls
from bench.child import ProgramProcess
from bench.cloud import BenchCloud
from bench.programs import OPERATIONS, STACKS, Operation
from bench.sizes import round_up_to_kb
from bench.warm import run_stacks

CALLS = 15
# The lower quartile counts: in some calls a cache grows meanwhile, and in one or another on a busy machine a thread
# starts so late that its peak is over before that of the other.
COUNTED = CALLS // 4
# Added to each round trip, so that both threads of a write hold their requests at the same time. Without it a call's
# peak is that of one thread or of both, as their round trips happen to overlap: from 71 to 106 KB for a registration.
DELAY_MS = 20.0


def measure_peaks(
    cloud: BenchCloud, seed: int, stacks: Collection[str] = tuple(STACKS)
) -> dict[str, dict[Operation, int]]:
    """Return the KB of a call, rounded up, by stack and operation."""
    calls = SeededCalls(seed)
    cloud.set_delay(DELAY_MS)
    with run_stacks(cloud.delayed_environment, only=stacks) as processes:
        peaks = {
            stack: {operation: _measure(processes[stack, operation], operation, calls) for operation in OPERATIONS}
            for stack in stacks
        }
    cloud.set_delay(0)
    return peaks


def _measure(process: ProgramProcess, operation: Operation, calls: SeededCalls) -> int:
    process.call(calls.make_event(operation))
    peaks = [process.measure_allocations(calls.make_event(operation))["peak_bytes"] for _ in range(CALLS)]
    return round_up_to_kb(sorted(peaks)[COUNTED])
