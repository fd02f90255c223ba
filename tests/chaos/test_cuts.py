"""A registration's line is cut at every single byte, both ways, in an order that a seed decides."""

import os
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from local.database_proxy.faults import Direction
from local.database_proxy.proxy import Proxy
from tests.databases import FreshDatabase, PostgresHandle, run_tls_proxy
from tests.integration.proxy.cut_connections import WRITES, CutConnectionSetup, CutOutcome, check
from tests.measurements import record

SEED = int(os.environ.get("CHAOS_SEED", "1"))
STEP = int(os.environ.get("CHAOS_CUT_STEP", "1"))  # every how many bytes
REPORT_EVERY = 500


@pytest.fixture
def proxy(postgres: PostgresHandle) -> Iterator[Proxy]:
    with run_tls_proxy(postgres.server.port, max_connections=10, borrow_timeout_s=10) as running:
        yield running
        assert running.crashes == []


def show_progress(request: pytest.FixtureRequest, places: list[int]) -> Iterator[int]:
    """Yield the places, with a line of progress now and then."""
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    for n, place in enumerate(places):
        if terminal is not None and n % REPORT_EVERY == 0:
            terminal.write_line(f"cut {n} of {len(places)}, seed {SEED}")
        yield place


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
@pytest.mark.parametrize("retries", [0, 3])
def test_a_registration_cut_at_every_byte_is_done_once(
    request: pytest.FixtureRequest, fresh_database: FreshDatabase, proxy: Proxy, direction: Direction, retries: int
) -> None:
    """Each leaves one member, audit entry, key and answer, and two jobs; with retries the client notices nothing."""
    setup = CutConnectionSetup(fresh_database, proxy, retries=retries)
    size = sum(setup.measure_round_trip(direction))
    places = list(range(0, size + 1, STEP))
    random.Random(SEED).shuffle(places)
    outcomes = {after: setup.cut(direction, after) for after in show_progress(request, places)}
    assert setup.count_written() == {table: rows * len(places) for table, rows in WRITES.items()}
    assert setup.list_uneven() == []
    check(direction, size, outcomes, retries=retries)
    record(
        "registration_cut_long",
        direction=direction,
        retries=retries,
        cuts=len(places),
        uneven=len(setup.list_uneven()),
        told_503_but_done=Counter(outcomes.values())[CutOutcome(503, found=True)],
        step=STEP,
        seed=SEED,
    )
