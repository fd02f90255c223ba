"""Use cases that take the same rows meet in both orders at once, and none of them ends the other."""

import pytest

from tests.databases import Blank
from tests.figures import record
from tests.locks.acts import ACTS, CANCEL, RENEW
from tests.locks.around import Reversing
from tests.locks.pairs import Arena, Pair, sharing, shuffled_rounds

SEED = 20261124
TIMES = 3


@pytest.fixture(scope="module")
def pairs(blank: Blank) -> list[Pair]:
    """Those that share a row."""
    return sharing(blank)


def test_pairs_of_use_cases_do_not_deadlock(blank: Blank, pairs: list[Pair]) -> None:
    """However their statements fall between each other's."""
    arena = Arena(blank, SEED)
    for pair in shuffled_rounds(pairs, TIMES, SEED):
        arena.fight(pair)
    assert arena.failures == []
    assert all(arena.done[name] for name in ACTS), arena.done
    assert (arena.deadlocks, arena.counted_by_the_server()) == (0, 0)
    record("deadlocks", pairs=len(pairs), rounds=arena.rounds, deadlocks=arena.deadlocks)


def test_the_same_pair_the_other_way_round_would_deadlock(blank: Blank) -> None:
    """One of two takes its rows in the opposite order: both counters see it."""
    cancel, renew = f"{CANCEL} by staff", f"{RENEW} by staff"
    arena = Arena(blank, SEED, around={cancel: Reversing})
    for pair in shuffled_rounds([(cancel, renew)], 20, SEED):
        arena.fight(pair)
    assert arena.deadlocks > 0
    assert arena.counted_by_the_server() > 0
