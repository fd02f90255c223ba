"""Housekeeping, on real PostgreSQL: what time does to records, and to no others."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from housekeeping import app as housekeeping
from housekeeping.app import Housekeeper
from shared.aws.errors import ServiceUnavailable
from shared.clock import read_monotonic, read_utc_now
from shared.database.pipeline import Database
from shared.deadline import Deadline
from shared.ids import make_uuid7
from shared.tracing import begin_trace, use_trace
from tests.api_client import LambdaContext, make_container
from tests.databases import FreshDatabase, make_deadline
from tests.fakes.clock import ManualClock
from tests.fakes.documents import FakeDocumentStore
from tests.fakes.queues import FakeJobQueues
from tests.integration.jobs.records import RecordFixtures

END = date(2027, 11, 24)


@pytest.fixture
def evidence() -> FakeDocumentStore:
    """Return the bucket."""
    return FakeDocumentStore()


@pytest.fixture
def housekeeper(database: Database, evidence: FakeDocumentStore) -> Housekeeper:
    """Return a housekeeper with time."""
    return Housekeeper(database, evidence, read_utc_now, "request-1", make_deadline(30))


@pytest.fixture
def document(records: RecordFixtures, evidence: FakeDocumentStore) -> Callable[..., UUID]:
    """Return a document, uploaded, of that age."""
    claim = records.add_claim(records.add_member())
    slots = iter(range(1, 11))

    def announce_document(age: str, state: str = "pending") -> UUID:
        document_id = make_uuid7()
        records.fresh_database.query_rows(
            "INSERT INTO documents (id, claim_id, slot, file_name, content_type, size, object_key, state, created_at)"
            " VALUES (%s, %s, %s, 'a.png', 'image/png', 3, %s, %s, now() - %s::interval)",
            document_id, claim, next(slots), f"key/{document_id}", state, age,
        )  # fmt: skip
        evidence.put(f"key/{document_id}", b"abc", "image/png")
        return document_id

    return announce_document


def list_audit(fresh_database: FreshDatabase) -> list[tuple[Any, ...]]:
    """Return who did what to which record, and in which request."""
    rows = fresh_database.query_rows("SELECT action, subject_id, actor, request_id, facts FROM audit ORDER BY at, id")
    return [tuple(row.values()) for row in rows]


def read_states(fresh_database: FreshDatabase, table: str) -> dict[UUID, str]:
    """Return every row's state."""
    return {row["id"]: row["state"] for row in fresh_database.query_rows(f"SELECT id, state FROM {table}")}


def test_a_pending_document_older_than_a_day_is_rejected_and_its_object_removed(
    housekeeper: Housekeeper, document: Callable[..., UUID], evidence: FakeDocumentStore, fresh_database: FreshDatabase
) -> None:
    """A younger one may still be completed, and an available one is evidence."""
    old, young, kept = document("25 hours"), document("23 hours"), document("9 days", "available")
    assert housekeeper.run()["documents_rejected"] == 1
    assert read_states(fresh_database, "documents") == {old: "rejected", young: "pending", kept: "available"}
    assert set(evidence.objects) == {f"key/{young}", f"key/{kept}"}
    assert fresh_database.query_rows("SELECT slot FROM documents WHERE id = %s", old) == [{"slot": None}]
    claim = fresh_database.query_rows("SELECT claim_id FROM documents WHERE id = %s", old)[0]["claim_id"]
    assert list_audit(fresh_database) == [
        ("document.expired", old, "housekeeping", "request-1", {"claim_id": str(claim)})
    ]


def test_a_document_whose_object_could_not_be_removed_stays_for_the_next_time(
    housekeeper: Housekeeper, document: Callable[..., UUID], evidence: FakeDocumentStore, fresh_database: FreshDatabase
) -> None:
    """No object is ever left without a row that knows it."""
    old = document("25 hours")
    evidence.fails = ServiceUnavailable("EndpointConnectionError")
    assert housekeeper.run()["documents_rejected"] == 0
    assert read_states(fresh_database, "documents") == {old: "pending"}
    evidence.fails = None
    assert housekeeper.run()["documents_rejected"] == 1


def test_the_relay_is_woken_for_a_notice_to_the_claims_desk(
    records: RecordFixtures, fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is woken for a reminder too, and only if there is one to send."""
    queues = FakeJobQueues()
    parts = make_container(fresh_database.settings, queues=queues, document_store=FakeDocumentStore())
    monkeypatch.setattr("housekeeping.app.get_container", lambda: parts)
    assert housekeeping.handler({}, LambdaContext(60))["overdue_claims_notified"] == 0
    assert queues.wake_ups == []
    _put(records, records.add_claim(records.add_member()), "submitted", "4 days")
    done = housekeeping.handler({}, LambdaContext(60))
    assert (done["overdue_claims_notified"], done["members_reminded"]) == (1, 0)
    assert queues.wake_ups == [0]


@pytest.mark.parametrize(
    ("state", "days"), [("submitted", 3), ("verification", 7), ("evaluation", 5), ("negotiation", 14)]
)
def test_the_claims_desk_gets_one_notice_of_a_claim_that_stays_too_long_in_a_state(
    housekeeper: Housekeeper, records: RecordFixtures, fresh_database: FreshDatabase, state: str, days: int
) -> None:
    """It gets the notice from the day after the promised one on, and no second one for the same state."""
    claim = records.add_claim(records.add_member())
    _put(records, claim, state, f"{days} days -1 minute")
    assert housekeeper.run()["overdue_claims_notified"] == 0
    _put(records, claim, state, f"{days} days 1 minute")
    with use_trace(begin_trace("request-1")):
        assert housekeeper.run()["overdue_claims_notified"] == 1
    assert housekeeper.run()["overdue_claims_notified"] == 0
    assert list_audit(fresh_database) == [
        ("claim.overdue_noticed", claim, "housekeeping", "request-1", {"state": state})
    ]
    [job] = fresh_database.query_rows("SELECT * FROM outbox")
    assert (job["kind"], job["priority"], job["subject_id"], job["state"]) == ("mail", "low", claim, "pending")
    assert job["payload"]["template"] == "staff-sla-breach"
    assert job["payload"]["to"] == "desk"
    assert job["payload"]["facts"]["state"] == state
    assert job["payload"]["origin"]["request_id"] == "request-1"
    assert job["payload"]["facts"]["days"] == str(days)


def _put(records: RecordFixtures, claim: UUID, state: str, ago: str) -> None:
    records.fresh_database.query_rows("ALTER TABLE claims DISABLE TRIGGER claims_move")
    records.fresh_database.query_rows(
        "UPDATE claims SET state = %s, state_since = now() - %s::interval WHERE id = %s", state, ago, claim
    )
    records.fresh_database.query_rows("ALTER TABLE claims ENABLE TRIGGER claims_move")


def test_a_claim_can_be_late_again_after_a_transition(
    housekeeper: Housekeeper, records: RecordFixtures, fresh_database: FreshDatabase
) -> None:
    """A notice is sent once per claim and state, since the transition clears it."""
    claim = records.add_claim(records.add_member())
    _put(records, claim, "submitted", "4 days")
    assert housekeeper.run()["overdue_claims_notified"] == 1
    fresh_database.query_rows("UPDATE claims SET state = 'evaluation' WHERE id = %s", claim)
    assert housekeeper.run()["overdue_claims_notified"] == 0
    fresh_database.query_rows("UPDATE claims SET state_since = now() - interval '6 days' WHERE id = %s", claim)
    assert housekeeper.run()["overdue_claims_notified"] == 1


@pytest.mark.parametrize("state", ["court", "resolved", "rejected", "withdrawn"])
def test_states_without_a_promise_are_never_late(housekeeper: Housekeeper, records: RecordFixtures, state: str) -> None:
    """They may last as long as they do."""
    _put(records, records.add_claim(records.add_member()), state, "400 days")
    assert housekeeper.run()["overdue_claims_notified"] == 0


@pytest.mark.parametrize(
    ("before", "cancelled", "days_after_end", "after"),
    [
        ("active", False, 0, "active"),
        ("active", False, 1, "past_due"),
        ("active", False, 14, "past_due"),
        ("active", False, 15, "expired"),  # had housekeeping not run for two weeks
        ("active", True, 0, "active"),
        ("active", True, 1, "canceled"),
        ("past_due", False, 14, "past_due"),
        ("past_due", False, 15, "expired"),
        ("past_due", True, 1, "canceled"),
        ("paused", False, 400, "expired"),  # the days of its pause were used up in between
        ("expired", False, 400, "expired"),
        ("canceled", True, 400, "canceled"),
    ],
)
def test_a_membership_goes_on_with_its_period(
    database: Database,
    records: RecordFixtures,
    fresh_database: FreshDatabase,
    before: str,
    cancelled: bool,
    days_after_end: int,
    after: str,
) -> None:
    """Active on its last day, past due for 14 days more, then expired; a cancelled one ends with its period."""
    member = records.add_member(cancel_at_period_end=cancelled, ends_on=END, paused_on=END, state=before)
    today = ManualClock(datetime(END.year, END.month, END.day, 12, tzinfo=UTC))
    today.advance(days_after_end * 86_400)
    changed = Housekeeper(database, FakeDocumentStore(), today, "request-1", make_deadline()).run()[
        "subscriptions_updated"
    ]
    [row] = fresh_database.query_rows(
        "SELECT s.state, s.version AS s, m.version AS m FROM subscriptions s JOIN members m ON m.id = member_id"
    )
    moved = int(before != after)
    assert changed == moved
    assert row == {"state": after, "s": 1 + moved, "m": 1 + moved}
    audit = fresh_database.query_rows(
        "SELECT action, subject_id, actor, request_id FROM audit WHERE action <> 'membership.reminded'"
    )
    action = f"membership.became_{after}"
    entry = {"action": action, "subject_id": member, "actor": "housekeeping", "request_id": "request-1"}
    assert audit == [entry] * moved


def test_more_than_a_batch_is_done_in_several(
    housekeeper: Housekeeper, records: RecordFixtures, fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each task goes on until nothing is left."""
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    for _ in range(5):
        _put(records, records.add_claim(records.add_member()), "submitted", "4 days")
        fresh_database.query_rows(
            "INSERT INTO idempotency_keys VALUES (%s, 'k', 'f', NULL, now() - interval '2 days')", str(make_uuid7())
        )
    done = housekeeper.run()
    assert (done["overdue_claims_notified"], done["keys_deleted"]) == (5, 5)


def test_keys_are_forgotten_after_a_day_and_done_jobs_after_thirty(
    housekeeper: Housekeeper, records: RecordFixtures, fresh_database: FreshDatabase
) -> None:
    """Jobs that did not end well stay for a person, however old."""
    for scope, age in (("old", "25 hours"), ("young", "23 hours")):
        fresh_database.query_rows(
            "INSERT INTO idempotency_keys VALUES (%s, 'k', 'f', NULL, now() - %s::interval)", scope, age
        )
    someone = records.add_member()
    jobs = {
        (state, age): records.add_identity(someone, state=state)
        for state in ("done", "failed", "uncertain", "pending")
        for age in ("29 days", "31 days")
    }
    jobs |= {
        ("dismissed", age): records.add_identity(someone, dismissal="not-needed", state="dismissed")
        for age in ("29 days", "31 days")
    }
    for (_, age), job in jobs.items():
        records.age_job(job, age)
    done = housekeeper.run()
    assert (done["keys_deleted"], done["jobs_deleted"]) == (1, 2)
    assert fresh_database.query_rows("SELECT scope FROM idempotency_keys") == [{"scope": "young"}]
    assert set(jobs.values()) - set(records.list_states()) == {jobs["done", "31 days"], jobs["dismissed", "31 days"]}


def test_a_chore_that_fails_does_not_keep_the_others_from_their_work(
    housekeeper: Housekeeper, document: Callable[..., UUID], evidence: FakeDocumentStore, fresh_database: FreshDatabase
) -> None:
    """The failed task is tried again in an hour."""

    class Broken(FakeDocumentStore):
        def delete(self, key: str) -> None:
            raise RuntimeError(key)

    document("25 hours")
    fresh_database.query_rows(
        "INSERT INTO idempotency_keys VALUES ('old', 'k', 'f', NULL, now() - interval '25 hours')"
    )
    done = Housekeeper(housekeeper.database, Broken(), read_utc_now, "request-1", make_deadline()).run()
    assert (done["documents_rejected"], done["keys_deleted"]) == (0, 1)


def test_without_time_nothing_is_begun(
    database: Database, document: Callable[..., UUID], fresh_database: FreshDatabase
) -> None:
    """The next run continues."""
    document("25 hours")
    over = Deadline.from_seconds(0, read_monotonic)
    done: dict[str, Any] = Housekeeper(database, FakeDocumentStore(), read_utc_now, "request-1", over).run()
    assert set(done.values()) == {0}
    assert set(read_states(fresh_database, "documents").values()) == {"pending"}
