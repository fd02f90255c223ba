"""The smallest share of failing calls that opens a circuit by chance, in simulated fleets; CHAOS_SEED replays it."""

import os
from random import Random

import pytest

from tests.measurements import record
from tests.simulated_environments import SimulatedEnvironments

SEED = int(os.environ.get("CHAOS_SEED", "20261126"))
RUNS, CALLS = 20, 10_000
LASTING_S = 0.1


@pytest.mark.parametrize(
    ("size", "per_s", "share"),
    [(1, 2.0, 0.02), (50, 5.0, 0.02), (16, 20.0, 0.02), (16, 100.0, 0.02), (50, 100.0, 0.01), (50, 400.0, 0.01)],
)
def test_a_small_share_of_failures_does_not_open_a_circuit(size: int, per_s: float, share: float) -> None:
    """One call in fifty fails while at most ten run at once, or one in a hundred with any number of calls."""
    opened = [
        SimulatedEnvironments(size).count_calls_until_open(
            share, CALLS, per_s=per_s, lasting_s=LASTING_S, random=Random(SEED + run)
        )
        for run in range(RUNS)
    ]
    times = sum(at is not None for at in opened)
    record("breaker.small_share", size=size, per_s=per_s, share=share, opened=times, runs=RUNS, calls=CALLS, seed=SEED)
    assert times <= RUNS // 20
