"""Every lost connection is an ambiguous commit: the client repeats, and the work is done once.

The wire is cut around the ends of a registration's messages, at a sample of them; every byte is cut in tests/chaos.
"""

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.databases import Blank, Postgres
from tests.figures import record
from tests.integration.proxy.cutting import WRITES, Bench, Outcome, boundaries
from tests.proxy.faults import Direction
from tests.proxy.handle import Proxy, running_proxy

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
def test_a_registration_cut_anywhere_is_done_once_by_its_repeat(
    blank: Blank, proxy: Proxy, direction: Direction
) -> None:
    """One member, audit entry and key, its two jobs, and one answer, wherever the line broke."""
    bench = Bench(blank, proxy, retries=0)
    places = boundaries(bench.flight()[direction])
    chosen = sorted({0, places[-1], *random.Random(SEED).sample(places, SAMPLE)})
    outcomes = {after: bench.cut(direction, after) for after in chosen}
    whole(bench, len(chosen))
    lost = Counter(outcomes.values())
    if direction == "to_server":
        assert outcomes[0] == Outcome(503, found=False)
        assert outcomes[places[-1]].told == 503  # all of it was sent, nothing came back
    else:
        # Only the answer was lost: all but the last place are calls that failed and were done.
        assert outcomes[places[-1]] == Outcome(201, found=True)
        assert lost[Outcome(503, found=True)] == len(chosen) - 1
    record(
        "registration cut on the wire", direction=direction, cuts=len(chosen),
        told_503_but_done=lost[Outcome(503, found=True)], done_once=len(chosen), seed=SEED,
    )  # fmt: skip


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_a_cut_is_not_even_noticed_where_there_is_time_for_a_retry(
    blank: Blank, proxy: Proxy, direction: Direction
) -> None:
    """The transaction is run again on a new line and finds its own first try: the first answer is 201."""
    bench = Bench(blank, proxy, retries=3)
    chosen = random.Random(SEED).sample(boundaries(bench.flight()[direction]), SAMPLE // 2)
    assert {bench.cut(direction, after) for after in chosen} == {Outcome(201, found=True)}
    whole(bench, len(chosen))


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_a_line_cut_while_it_is_made_is_made_again(blank: Blank, proxy: Proxy, direction: Direction) -> None:
    """Before any statement was sent."""
    bench = Bench(blank, proxy, retries=3)
    places = range(0, STARTUP_BYTES, 12)
    assert {bench.cut(direction, after, connected=False) for after in places} == {Outcome(201, found=True)}
    whole(bench, len(places))
