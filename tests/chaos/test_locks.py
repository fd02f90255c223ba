"""Use cases that take the same rows against each other, for some thousands of rounds."""

import os

import pytest

from tests.databases import FreshDatabase
from tests.lock_order.concurrent_pairs import ContentionTest, list_sharing_pairs, shuffle_rounds
from tests.lock_order.write_operations import ACTS
from tests.measurements import record

SEED = int(os.environ.get("CHAOS_SEED", "20261124"))
TIMES = 40
REPORT_EVERY = 100


def test_thousands_of_meetings_end_without_a_deadlock(
    fresh_database: FreshDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each pair in both orders at once, with pauses between its statements that the seed decides."""
    contention, pairs = ContentionTest(fresh_database, SEED), list_sharing_pairs(fresh_database)
    for pair in shuffle_rounds(pairs, TIMES, SEED):
        contention.run_round(pair)
        if contention.rounds % REPORT_EVERY == 0:
            with capsys.disabled():
                print(f"\n  round {contention.rounds}/{len(pairs) * TIMES} of seed {SEED}", end="", flush=True)  # noqa: T201
    assert contention.failures == []
    assert all(contention.done[name] for name in ACTS), contention.done
    assert (contention.deadlocks, contention.count_server_deadlocks()) == (0, 0)
    record("deadlocks_long", seed=SEED, pairs=len(pairs), rounds=contention.rounds, deadlocks=contention.deadlocks)
