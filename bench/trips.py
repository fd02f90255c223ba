"""The round trips of a call, counted on the wire, and how many of them follow each other."""

import re
from collections import Counter
from typing import Any

from bench.calls import SeededCalls
from bench.child import ProgramProcess
from bench.cloud import BenchCloud
from bench.programs import OPERATIONS, STACKS, Operation
from bench.warm import run_stacks
from tests.delaying_proxy import RoundTrip, count_in_sequence

# Long beside what the code does between two round trips, so that those that overlap are seen to.
DELAY_MS = 50.0
# Calls that are counted, of which the one with the fewest trips tells. On a busy machine a thread may start so late
# that what overlaps elsewhere does not, and a commit may come so late that the relay is woken once more.
COUNTED_CALLS = 5

# The operation that a request names, as each of AWS's JSON protocols has it.
TARGET = re.compile(rb"^x-amz-target: *\w+\.(\w+)", re.IGNORECASE | re.MULTILINE)


def count_trips(cloud: BenchCloud, seed: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the round trips of a warm call by stack and operation: to AWS by kind, to the database, in sequence."""
    calls = SeededCalls(seed)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    with run_stacks(cloud.delayed_environment) as processes:
        cloud.set_delay(0)
        for (_, operation), process in processes.items():
            for _ in range(2):
                process.call(calls.make_event(operation))
        for stack in STACKS:
            found[stack] = {
                operation: _count_of_call(cloud, processes[stack, operation], operation, calls)
                for operation in OPERATIONS
            }
    return found


def _count_of_call(
    cloud: BenchCloud, process: ProgramProcess, operation: Operation, calls: SeededCalls
) -> dict[str, Any]:
    process.call(calls.make_event(operation))  # a program that was idle for seconds looks at its connection first
    _take_trips(cloud)
    cloud.set_delay(DELAY_MS)
    counted = []
    for _ in range(COUNTED_CALLS):
        process.call(calls.make_event(operation))
        counted.append(_take_trips(cloud))
    cloud.set_delay(0)
    aws, database = min(counted, key=lambda trips: (sum(map(len, trips)), count_in_sequence([*trips[0], *trips[1]])))
    kinds = Counter(find_kind(trip) for trip in sorted(aws, key=lambda trip: trip.began))
    return {"aws": dict(kinds), "database": len(database), "in_sequence": count_in_sequence([*aws, *database])}


def find_kind(trip: RoundTrip) -> str:
    """Return the operation of a round trip to AWS, like SendMessage."""
    named = TARGET.search(trip.head)
    return named[1].decode() if named else "unknown"


def _take_trips(cloud: BenchCloud) -> tuple[list[RoundTrip], list[RoundTrip]]:
    return cloud.aws.take_trips(), cloud.database.take_trips()
