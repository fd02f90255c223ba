"""The contract of what keeps answers in the state table: repeats are answered of them, and nothing is overwritten."""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from shared.admission.ports import (
    Admitted,
    InProgress,
    KeyOrigin,
    KeyReused,
    KeyUse,
    OverLimit,
    Replay,
    StoredAnswer,
    UnkeptAnswer,
    WorkDone,
)
from shared.aws.dynamodb_admission import MAX_ANSWER_BYTES, DynamoDbAdmissionStore
from shared.aws.dynamodb_admission_items import make_record_key
from shared.aws.dynamodb_answer_keeper import FAILURE_PAUSE_S, DynamoDbAnswerKeeper
from shared.aws.dynamodb_taken_keys import TakenKeys
from shared.aws.errors import AwsError
from tests.contract.dynamodb_clients import LEASE_S, ignore_event, make_charge, make_use, read_items, read_token
from tests.fakes.clock import ManualClock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FACTS = {"id": "3f0c", "number": "MEM-2026-000123", "name": "Shqipërí, Ѓорѓи"}
CREATED = StoredAnswer(201, {}, "{}")
REFUSED = StoredAnswer(409, {}, "")
DAY = timedelta(days=1)


@dataclass(frozen=True)
class KeptKeys:
    """A state table with its clock, whose keys are taken, and whose answers are kept."""

    client: "DynamoDBClient"
    table: str
    clock: ManualClock

    @property
    def store(self) -> DynamoDbAdmissionStore:
        """An environment that has seen nothing."""
        return DynamoDbAdmissionStore(self.client, self.table, observer=ignore_event, now=self.clock)

    def admit(self, use: KeyUse | None = None, **more: Any) -> Any:
        """Ask for the key."""
        return self.store.admit(**{"charge": None, "use": use or make_use(), "lease_s": LEASE_S, **more})

    def keep(self, holder: str, *, at: datetime | None = None, facts: str = json.dumps(FACTS)) -> bool:
        """Keep the answer of the call with this token."""
        use, keeper = make_use(), DynamoDbAnswerKeeper(self.client, self.table)
        return keeper.keep(UnkeptAnswer(use.scope, use.key, holder, facts, at or self.clock()))

    def read_record(self) -> Any:
        """The key's item, None if there is none."""
        return read_items(self.client, self.table).get(make_record_key(make_use()))


@pytest.fixture
def keys(dynamodb: "DynamoDBClient", state_table: str) -> KeptKeys:
    """Return a state table of the test's own."""
    return KeptKeys(dynamodb, state_table, ManualClock())


def test_a_repeat_gets_what_its_answer_is_made_of(keys: KeptKeys) -> None:
    """Free of charge, also over its limit and after the lease; another request with the key is refused."""
    token, used_at = read_token(keys.admit()), keys.clock()
    assert keys.keep(token)
    assert keys.admit() == WorkDone(FACTS, used_at, token)
    keys.clock.advance(LEASE_S + 1)
    store = keys.store
    while not isinstance(store.admit(charge=make_charge(), use=None, lease_s=0), OverLimit):
        pass
    assert store.admit(charge=make_charge(), use=make_use(), lease_s=LEASE_S) == WorkDone(FACTS, used_at, token)
    assert keys.admit(make_use(fingerprint="another")) == KeyReused()


def test_a_kept_answer_ends_a_day_after_its_call(keys: KeptKeys) -> None:
    """It ends then however late the relay kept it, because the key's row ends then too."""
    token, used_at = read_token(keys.admit()), keys.clock()
    keys.clock.advance(3600)
    assert keys.keep(token, at=used_at)
    keys.clock.advance(23 * 3600)
    keys.clock.advance_micros(-1)
    assert isinstance(keys.admit(), WorkDone)
    keys.clock.advance_micros(1)
    assert read_token(keys.admit())


def test_the_answer_that_a_repeat_has_made_is_stored_alone(keys: KeptKeys) -> None:
    """Later repeats get its bytes, which replace the facts; keeping once more changes nothing."""
    token, used_at = read_token(keys.admit()), keys.clock()
    keys.keep(token)
    keys.store.complete(make_use(), token, CREATED, first_used_at=used_at)
    stored = keys.read_record()
    assert keys.admit() == Replay(CREATED)
    assert "facts" not in stored
    assert keys.keep(token, facts='"other"')
    assert keys.read_record() == stored


def test_the_largest_answer_has_room_where_the_largest_facts_were(keys: KeptKeys) -> None:
    """An item has 400 KB, less than both: DynamoDB would reject the answer, and each repeat would make its own."""
    token = read_token(keys.admit())
    keys.keep(token, facts=json.dumps("x" * (MAX_ANSWER_BYTES - 2)))
    largest = StoredAnswer(201, {}, "x" * MAX_ANSWER_BYTES)
    keys.store.complete(make_use(), token, largest)
    assert keys.admit() == Replay(largest)


def test_facts_stay_where_the_answer_made_of_them_is_too_large(keys: KeptKeys) -> None:
    """Repeats go on making it of them, without the database."""
    token, used_at = read_token(keys.admit()), keys.clock()
    keys.keep(token)
    keys.store.complete(make_use(), token, StoredAnswer(201, {}, "x" * (MAX_ANSWER_BYTES + 1)), first_used_at=used_at)
    assert keys.admit() == WorkDone(FACTS, used_at, token)


def test_keeping_twice_changes_nothing(keys: KeptKeys) -> None:
    """Two relays may read the same answer, and one that was killed is followed by another."""
    token = read_token(keys.admit())
    keys.keep(token)
    stored = keys.read_record()
    assert keys.keep(token, at=keys.clock() + DAY, facts='"other"')
    assert keys.read_record() == stored


@pytest.mark.parametrize("answer", [CREATED, REFUSED])
def test_an_answer_that_is_stored_stays(keys: KeptKeys, answer: StoredAnswer) -> None:
    """A repeat was quicker than the relay."""
    token = read_token(keys.admit())
    keys.store.complete(make_use(), token, answer)
    assert keys.keep(token)
    assert keys.admit() == Replay(answer)


def test_nothing_is_kept_under_a_key_that_another_call_holds(keys: KeptKeys) -> None:
    """It was taken over after the lease, or used anew after its day."""
    zombie = read_token(keys.admit())
    keys.clock.advance(LEASE_S)
    token = read_token(keys.admit(take_from=zombie))
    assert keys.keep(zombie)
    assert keys.admit() == InProgress(1.0, holder=token)


def test_nothing_is_kept_under_a_key_that_was_given_back(keys: KeptKeys) -> None:
    """Its call lost the connection in the commit and told its client to repeat."""
    token = read_token(keys.admit())
    keys.store.release(make_use(), token)
    assert keys.keep(token)
    assert keys.read_record() is None


@pytest.mark.parametrize(("size", "is_kept"), [(MAX_ANSWER_BYTES, True), (MAX_ANSWER_BYTES + 1, False)])
def test_an_answer_too_large_to_keep_is_left_to_the_row(keys: KeptKeys, size: int, is_kept: bool) -> None:
    """A repeat passes uncharged and meets the row."""
    token, used_at = read_token(keys.admit()), keys.clock()
    assert keys.keep(token, facts=json.dumps("x" * (size - 2)))
    wanted = WorkDone("x" * (size - 2), used_at, token) if is_kept else Admitted(quota=None, token=None)
    assert keys.admit() == wanted


def test_operators_find_a_kept_answer_after_a_restore(keys: KeptKeys) -> None:
    """It has the status that its operation answers, and the time of its call."""
    origin = KeyOrigin("POST /members", "request-1", (), 201)
    token = read_token(keys.admit(replace(make_use(), origin=origin)))
    keys.keep(token)
    [found], _ = TakenKeys(keys.client, keys.table, now=keys.clock).read_page(None)
    assert (found.origin, found.answer, found.facts) == (origin, None, FACTS)
    assert (found.answered_at, found.is_known_answered, found.is_over) == (keys.clock(), True, True)


class FailingTable:
    """A client whose writes fail."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.asked = 0

    def update_item(self, **_request: Any) -> Any:
        """Fail."""
        self.asked += 1
        raise self._error


def refuse(code: str) -> Exception:
    """Return the service's error with a code."""
    return ClientError({"Error": {"Code": code}}, "UpdateItem")


def fail_to_keep(error: Exception) -> bool:
    """Keep an answer in a table whose writes fail."""
    client: Any = FailingTable(error)
    return DynamoDbAnswerKeeper(client, "state").keep(UnkeptAnswer("scope", "key", "token", "{}", ManualClock()()))


def test_an_answer_whose_repeat_is_admitted_right_now_is_tried_again() -> None:
    """DynamoDB cancels a write that meets a transaction on the same item."""
    assert not fail_to_keep(refuse("TransactionConflictException"))


def test_an_answer_that_dynamodb_rejects_is_not_tried_for_ever() -> None:
    """It would be in the way of all others."""
    assert fail_to_keep(refuse("ValidationException"))


@pytest.mark.parametrize(
    "error",
    [
        refuse("AccessDeniedException"),
        refuse("ThrottlingException"),
        ConnectTimeoutError(endpoint_url="https://x.test"),
    ],
    ids=["no permission", "throttled", "out of reach"],
)
def test_a_table_out_of_reach_is_an_error(error: Exception) -> None:
    """The answers stay marked as not kept."""
    with pytest.raises(AwsError):
        fail_to_keep(error)


def test_a_table_out_of_reach_is_left_alone_for_a_while() -> None:
    """Each failure costs the client's timeout, and mails wait for the relay meanwhile."""
    table, now = FailingTable(ConnectTimeoutError(endpoint_url="https://x.test")), [0.0]
    client: Any = table
    keeper = DynamoDbAnswerKeeper(client, "state", timer=lambda: now[0])
    for at in (0.0, 1.0, FAILURE_PAUSE_S - 0.1, FAILURE_PAUSE_S):
        now[0] = at
        with pytest.raises(AwsError, match="ConnectTimeoutError"):
            keeper.keep(UnkeptAnswer("scope", "key", "token", "{}", ManualClock()()))
    assert table.asked == 2
