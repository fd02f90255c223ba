"""The operators' command after a restore, case by case, on a real database and keys that are listed in memory."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from operations import reconciliation
from operations.errors import CommandError
from operations.reconciliation import PAGE_TIME_S
from shared.clock import read_utc_now
from tests.databases import FreshDatabase, PostgresHandle
from tests.integration.jobs.records import RecordFixtures
from tests.restore.listed_keys import DAY, MINUTE, ListedKeys, make_key
from tests.restore.reconciliation_runs import add_row, reconcile


@pytest.fixture
def fresh_database(postgres: PostgresHandle) -> FreshDatabase:
    """A database of the test's own."""
    return postgres.make_fresh_database()


def test_a_key_with_its_row_is_not_lost(fresh_database: FreshDatabase) -> None:
    """A restored database that has the key's row has its write too."""
    add_row(fresh_database, "kept")
    keys = ListedKeys([[make_key(key="kept"), lost := make_key(key="lost")]])
    answer = reconcile(fresh_database, keys, apply=True)
    assert [write["key"] for write in answer["lost_writes"]] == [lost.record]
    assert keys.deleted == [lost.record]
    assert "example.test" not in str(answer)


def test_a_row_of_a_later_call_is_of_another_write(fresh_database: FreshDatabase) -> None:
    """It was made after the restore while the state table was out of reach; the table still has the lost answer."""
    add_row(fresh_database, "made-again", ago=timedelta(0))
    keys = ListedKeys([[make_key(key="made-again", ago=5 * MINUTE)]])
    assert len(reconcile(fresh_database, keys, apply=True)["lost_writes"]) == 1
    assert len(keys.deleted) == 1


def test_what_was_answered_before_the_moment_is_listed_apart_and_left_alone(fresh_database: FreshDatabase) -> None:
    """The restore does not explain it: the moment is wrong, or the call had nothing to write."""
    keys = ListedKeys([[make_key(ago=20 * MINUTE), make_key(ago=20 * MINUTE, status=412)]])
    answer = reconcile(fresh_database, keys, apply=True)
    assert (len(answer["earlier_writes"]), answer["lost_writes"], answer["refusals"]) == (1, [], 0)
    assert keys.deleted == []


def test_keys_whose_day_is_nearly_over_are_not_judged(fresh_database: FreshDatabase) -> None:
    """Housekeeping deletes their rows, though their writes are there; and the answer says that it is not complete."""
    keys = ListedKeys([[make_key(ago=DAY - MINUTE)]])
    answer = reconcile(fresh_database, keys, apply=True, restored_to=read_utc_now() - 2 * DAY)
    assert (answer["lost_writes"], answer["complete"], keys.deleted) == ([], False, [])
    assert reconcile(fresh_database, keys)["complete"]


def test_a_key_of_a_release_that_kept_no_origin_is_listed_too(fresh_database: FreshDatabase) -> None:
    """And one whose answer was too large to be kept, of which only its time and hash are known."""
    keys = ListedKeys([[make_key(origin=None), make_key(origin=None, answer=None)]])
    first, second = reconcile(fresh_database, keys, apply=True)["lost_writes"]
    found = {(write["operation"], write["status"], write["subject_id"] is None) for write in (first, second)}
    assert found == {(None, 201, False), (None, None, True)}
    assert len(keys.deleted) == 2


def test_a_call_that_may_still_run_is_not_judged_and_the_list_is_not_complete(fresh_database: FreshDatabase) -> None:
    """It may commit yet: its key is left alone until its lease is over."""
    add_row(fresh_database, "older", ago=2 * DAY)
    keys = ListedKeys([[make_key(answer=None, is_known_answered=False, is_over=False)]])
    answer = reconcile(fresh_database, keys, apply=True)
    assert (answer["running"], answer["complete"], answer["lost_writes"], keys.deleted) == (1, False, [], [])


def test_a_call_that_is_over_without_a_stored_answer_is_listed_only_if_the_restore_explains_it(
    fresh_database: FreshDatabase,
) -> None:
    """Before the moment it has died with nothing done, which is no write; its key is taken over by a repeat."""
    began: dict[str, Any] = {"answer": None, "is_known_answered": False}
    add_row(fresh_database, "slow", ago=timedelta(0))
    keys = ListedKeys([[since := make_key(**began), make_key(ago=20 * MINUTE, **began), make_key(key="slow", **began)]])
    answer = reconcile(fresh_database, keys, apply=True)
    [lost] = answer["lost_writes"]
    assert (lost["key"], lost["is_known_answered"], lost["status"], lost["number"]) == (since.record, False, None, None)
    assert (answer["earlier_writes"], keys.deleted) == ([], [since.record])


def test_a_run_that_is_full_is_continued_by_the_next(
    fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until no run is left, nothing is left out or listed twice."""
    monkeypatch.setattr(reconciliation, "MOST_LISTED", 3)
    keys = ListedKeys([[make_key() for _ in range(2)] for _ in range(5)])
    listed: list[str] = []
    runs, following = 0, None
    while runs == 0 or following is not None:
        answer = reconcile(fresh_database, keys, next=following)
        assert len(answer["lost_writes"]) <= 4
        listed += [write["key"] for write in answer["lost_writes"]]
        runs, following = runs + 1, answer["next"]
    assert runs == 3
    assert sorted(listed) == sorted(key.record for page in keys.pages for key in page)


def test_a_run_without_time_begins_no_page(fresh_database: FreshDatabase) -> None:
    """Lambda would end it in the middle; it answers where to go on."""
    keys = ListedKeys([[make_key()]])
    answer = reconcile(fresh_database, keys, seconds=PAGE_TIME_S, apply=True, next="writes:")
    assert (answer["next"], answer["lost_writes"], keys.deleted) == ("writes:", [], [])


def test_a_service_that_fails_stops_the_run_with_what_was_found(fresh_database: FreshDatabase) -> None:
    """The next run begins with the page that could not be read."""
    keys = ListedKeys([[make_key()], [make_key()]], failing=1)
    answer = reconcile(fresh_database, keys, apply=True)
    assert (answer["stopped_by"], answer["next"], len(answer["lost_writes"])) == ("Throttled", "writes:1", 1)
    keys.failing = None
    answer = reconcile(fresh_database, keys, apply=True, next=answer["next"])
    assert (answer["stopped_by"], answer["next"], len(answer["lost_writes"])) == (None, None, 1)
    assert len(keys.deleted) == 2


def test_a_run_that_died_before_it_deleted_a_key_writes_its_entry_once(fresh_database: FreshDatabase) -> None:
    """The entry comes first: the list outlives the command."""
    keys = ListedKeys([[make_key()]])
    for _ in range(2):
        reconcile(fresh_database, keys, apply=True)
        keys.deleted.clear()
    [row] = fresh_database.query_rows("SELECT count(*) AS n FROM audit WHERE action = 'write.lost'")
    assert row["n"] == 1


def test_a_mail_that_a_person_replayed_or_that_was_written_since_is_left_alone(fresh_database: FreshDatabase) -> None:
    """Only a mail that waited at the moment of the restore may have been sent already."""
    records = RecordFixtures(fresh_database)
    member = records.add_member()
    for _ in range(3):
        records.add_mail("member-welcome", member, to=member)
    ids = [row["id"] for row in fresh_database.query_rows("SELECT id FROM outbox ORDER BY id")]
    fresh_database.query_rows("UPDATE outbox SET created_at = now() - interval '1 hour' WHERE id = ANY(%s)", ids[:2])
    fresh_database.query_rows("UPDATE outbox SET replayed_at = now() WHERE id = %s", ids[1])
    for _ in range(2):
        reconcile(fresh_database, ListedKeys([[]]), apply=True)
        rows = fresh_database.query_rows("SELECT state FROM outbox ORDER BY id")
        assert [row["state"] for row in rows] == ["uncertain", "pending", "pending"]
    [row] = fresh_database.query_rows("SELECT subject_id FROM audit WHERE action = 'job.marked_uncertain'")
    assert row["subject_id"] == ids[0]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"next": "elsewhere:"}, {"next": "mails:1"}),
        *({"restored_to": datetime(2999, 1, 1, tzinfo=UTC)}, {"expiry_off_since": datetime(2999, 1, 1, tzinfo=UTC)}),
    ],
)
def test_a_command_that_can_not_be_meant_is_refused(fresh_database: FreshDatabase, wrong: dict[str, Any]) -> None:
    """It says which part is wrong."""
    with pytest.raises(CommandError, match=next(iter(wrong))):
        reconcile(fresh_database, ListedKeys([[]]), **wrong)
