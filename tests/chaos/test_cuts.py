"""A registration's line is cut at every single byte, both ways, in an order that a seed decides."""

import os
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from local.database_proxy.faults import Direction
from local.database_proxy.proxy import Proxy
from tests.databases import Blank, Postgres, running_proxy
from tests.figures import record
from tests.integration.proxy.cutting import WRITES, Bench, Outcome, check

SEED = int(os.environ.get("CHAOS_SEED", "1"))
STEP = int(os.environ.get("CHAOS_CUT_STEP", "1"))  # every how many bytes
TOLD_EVERY = 500


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[Proxy]:
    with running_proxy(postgres.server.port, max_connections=10, borrow_timeout_s=10) as running:
        yield running
        assert running.crashes == []


def shown(request: pytest.FixtureRequest, places: list[int]) -> Iterator[int]:
    """The places, with a line of progress now and then."""
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    for n, place in enumerate(places):
        if terminal is not None and n % TOLD_EVERY == 0:
            terminal.write_line(f"cut {n} of {len(places)}, seed {SEED}")
        yield place


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
@pytest.mark.parametrize("retries", [0, 3])
def test_a_registration_cut_at_every_byte_is_done_once(
    request: pytest.FixtureRequest, blank: Blank, proxy: Proxy, direction: Direction, retries: int
) -> None:
    """One member, audit entry and key, its two jobs, and one answer; with retries of ours nobody even notices."""
    bench = Bench(blank, proxy, retries=retries)
    size = sum(bench.flight(direction))
    places = list(range(0, size + 1, STEP))
    random.Random(SEED).shuffle(places)
    outcomes = {after: bench.cut(direction, after) for after in shown(request, places)}
    assert bench.written() == {table: rows * len(places) for table, rows in WRITES.items()}
    assert bench.uneven() == []
    check(direction, size, outcomes, retries=retries)
    record(
        "registration_cut_long", direction=direction, retries=retries, cuts=len(places), uneven=len(bench.uneven()),
        told_503_but_done=Counter(outcomes.values())[Outcome(503, found=True)], step=STEP, seed=SEED,
    )  # fmt: skip
