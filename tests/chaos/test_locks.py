"""Use cases that take the same rows against each other, for some thousands of rounds."""

import os

import pytest

from tests.databases import Blank
from tests.figures import record
from tests.locks.acts import ACTS
from tests.locks.pairs import Arena, sharing, shuffled_rounds

SEED = int(os.environ.get("CHAOS_SEED", "20261124"))
TIMES = 40
TELL_EVERY = 100


def test_thousands_of_meetings_end_without_a_deadlock(blank: Blank, capsys: pytest.CaptureFixture[str]) -> None:
    """Each pair in both orders at once, with pauses between its statements that the seed decides."""
    arena, pairs = Arena(blank, SEED), sharing(blank)
    for pair in shuffled_rounds(pairs, TIMES, SEED):
        arena.fight(pair)
        if arena.rounds % TELL_EVERY == 0:
            with capsys.disabled():
                print(f"\n  round {arena.rounds}/{len(pairs) * TIMES} of seed {SEED}", end="", flush=True)  # noqa: T201
    assert arena.failures == []
    assert all(arena.done[name] for name in ACTS), arena.done
    assert (arena.deadlocks, arena.counted_by_the_server()) == (0, 0)
    record("deadlocks_long", seed=SEED, pairs=len(pairs), rounds=arena.rounds, deadlocks=arena.deadlocks)
