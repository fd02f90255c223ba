"""Thousands of interleavings of the database proxy's clients, simulated and real; CHAOS_SEED replays them."""

import os
import random

from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tests.databases import PostgresHandle
from tests.measurements import record
from tests.multiplexing.random_clients import run_clients
from tests.multiplexing.schedules import run_schedule

SEED = int(os.environ.get("CHAOS_SEED", "20261126"))
SCHEDULES, SHRINKABLE = 4000, 1000
CLIENTS, ROUNDS = 12, 400


@seed(SEED)
@settings(max_examples=SHRINKABLE, derandomize=False)
@given(st.lists(st.integers(0, 1 << 20), min_size=50, max_size=800))
def test_no_client_sees_an_answer_that_is_not_its_own(schedule: list[int]) -> None:
    """Chosen by Hypothesis, which makes a schedule that fails as short as it can."""
    run_schedule(schedule)


def test_thousands_of_schedules() -> None:
    """Longer ones; the number in the message is the schedule's seed."""
    for number in range(SEED, SEED + SCHEDULES):
        chosen = random.Random(number)
        try:
            run_schedule([chosen.randrange(1 << 20) for _ in range(chosen.choice([100, 300, 600, 1200]))])
        except AssertionError as error:
            raise AssertionError(f"schedule {number}: {error}") from error
    record("multiplexing", seed=SEED, schedules=SCHEDULES)


def test_the_same_on_postgresql(postgres: PostgresHandle) -> None:
    """Clients that come and go for some minutes."""
    figures = run_clients(postgres, seed=SEED, clients=CLIENTS, rounds=ROUNDS)
    assert (figures.wrong, figures.crashes) == ([], [])
    assert figures.open_max <= figures.limit
