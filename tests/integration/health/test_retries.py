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
from tests.contract.dynamodb_clients import make_client, read_items
from tests.databases import FreshDatabase, make_deadline
from tests.integration.health.dependencies import make_health_client, make_resources, open_unresponsive_port, use_aws_at
from tests.services import EmulatorHandle


@pytest.fixture
def settings(emulator: EmulatorHandle, fresh_database: FreshDatabase) -> Iterator[Settings]:
    with use_aws_at(emulator.url):
        yield fresh_database.settings.model_copy(update=make_resources())


def read(container: Container) -> None:
    """A transaction through the function's own container."""
    container.database.run(lambda tx: tx.fetch_all(Query("SELECT 1")), make_deadline())


def test_a_transaction_tried_again_is_in_the_health_report(
    settings: Settings, fresh_database: FreshDatabase, emulator: EmulatorHandle
) -> None:
    """Whichever environment it was in; those that went well at once write nothing."""
    fleet = [Container(settings), Container(settings)]
    for container in fleet * 3:
        read(container)
    assert read_items(make_client(emulator.url), settings.state_table) == {}
    fresh_database.cut_connections()
    for container in fleet:
        read(container)
    table = SharedStateStore(make_client(emulator.url), settings.state_table)
    until = monotonic() + 10
    while table.read(SERVICES).retries < 2 and monotonic() < until:
        sleep(0.02)
    report = make_health_client(settings).call("GET", "/health/deep").json
    assert report["transaction_retries"] == {"last_minute": 2}


def test_a_table_that_never_answers_holds_no_transaction_up(settings: Settings, fresh_database: FreshDatabase) -> None:
    """Its timeouts are seconds; a retry does not wait for one, nor do its counts pile up threads."""
    with open_unresponsive_port() as url, use_aws_at(url):
        container = Container(settings)
        began = monotonic()
        for _ in range(3):
            for _ in range(10):  # what one retry costs
                read(container)
            fresh_database.cut_connections()
        read(container)
        counting = [thread for thread in threading.enumerate() if thread.name == "tally"]
        assert monotonic() - began < 8  # waiting for the table would take 3 s each time
        assert len(counting) == 1
