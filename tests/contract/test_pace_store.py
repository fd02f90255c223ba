"""The contract of PacingStore: one suite over the fake that tests use and the table that production uses."""

import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from shared.admission.ports import Admitted, LimitCharge, OverLimit, RateLimit
from shared.aws.dynamodb_admission import DynamoDbAdmissionStore
from shared.circuit.store import StoreUnavailable
from shared.clock import read_epoch_micros
from shared.units import SECOND
from tests.contract.dynamodb_clients import FailingClient, ignore_event, make_error, read_items, run_concurrently
from tests.fakes.pacing import InMemoryPacingStore
from worker.dynamodb_mail_pacing import DynamoDbPacingStore
from worker.priority_pacing import (
    PacingRules,
    PacingState,
    PacingStore,
    Priority,
    StoreReply,
    run_slot_session,
    take_slot,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOW = 1_795_000_000_000_000
FIRST = PacingState(version=1, tat=NOW, served=(NOW, 2, 3), queue_end=(4, 5, 6), normal_until=7)
SECOND_WRITE = PacingState(version=2, tat=NOW + 1)
CALLS = 16


@pytest.fixture(params=["fake", "table"])
def store(request: pytest.FixtureRequest) -> PacingStore:
    """Return the fake store, then the real one."""
    if request.param == "fake":
        return InMemoryPacingStore()
    return DynamoDbPacingStore(request.getfixturevalue("dynamodb"), request.getfixturevalue("state_table"))


def test_a_state_that_was_never_written_is_new(store: PacingStore) -> None:
    """In a new state every mail may leave."""
    assert store.read() == PacingState()


def test_what_is_written_is_read_again(store: PacingStore) -> None:
    """Every field is the same."""
    assert store.write(PacingState(), FIRST) == StoreReply(FIRST, written=True)
    assert store.read() == FIRST


def test_a_write_on_a_state_that_has_changed_is_not_made_and_shows_the_change(store: PacingStore) -> None:
    """This holds for a new state and a later one, even if both writers wanted the same."""
    store.write(PacingState(), FIRST)
    assert store.write(PacingState(), FIRST) == StoreReply(FIRST, written=False)
    assert store.write(FIRST, SECOND_WRITE) == StoreReply(SECOND_WRITE, written=True)
    assert store.write(FIRST, SECOND_WRITE) == StoreReply(SECOND_WRITE, written=False)


def test_of_many_at_once_one_writes(store: PacingStore) -> None:
    """The others get the state that it wrote."""
    written = run_concurrently([lambda: store.write(PacingState(), FIRST)] * CALLS)
    assert sum(each.written for each in written) == 1
    assert {each.state for each in written} == {FIRST}


def test_sixteen_workers_at_once_are_given_sixteen_moments(store: PacingStore) -> None:
    """An interval apart, to the microsecond, although each of them writes on what it has read."""
    rules = PacingRules.from_rate(14, 1)

    def take_turn() -> int:
        conversation = take_slot(rules, Priority.HIGH, read_epoch_micros, read_epoch_micros() + 30 * SECOND)
        return max(run_slot_session(conversation, store, read_epoch_micros, time.sleep).served)

    moments = sorted(run_concurrently([take_turn] * CALLS))
    assert min(later - earlier for earlier, later in pairwise(moments)) == rules.interval == 71_429


def test_without_the_table_the_store_says_so(dynamodb: "DynamoDBClient", state_table: str) -> None:
    """Its error has the code, and nothing else of the original."""
    broken = DynamoDbPacingStore(FailingClient(dynamodb, lambda _: make_error("InternalServerError", 500)), state_table)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable) as read:
        broken.read()
    with pytest.raises(StoreUnavailable) as written:
        broken.write(PacingState(), FIRST)
    assert (read.value.code, written.value.code) == ("InternalServerError", "InternalServerError")


def test_workers_of_the_version_before_count_the_same_mails(dynamodb: "DynamoDBClient", state_table: str) -> None:
    """They charge a bucket without priorities; while both are deployed no mail goes uncounted."""
    store = DynamoDbPacingStore(dynamodb, state_table)
    older = DynamoDbAdmissionStore(dynamodb, state_table, observer=ignore_event)
    charge = LimitCharge("fleet", RateLimit("mail", burst=1, period_s=30))
    assert isinstance(older.admit(charge=charge, use=None, lease_s=0), Admitted)
    seen = store.read()
    assert seen.tat > read_epoch_micros() + 20 * SECOND
    assert store.write(seen, PacingState(version=1, tat=seen.tat + 30 * SECOND)).written
    assert isinstance(older.admit(charge=charge, use=None, lease_s=0), OverLimit)


def test_a_write_of_the_version_before_is_noticed(dynamodb: "DynamoDBClient", state_table: str) -> None:
    """It changes the bucket and leaves the version as it is."""
    store = DynamoDbPacingStore(dynamodb, state_table)
    past = PacingState(version=5, tat=NOW - SECOND)
    store.write(PacingState(), past)
    older = DynamoDbAdmissionStore(dynamodb, state_table, observer=ignore_event)
    older.admit(charge=LimitCharge("fleet", RateLimit("mail", burst=1, period_s=30)), use=None, lease_s=0)
    lost = store.write(past, PacingState(version=6, tat=NOW))
    assert not lost.written
    assert lost.state.tat > past.tat


def test_the_item_goes_an_hour_after_it_has_become_meaningless(dynamodb: "DynamoDBClient", state_table: str) -> None:
    """Later than any moment in it."""
    DynamoDbPacingStore(dynamodb, state_table).write(PacingState(), FIRST)
    [item] = read_items(dynamodb, state_table).values()
    assert int(item["expires_at"]["N"]) == NOW // SECOND + 3600
