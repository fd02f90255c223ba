"""The taken keys of a state table, as the operators' command reads and deletes them; on the emulator's DynamoDB."""

from datetime import timedelta
from typing import TYPE_CHECKING

from shared.admission.ports import KeyOrigin, KeyUse, StoredAnswer
from shared.aws.dynamodb_admission import DynamoDbAdmissionStore
from shared.aws.dynamodb_admission_items import make_record_key
from shared.aws.dynamodb_taken_keys import TakenKey, TakenKeys
from shared.clock import read_utc_now
from tests.contract.dynamodb_clients import LEASE_S, ignore_event, make_charge, make_use, read_items, read_token

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ORIGIN = KeyOrigin("POST /claims/{claim_id}/documents", "request-1", ("claim-1",))
ANSWER = StoredAnswer(201, {"Location": "/api/claims/1"}, '{"id": "1"}')


def make_store(dynamodb: "DynamoDBClient", table: str) -> DynamoDbAdmissionStore:
    """A store as the functions have it."""
    return DynamoDbAdmissionStore(dynamodb, table, observer=ignore_event)


def answer_key(store: DynamoDbAdmissionStore, use: KeyUse, answer: StoredAnswer = ANSWER) -> None:
    """Let a call take a key, and finish it."""
    store.complete(use, read_token(store.admit(charge=make_charge(use.key), use=use, lease_s=LEASE_S)), answer)


def read_all(keys: TakenKeys) -> tuple[list[TakenKey], int]:
    """Everything there is, and in how many pages."""
    found: list[TakenKey] = []
    after, pages = None, 0
    while True:
        page, after = keys.read_page(after)
        found, pages = found + page, pages + 1
        if after is None:
            return found, pages


def test_all_taken_keys_are_read_page_by_page_and_nothing_else(dynamodb: "DynamoDBClient", state_table: str) -> None:
    """The limits in the same table are left out; a key whose call may still run says so."""
    store = make_store(dynamodb, state_table)
    for n in range(7):
        answer_key(store, make_use(f"key-{n}"))
    store.admit(charge=None, use=make_use("running"), lease_s=LEASE_S)
    store.admit(charge=make_charge("another"), use=None, lease_s=0)
    everything, pages = read_all(TakenKeys(dynamodb, state_table, page_items=2))
    [running], found = [k for k in everything if not k.is_over], [k for k in everything if k.is_over]
    assert (running.answer, running.is_known_answered) == (None, False)
    there = {pk.removeprefix("key#") for pk, item in read_items(dynamodb, state_table).items() if "answer" in item}
    assert {key.record for key in found} == there
    assert (len(found), pages > 3) == (7, True)


def test_a_call_that_is_over_without_a_stored_answer_may_have_been_answered(
    dynamodb: "DynamoDBClient", state_table: str
) -> None:
    """Its record says when it began; an earlier release's call that died without an answer is none of these."""
    store, use = make_store(dynamodb, state_table), KeyUse("scope", "new", "asked", ORIGIN)
    began = read_utc_now()
    store.admit(charge=None, use=use, lease_s=LEASE_S)
    store.admit(charge=None, use=make_use("earlier"), lease_s=LEASE_S)
    dynamodb.update_item(
        TableName=state_table, Key={"pk": {"S": make_record_key(make_use("earlier"))}},
        UpdateExpression="REMOVE known_until",
    )  # fmt: skip
    later = TakenKeys(dynamodb, state_table, now=lambda: began + timedelta(seconds=LEASE_S + 1))
    [key], _ = later.read_page(None)
    assert (key.origin, key.answer, key.is_known_answered, key.is_over) == (ORIGIN, None, False, True)
    assert began <= key.answered_at <= began + timedelta(seconds=1)


def test_a_key_tells_which_call_took_it_and_when_it_was_answered(dynamodb: "DynamoDBClient", state_table: str) -> None:
    """It has what an operator needs; a record of an earlier release has no origin."""
    store = make_store(dynamodb, state_table)
    began = read_utc_now()
    answer_key(store, KeyUse("scope", "new", "asked", ORIGIN))
    answer_key(store, KeyUse("scope", "old", "asked"))
    answer_key(store, KeyUse("scope", "large", "asked", ORIGIN), StoredAnswer(200, {}, "x" * 400_000))
    found, _ = read_all(TakenKeys(dynamodb, state_table))
    assert all(began <= key.answered_at <= read_utc_now() for key in found)
    kept = [(key.origin, key.answer and key.answer.status) for key in found]
    assert sorted(kept, key=str) == sorted([(ORIGIN, 201), (None, 201), (ORIGIN, None)], key=str)


def test_a_key_whose_day_is_over_is_read_until_its_item_is_deleted(
    dynamodb: "DynamoDBClient", state_table: str
) -> None:
    """A restore may take days; the key answers no repeat any more, but still tells of its write."""
    three_days_ago = read_utc_now() - timedelta(days=3)
    store = DynamoDbAdmissionStore(dynamodb, state_table, observer=ignore_event, now=lambda: three_days_ago)
    answer_key(store, make_use())
    [key], _ = TakenKeys(dynamodb, state_table).read_page(None)
    assert abs(key.answered_at - three_days_ago) < timedelta(seconds=1)


def test_a_deleted_key_is_free(dynamodb: "DynamoDBClient", state_table: str) -> None:
    """The next call with it runs; deleting again does no harm to it."""
    store, keys, use = make_store(dynamodb, state_table), TakenKeys(dynamodb, state_table), make_use()
    answer_key(store, use)
    [key], _ = keys.read_page(None)
    assert keys.delete(key)
    assert read_token(store.admit(charge=None, use=use, lease_s=LEASE_S))
    assert not keys.delete(key), "it is the next call's by now"
    assert len(read_items(dynamodb, state_table)) == 2
