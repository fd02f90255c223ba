"""Use cases that take the same rows meet in both orders at once, and none of them ends the other."""

import pytest

from tests.databases import FreshDatabase
from tests.lock_order.concurrent_pairs import ContentionTest, Pair, list_sharing_pairs, shuffle_rounds
from tests.lock_order.transaction_wrappers import ReversedTransaction
from tests.lock_order.write_operations import ACTS, CANCEL, RENEW
from tests.measurements import record

SEED = 20261124
TIMES = 3


@pytest.fixture(scope="module")
def pairs(fresh_database: FreshDatabase) -> list[Pair]:
    """Return the pairs of operations that share a row."""
    return list_sharing_pairs(fresh_database)


def test_pairs_of_use_cases_do_not_deadlock(fresh_database: FreshDatabase, pairs: list[Pair]) -> None:
    """This holds however their statements interleave."""
    contention = ContentionTest(fresh_database, SEED)
    for pair in shuffle_rounds(pairs, TIMES, SEED):
        contention.run_round(pair)
    assert contention.failures == []
    assert all(contention.done[name] for name in ACTS), contention.done
    assert (contention.deadlocks, contention.count_server_deadlocks()) == (0, 0)
    record("deadlocks", pairs=len(pairs), rounds=contention.rounds, deadlocks=contention.deadlocks)


def test_the_same_pair_the_other_way_round_would_deadlock(fresh_database: FreshDatabase) -> None:
    """One of two takes its rows in the opposite order, and both counters see the deadlock."""
    cancel, renew = f"{CANCEL} by staff", f"{RENEW} by staff"
    contention = ContentionTest(fresh_database, SEED, around={cancel: ReversedTransaction})
    for pair in shuffle_rounds([(cancel, renew)], 20, SEED):
        contention.run_round(pair)
    assert contention.deadlocks > 0
    assert contention.count_server_deadlocks() > 0
