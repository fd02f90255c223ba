"""Every lost connection is an ambiguous commit: the client repeats, and the work is done once.

The wire is cut around the ends of a registration's messages, at a sample of them; every byte is cut in tests/chaos.
"""

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from local.database_proxy.faults import Direction
from local.database_proxy.proxy import Proxy
from tests.databases import FreshDatabase, PostgresHandle, run_tls_proxy
from tests.integration.proxy.cut_connections import WRITES, CutConnectionSetup, CutOutcome, check, list_boundaries
from tests.measurements import record

SEED = 20261124
SAMPLE = 40  # of some 140 places each way
STARTUP_BYTES = 60  # a part of the startup packet, and of the answer to it


@pytest.fixture
def proxy(postgres: PostgresHandle) -> Iterator[Proxy]:
    with run_tls_proxy(postgres.server.port, max_connections=10, borrow_timeout_s=10) as running:
        yield running
        assert running.crashes == []


def assert_whole(setup: CutConnectionSetup, cuts: int) -> None:
    """Assert that there is exactly what `cuts` registrations write, and each member with all that is theirs."""
    assert setup.count_written() == {table: rows * cuts for table, rows in WRITES.items()}
    assert setup.list_uneven() == []


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
@pytest.mark.parametrize("retries", [0, 3])
def test_a_registration_cut_anywhere_is_done_once(
    fresh_database: FreshDatabase, proxy: Proxy, direction: Direction, retries: int
) -> None:
    """It leaves one member, audit entry and key, two jobs and one answer, wherever the connection broke.

    Without retries the client gets a 503 and repeats; with them it gets a 201 at once.
    """
    setup = CutConnectionSetup(fresh_database, proxy, retries=retries)
    places = list_boundaries(lengths := setup.measure_round_trip(direction))
    chosen = sorted({0, places[-1], *random.Random(SEED).sample(places, SAMPLE)})
    outcomes = {after: setup.cut(direction, after) for after in chosen}
    check(direction, sum(lengths), outcomes, retries=retries)
    assert_whole(setup, len(chosen))
    record(
        "registration_cut", direction=direction, retries=retries, cuts=len(chosen), uneven=len(setup.list_uneven()),
        told_503_but_done=Counter(outcomes.values())[CutOutcome(503, found=True)], seed=SEED,
    )  # fmt: skip


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_a_connection_cut_while_it_is_made_is_made_again(
    fresh_database: FreshDatabase, proxy: Proxy, direction: Direction
) -> None:
    """No statement was sent before."""
    setup = CutConnectionSetup(fresh_database, proxy, retries=3)
    places = range(0, STARTUP_BYTES, 12)
    assert {setup.cut(direction, after, connected=False) for after in places} == {CutOutcome(201, found=True)}
    assert_whole(setup, len(places))
