"""Failovers and retries are shared by all environments in a real table."""

from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING

import pytest

from shared.aws.dynamodb_shared_state import BackgroundCounter, CircuitStatus, LastWriter, SharedStateStore
from shared.aws.errors import AwsError
from tests.contract.dynamodb_clients import make_client, make_table, read_items, run_concurrently
from tests.fakes.clock import ManualClock
from tests.services import EmulatorHandle

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NEVER_S = 10.0


class StateTable:
    """A table of a test's own, and the fleet's state on it."""

    def __init__(self, client: "DynamoDBClient") -> None:
        self.client = client
        self.name = make_table(client)
        self.clock = ManualClock(NOON)
        self.fleet = SharedStateStore(client, self.name, now=self.clock)


@pytest.fixture
def table(emulator: EmulatorHandle) -> StateTable:
    return StateTable(make_client(emulator.url))


def test_an_empty_table_is_a_fleet_in_peace(table: StateTable) -> None:
    """No circuit ever opened, no server was seen, nothing was tried again."""
    fleet = table.fleet.read(["email", "storage"])
    assert (fleet.find_circuit("email"), fleet.server, fleet.retries) == (CircuitStatus("closed", None), None, 0)


def test_circuits_are_read_by_name(table: StateTable) -> None:
    """Only the circuits asked for are read, with the time at which they entered their state."""
    micros = round(NOON.timestamp()) * 1_000_000 + 7
    item = {"pk": {"S": "circuit#email"}, "state": {"S": "open"}, "since": {"N": str(micros)}}
    table.client.put_item(TableName=table.name, Item=item)
    fleet = table.fleet.read(["email", "storage"])
    assert fleet.circuits == {"email": CircuitStatus("open", NOON + timedelta(microseconds=7))}


def test_of_many_that_see_a_new_writer_one_is_first(table: StateTable) -> None:
    """A failover is therefore counted once; environments that know an older one change nothing."""
    first, second = LastWriter("a1", None), LastWriter("b2", NOON)
    assert sum(run_concurrently([lambda: table.fleet.change_server(None, first)] * 10)) == 1
    assert table.fleet.read([]).server == first
    assert sum(run_concurrently([lambda: table.fleet.change_server(first, second)] * 10)) == 1
    assert not table.fleet.change_server(first, LastWriter("c3", NOON))
    assert table.fleet.read([]).server == second


def test_retries_of_the_fleet_are_added_up_and_forgotten(table: StateTable) -> None:
    """Retries of all environments count; DynamoDB deletes the items of old minutes."""
    run_concurrently([lambda: table.fleet.add_retries(2)] * 10)
    assert table.fleet.read([]).retries == 20
    table.clock.advance(120)
    assert table.fleet.read([]).retries == 0
    gone = [int(item["expires_at"]["N"]) for item in read_items(table.client, table.name).values()]
    assert all(NOON.timestamp() + 3600 < at < NOON.timestamp() + 2 * 3600 for at in gone)


@pytest.mark.parametrize("begins_at", [0, 1, 29, 58, 59])
def test_a_retry_counts_for_one_minute(table: StateTable, begins_at: int) -> None:
    """It counts for 60 seconds to the second, wherever in the clock's minute it happened."""
    table.clock.advance(begins_at)
    table.fleet.add_retries(1)
    seen = []
    for _ in range(62):
        seen.append(table.fleet.read([]).retries)
        table.clock.advance(1)
    assert seen == [1] * 60 + [0] * 2


def test_each_retry_leaves_the_last_minute_by_itself(table: StateTable) -> None:
    """One retry every ten seconds makes six, from the first minute's end on."""
    seen = []
    for _ in range(20):
        table.fleet.add_retries(1)
        seen.append(table.fleet.read([]).retries)
        table.clock.advance(10)
    assert seen == [1, 2, 3, 4, 5, *[6] * 15]


def test_counts_of_an_earlier_version_are_no_trouble(table: StateTable) -> None:
    """Its functions count a minute as a whole, and read that count from ours."""
    pk = f"retries#{int(NOON.timestamp()) // 60}"
    table.client.put_item(TableName=table.name, Item={"pk": {"S": pk}, "retries": {"N": "3"}})
    table.fleet.add_retries(2)
    assert table.fleet.read([]).retries == 2
    assert read_items(table.client, table.name)[pk]["retries"] == {"N": "5"}


def test_a_table_that_is_gone_is_a_failure_to_readers_and_nothing_to_counters(table: StateTable) -> None:
    """A count must not become the outage."""
    table.client.delete_table(TableName=table.name)
    with pytest.raises(AwsError):
        table.fleet.read(["email"])
    with pytest.raises(AwsError):
        table.fleet.change_server(None, LastWriter("a1", None))
    table.fleet.add_retries(1)


def test_a_tally_makes_nobody_wait_and_loses_nothing() -> None:
    """Retries during a call to the table are counted, and written by the next call."""
    handed: list[int] = []
    begun, go_on, done = Event(), Event(), Event()

    def hand_on(count: int) -> None:
        handed.append(count)
        begun.set()
        go_on.wait(NEVER_S)
        if sum(handed) == 6:
            done.set()

    tally = BackgroundCounter(hand_on)
    tally.count()
    assert begun.wait(NEVER_S)
    for _ in range(5):
        tally.count()
    assert handed == [1]
    go_on.set()
    assert done.wait(NEVER_S)
    assert handed == [1, 5]
