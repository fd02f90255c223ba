"""A restore that takes long: hours between a call and its repeat, days between the moment and the reconciliation."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from housekeeping import app as housekeeping
from operations.lost_writes import SKIPPED_NUMBERS
from shared.aws import clients
from shared.aws.dynamodb_taken_keys import TakenKey, TakenKeys
from shared.clock import read_utc_now
from tests.api_client import LambdaContext
from tests.contract.dynamodb_clients import read_items
from tests.databases import FreshDatabase, PostgresHandle
from tests.restore.listed_keys import DAY, HOUR, MINUTE, ListedKeys, make_key
from tests.restore.reconciliation_runs import add_row, reconcile
from tests.restore.rehearsal import LedgerCall, RehearsedService, run_service
from tests.sample_people import make_person
from tests.services import EmulatorHandle


@pytest.fixture
def fresh_database(postgres: PostgresHandle) -> FreshDatabase:
    """A database of the test's own."""
    return postgres.make_fresh_database()


def test_a_write_whose_answer_came_hours_after_it_is_not_lost(fresh_database: FreshDatabase) -> None:
    """Its first answer was lost; the repeat's record is younger than the row by up to a key's life."""
    add_row(fresh_database, "repeated", ago=23 * HOUR)
    keys = ListedKeys([[make_key(key="repeated", ago=MINUTE)]])
    answer = reconcile(fresh_database, keys, apply=True)
    assert (answer["lost_writes"], answer["earlier_writes"], keys.deleted) == ([], [], [])


def test_a_row_of_an_earlier_life_of_the_key_is_of_another_write(fresh_database: FreshDatabase) -> None:
    """A client may use a key again after its day, while housekeeping has not deleted the row of before."""
    add_row(fresh_database, "used-again", ago=25 * HOUR)
    keys = ListedKeys([[make_key(key="used-again", ago=MINUTE)]])
    assert len(reconcile(fresh_database, keys, apply=True)["lost_writes"]) == 1


def test_days_later_a_write_is_found_if_housekeeping_has_not_run(fresh_database: FreshDatabase) -> None:
    """The oldest row shows that nothing has been deleted since: a missing row is then a lost write."""
    add_row(fresh_database, "older", ago=3 * DAY + 2 * HOUR)
    add_row(fresh_database, "kept", ago=3 * DAY)
    keys = ListedKeys([[make_key(key="kept", ago=3 * DAY), lost := make_key(ago=3 * DAY)]])
    answer = reconcile(fresh_database, keys, apply=True, restored_to=read_utc_now() - 3 * DAY - HOUR)
    assert [write["key"] for write in answer["lost_writes"]] == [lost.record]
    assert keys.deleted == [lost.record]


@pytest.mark.parametrize("rows", [(), (2 * DAY,)], ids=["no-row", "younger-rows"])
def test_a_key_whose_row_may_have_expired_is_not_judged(
    fresh_database: FreshDatabase, rows: tuple[timedelta, ...]
) -> None:
    """Housekeeping may have deleted the row though the write is there: releasing the key would let it be made twice."""
    for ago in rows:
        add_row(fresh_database, "another", ago=ago)
    keys = ListedKeys([[make_key(ago=3 * DAY)]])
    answer = reconcile(fresh_database, keys, apply=True, restored_to=read_utc_now() - 4 * DAY)
    assert (answer["lost_writes"], answer["earlier_writes"], keys.deleted) == ([], [], [])
    assert not answer["complete"]


def test_the_list_is_complete_days_later_if_records_no_longer_expire(fresh_database: FreshDatabase) -> None:
    """DynamoDB may delete a record 25 hours after its answer, unless the operator has switched that off in time."""
    add_row(fresh_database, "older", ago=3 * DAY)
    moment = read_utc_now() - 2 * DAY
    for off_since, is_complete in ((None, False), (moment + HOUR, True), (moment + 26 * HOUR, False)):
        answer = reconcile(fresh_database, ListedKeys([[]]), restored_to=moment, expiry_off_since=off_since)
        assert answer["complete"] is is_complete


@pytest.fixture
def service(
    emulator: EmulatorHandle, fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RehearsedService]:
    """A service with clients, on a database that can be changed as a restore would."""
    with run_service(emulator, fresh_database, monkeypatch) as service:
        yield service


def read_key(service: RehearsedService, operation: str) -> TakenKey:
    """The one taken key of an operation."""
    found, _ = TakenKeys(clients.get_dynamodb(), service.environment["STATE_TABLE"]).read_page(None)
    [key] = [each for each in found if each.origin and each.origin.operation == operation]
    return key


def test_a_key_that_was_answered_late_ends_with_its_row(service: RehearsedService) -> None:
    """Else its record would outlive the row, and the write would look lost as soon as housekeeping has run."""
    registered = service.note(LedgerCall("POST", "/members", make_person(), key="answer-lost"))
    keys = TakenKeys(clients.get_dynamodb(), service.environment["STATE_TABLE"])
    assert keys.delete(read_key(service, "POST /members"))
    [row] = service.database.query_rows(
        "UPDATE idempotency_keys SET created_at = now() - interval '23 hours 58 minutes' RETURNING created_at"
    )
    repeated = service.send(registered.call)
    assert (repeated.headers["Idempotency-Replayed"], repeated.json) == ("true", registered.reply.json)
    assert read_key(service, "POST /members").answered_at == row["created_at"]
    service.database.query_rows("DELETE FROM idempotency_keys")  # as housekeeping does two minutes later
    answer = service.reconcile(restored_to=(read_utc_now() - 2 * DAY).isoformat(), apply=True)
    assert answer["lost_writes"] == []
    assert read_key(service, "POST /members")


def test_an_upload_that_was_put_back_waits_a_day_for_its_completion(service: RehearsedService) -> None:
    """However long ago it was announced: housekeeping leaves it, and its client's repeat completes it."""
    member = service.register()
    service.do_jobs()
    token = service.sign_in(member)
    claim = service.submit(token, "Restored")
    ids = service.announce(token, claim["id"])
    first = service.complete(token, ids)
    upload = f"uploads/{ids['claim_id']}/{ids['document_id']}"
    restored = (
        "UPDATE documents SET state = 'pending', object_key = %s, created_at = now() - interval '3 days' WHERE id = %s"
    )
    service.database.query_rows(restored, upload, ids["document_id"])
    moment = (read_utc_now() - 2 * DAY).isoformat()
    [listed] = service.reconcile(restored_to=moment)["objects"]
    audit = "SELECT actor, facts FROM audit WHERE action = 'document.announcement_renewed' AND subject_id = %s"
    assert not listed["upload_put_back"]
    assert service.database.query_rows(audit, ids["document_id"]) == [], "a list changes nothing"
    for _ in range(2):
        [found] = service.reconcile(restored_to=moment, apply=True)["objects"]
        assert found["upload_put_back"]
    assert housekeeping.handler({}, LambdaContext(60))["documents_rejected"] == 0
    assert service.complete(token, ids)["state"] == first["state"] == "available"
    entries = service.database.query_rows(audit, ids["document_id"])
    assert {row["actor"] for row in entries} == {"operator"}


def test_numbers_are_skipped_though_no_record_tells_of_one(service: RehearsedService) -> None:
    """The records may have expired; the numbers were told all the same."""
    before = service.register()["number"]
    table = service.environment["STATE_TABLE"]
    for pk in read_items(clients.get_dynamodb(), table):
        clients.get_dynamodb().delete_item(TableName=table, Key={"pk": {"S": pk}})
    moment = (read_utc_now() - 2 * DAY).isoformat()
    for _ in range(2):
        service.reconcile(restored_to=moment, apply=True)
    after = service.register()["number"]
    assert int(after.rpartition("-")[2]) == int(before.rpartition("-")[2]) + SKIPPED_NUMBERS + 1
