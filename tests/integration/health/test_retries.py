"""Transactions that are tried again are counted for the whole fleet, and nobody waits for the counting."""

import threading
from collections.abc import Iterator
from time import monotonic, sleep

import pytest

from health.deep_check import SERVICES
from shared.aws.dynamodb_shared_state import SharedStateStore
from shared.container import Container
from shared.settings import Settings
from shared.sql import Query
from tests.contract.state_table import client_of, items_of
from tests.databases import Blank, soon
from tests.integration.health.surroundings import aws_at, client_on, resources, silence
from tests.services import Emulator


@pytest.fixture
def settings(emulator: Emulator, blank: Blank) -> Iterator[Settings]:
    with aws_at(emulator.url):
        yield blank.settings.model_copy(update=resources())


def read(container: Container) -> None:
    """A transaction through the function's own container."""
    container.database.run(lambda tx: tx.fetch_all(Query("SELECT 1")), soon())


def test_a_transaction_tried_again_is_in_the_health_report(
    settings: Settings, blank: Blank, emulator: Emulator
) -> None:
    """Whichever environment it was in; those that went well at once write nothing."""
    fleet = [Container(settings), Container(settings)]
    for container in fleet * 3:
        read(container)
    assert items_of(client_of(emulator.url), settings.state_table) == {}
    blank.cut_connections()
    for container in fleet:
        read(container)
    table = SharedStateStore(client_of(emulator.url), settings.state_table)
    until = monotonic() + 10
    while table.read(SERVICES).retries < 2 and monotonic() < until:
        sleep(0.02)
    report = client_on(settings).call("GET", "/health/deep").json
    assert report["transaction_retries"] == {"last_minute": 2}


def test_a_table_that_never_answers_holds_no_transaction_up(settings: Settings, blank: Blank) -> None:
    """Its timeouts are seconds; a retry does not wait for one, nor do its counts pile up threads."""
    with silence() as url, aws_at(url):
        container = Container(settings)
        began = monotonic()
        for _ in range(3):
            for _ in range(10):  # what one retry costs
                read(container)
            blank.cut_connections()
        read(container)
        counting = [thread for thread in threading.enumerate() if thread.name == "tally"]
        assert monotonic() - began < 8  # waiting for the table would take 3 s each time
        assert len(counting) == 1
