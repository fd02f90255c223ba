"""Every lost connection is an ambiguous commit: the client repeats, and the work is done once.

The wire is cut around the ends of a registration's messages, at a sample of them; every byte is cut in tests/chaos.
"""

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from local.database_proxy.faults import Direction
from local.database_proxy.proxy import Proxy
from tests.databases import Blank, Postgres, running_proxy
from tests.figures import record
from tests.integration.proxy.cutting import WRITES, Bench, Outcome, boundaries, check

SEED = 20261124
SAMPLE = 40  # of some 140 places each way
STARTUP_BYTES = 60  # a part of the startup packet, and of the answer to it


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[Proxy]:
    with running_proxy(postgres.server.port, max_connections=10, borrow_timeout_s=10) as running:
        yield running
        assert running.crashes == []


def whole(bench: Bench, cuts: int) -> None:
    """Exactly what so many registrations write, and each member with all that is theirs."""
    assert bench.written() == {table: rows * cuts for table, rows in WRITES.items()}
    assert bench.uneven() == []


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
@pytest.mark.parametrize("retries", [0, 3])
def test_a_registration_cut_anywhere_is_done_once(
    blank: Blank, proxy: Proxy, direction: Direction, retries: int
) -> None:
    """One member, audit entry and key, its two jobs, and one answer, wherever the line broke.

    Without retries of ours the client is told 503 and repeats; with them it is told 201 at once.
    """
    bench = Bench(blank, proxy, retries=retries)
    places = boundaries(flight := bench.flight(direction))
    chosen = sorted({0, places[-1], *random.Random(SEED).sample(places, SAMPLE)})
    outcomes = {after: bench.cut(direction, after) for after in chosen}
    check(direction, sum(flight), outcomes, retries=retries)
    whole(bench, len(chosen))
    record(
        "registration_cut", direction=direction, retries=retries, cuts=len(chosen), uneven=len(bench.uneven()),
        told_503_but_done=Counter(outcomes.values())[Outcome(503, found=True)], seed=SEED,
    )  # fmt: skip


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_a_line_cut_while_it_is_made_is_made_again(blank: Blank, proxy: Proxy, direction: Direction) -> None:
    """Before any statement was sent."""
    bench = Bench(blank, proxy, retries=3)
    places = range(0, STARTUP_BYTES, 12)
    assert {bench.cut(direction, after, connected=False) for after in places} == {Outcome(201, found=True)}
    whole(bench, len(places))
