"""The dead letters over the API: who sees them, and what a replay does."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from jobs_api.app import api
from relay.app import SQL as RELAY_SQL
from shared.clock import read_utc_now
from shared.database.pipeline import Database
from shared.database.transaction import Pending, Row, Transaction
from shared.ids import make_uuid7
from tests.api_client import ADMIN, STAFF, ApiClient, ApiReply, make_claims, make_container
from tests.databases import FreshDatabase, make_deadline
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.queues import FakeJobQueues
from tests.integration.jobs.records import RecordFixtures
from worker.job_runner import SQL as WORKER_SQL


@pytest.fixture
def queues() -> FakeJobQueues:
    """Return the queues that get the wake-ups."""
    return FakeJobQueues()


@pytest.fixture
def admin(database: Database, fresh_database: FreshDatabase, queues: FakeJobQueues) -> ApiClient:
    """Return an admin at the API."""
    container = make_container(
        fresh_database.settings, database=database, admission_store=InMemoryAdmissionStore(), queues=queues
    )
    return ApiClient(api, container, ADMIN)


@pytest.fixture
def member(records: RecordFixtures) -> UUID:
    """Whom the jobs are about."""
    return records.add_member(email="besa@example.test")


def test_an_admin_sees_what_did_not_end_well_newest_first(
    admin: ApiClient, records: RecordFixtures, member: UUID
) -> None:
    """Failed jobs, or uncertain ones; and nothing of what they say to whom."""
    for state in ("pending", "queued", "running", "done", "uncertain"):
        records.add_mail("member-welcome", member, to=member, state=state, facts={"reason": "secret"})
    failed = [
        records.add_mail("member-welcome", member, to=member, state="failed", last_error="MessageRejected"),
        records.add_identity(member, state="failed"),
    ]
    reply = admin.call("GET", "/jobs")
    assert reply.status == 200
    assert [item["id"] for item in reply.json["items"]] == [str(job) for job in reversed(failed)]
    assert reply.json["items"][1] | {"created_at": "", "updated_at": "", "age_s": 0} == {
        "id": str(failed[0]), "kind": "mail", "template": "member-welcome", "priority": "normal", "state": "failed",
        "attempts": 0, "last_error": "MessageRejected", "dismissal": None, "reason": "given-up", "age_s": 0,
        "due_at": None, "subject_id": str(member), "created_at": "", "updated_at": "",
    }  # fmt: skip
    assert len(admin.call("GET", "/jobs", query={"state": "uncertain"}).json["items"]) == 1
    assert "secret" not in reply.body
    assert "besa" not in reply.body


REASONS: list[tuple[str, str, str | None, str]] = [  # state, the filter that finds it, the error, the reason
    ("pending", "pending", None, "due"),
    ("pending", "pending", "circuit-open", "circuit-open"),
    ("pending", "pending", "mail-rate", "mail-rate"),
    ("pending", "pending", "ThrottlingException", "retry"),
    ("queued", "pending", "circuit-open", "due"),
    ("running", "running", "ThrottlingException", "running"),
    ("failed", "failed", "MessageRejected", "given-up"),
    ("uncertain", "uncertain", "ReadTimeoutError", "outcome-unknown"),
]


def test_what_is_held_is_listed_by_state_with_its_age_and_reason(
    admin: ApiClient, records: RecordFixtures, member: UUID
) -> None:
    """The age is since it was written, however often it was put off; when it is due is said of those that wait."""
    written = {
        records.add_mail(
            "member-welcome", member, to=member, state=state, last_error=error,
            created_at="2026-11-01T12:00:00Z", available_at="2099-01-01T12:00:00Z",
        ): (state, listed, reason)
        for state, listed, error, reason in REASONS
    }  # fmt: skip
    for state in ("pending", "running", "failed", "uncertain"):
        items = admin.call("GET", "/jobs", query={"state": state}).json["items"]
        found = {UUID(item["id"]): (item["state"], state, item["reason"]) for item in items}
        assert found == {job: facts for job, facts in written.items() if facts[1] == state}
        age_s = (read_utc_now() - datetime(2026, 11, 1, 12, tzinfo=UTC)).total_seconds()
        assert all(abs(age_s - item["age_s"]) < 60 for item in items)
        assert {item["due_at"] for item in items if item["state"] == "pending"} <= {"2099-01-01T12:00:00Z"}
        assert {item["due_at"] for item in items if item["state"] != "pending"} <= {None}


def test_a_long_list_comes_in_pages(admin: ApiClient, records: RecordFixtures, member: UUID) -> None:
    """Each job on one of them; and a cursor is good for its own list only."""
    jobs = [records.add_identity(member, state="failed") for _ in range(5)]
    seen: list[str] = []
    query = {"limit": "2"}
    while True:
        page = admin.call("GET", "/jobs", query=query).json
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == [str(job) for job in reversed(jobs)]
    assert admin.call("GET", "/jobs", query={**query, "state": "uncertain"}).problem == "invalid-request"


@pytest.mark.parametrize("state", ["done", "all", ""])
def test_other_states_can_not_be_listed(admin: ApiClient, state: str) -> None:
    """The states that can be listed are those of jobs that are not done, and `dismissed`."""
    assert admin.call("GET", "/jobs", query={"state": state}).problem == "invalid-request"


@pytest.mark.parametrize("state", ["failed", "uncertain"])
def test_a_replayed_job_is_pending_again_and_the_relay_is_woken(
    admin: ApiClient,
    records: RecordFixtures,
    member: UUID,
    queues: FakeJobQueues,
    fresh_database: FreshDatabase,
    state: str,
) -> None:
    """Its attempts count anew, and the audit names who wanted it."""
    job = records.add_identity(member, state=state, attempts=10, last_error="abandoned")
    reply = admin.call("POST", "/jobs/{job_id}/replay", job_id=str(job))
    assert reply.status == 200
    assert reply.json["state"] == "pending"
    row = records.read_job(job)
    assert (row["state"], row["attempts"], row["last_error"]) == ("pending", 0, None)
    assert queues.wake_ups == [0]
    assert fresh_database.query_rows("SELECT action, subject_id, actor FROM audit") == [
        {"action": "job.replayed", "subject_id": job, "actor": "admin-1"}
    ]


@pytest.mark.parametrize("state", ["pending", "queued", "running", "done"])
def test_a_job_that_has_not_failed_is_not_replayed(
    admin: ApiClient, records: RecordFixtures, member: UUID, queues: FakeJobQueues, state: str
) -> None:
    """It might be done twice."""
    job = records.add_identity(member, state=state)
    assert admin.call("POST", "/jobs/{job_id}/replay", job_id=str(job)).problem == "job-not-failed"
    assert records.read_job(job)["state"] == state
    assert not queues.wake_ups


def test_a_replay_repeated_with_its_key_replays_once(admin: ApiClient, records: RecordFixtures, member: UUID) -> None:
    """The same answer again, though the job is pending by then."""
    job = str(records.add_identity(member, state="failed"))
    first = admin.call("POST", "/jobs/{job_id}/replay", job_id=job, key="k1")
    again = admin.call("POST", "/jobs/{job_id}/replay", job_id=job, key="k1")
    assert (first.status, again.status) == (200, 200)
    assert again.body == first.body
    assert again.headers["Idempotency-Replayed"] == "true"


def dismiss_job(client: ApiClient, job: object, reason: str = "undeliverable", key: str | None = None) -> ApiReply:
    """Dismiss a job."""
    return client.call("POST", "/jobs/{job_id}/dismiss", {"reason": reason}, key=key, job_id=str(job))


@pytest.mark.parametrize("state", ["failed", "uncertain"])
@pytest.mark.parametrize("reason", ["delivered", "handled-otherwise", "not-needed", "undeliverable"])
def test_a_dismissed_job_is_listed_apart_with_its_reason_and_audited(
    admin: ApiClient,
    records: RecordFixtures,
    member: UUID,
    queues: FakeJobQueues,
    fresh_database: FreshDatabase,
    state: str,
    reason: str,
) -> None:
    """The entry says who and why; the facts about people are deleted with it, and the relay is not woken."""
    job = records.add_mail(
        "member-welcome", member, to=member, state=state, last_error="X", facts={"full_name": "Besa"}
    )
    reply = dismiss_job(admin, job, reason)
    assert (reply.status, reply.json["state"], reply.json["dismissal"]) == (200, "dismissed", reason)
    assert admin.call("GET", "/jobs", query={"state": state}).json["items"] == []
    [listed] = admin.call("GET", "/jobs", query={"state": "dismissed"}).json["items"]
    assert listed | {"age_s": 0} == reply.json | {"age_s": 0}
    row = records.read_job(job)
    assert (row["dismissal"], row["last_error"], "facts" in row["payload"]) == (reason, "X", False)
    assert queues.wake_ups == []
    assert fresh_database.query_rows("SELECT action, subject_id, actor, facts FROM audit") == [
        {"action": "job.dismissed", "subject_id": job, "actor": "admin-1", "facts": {"reason": reason}}
    ]


@pytest.mark.parametrize("state", ["pending", "queued", "running", "done"])
def test_a_job_that_has_not_failed_is_not_dismissed(
    admin: ApiClient, records: RecordFixtures, member: UUID, state: str
) -> None:
    """It may still be done, or was."""
    job = records.add_identity(member, state=state)
    assert dismiss_job(admin, job).problem == "job-not-failed"
    assert records.read_job(job)["state"] == state


def test_a_dismissed_job_is_neither_replayed_nor_dismissed_again(
    admin: ApiClient, records: RecordFixtures, member: UUID
) -> None:
    """A dismissal is final: what the mail would say is deleted. With its key it is answered again."""
    job = records.add_mail("member-welcome", member, to=member, state="failed")
    first = dismiss_job(admin, job, key="k1")
    assert admin.call("POST", "/jobs/{job_id}/replay", job_id=str(job)).problem == "job-not-failed"
    assert dismiss_job(admin, job, "not-needed").problem == "job-not-failed"
    again = dismiss_job(admin, job, key="k1")
    assert (again.body, again.headers["Idempotency-Replayed"]) == (first.body, "true")
    assert records.read_job(job)["dismissal"] == "undeliverable"


@pytest.mark.parametrize("body", [{}, {"reason": "Besa moved"}, {"reason": None}, {"reason": "delivered", "x": 1}])
def test_a_dismissal_gives_one_of_the_reasons(
    admin: ApiClient, records: RecordFixtures, member: UUID, body: object
) -> None:
    """A code, since the audit keeps no text about people."""
    job = records.add_identity(member, state="failed")
    assert admin.call("POST", "/jobs/{job_id}/dismiss", body, job_id=str(job)).problem == "invalid-request"
    assert records.read_job(job)["state"] == "failed"


def test_a_dismissed_job_is_touched_by_nobody_any_more(
    admin: ApiClient, records: RecordFixtures, member: UUID, database: Database
) -> None:
    """Neither a late message nor a relay takes it."""
    job = records.add_mail("member-welcome", member, to=member, state="uncertain", available_at="2026-01-01")
    dismiss_job(admin, job, "delivered")

    def touch(tx: Transaction) -> Pending[list[Row]]:
        tx.add(WORKER_SQL["claim_job"], id=job, lease=read_utc_now())
        tx.add(RELAY_SQL["mark_abandoned_jobs"], most_attempts=1)
        return tx.fetch_all(RELAY_SQL["claim_due_jobs"], count=10, lease=read_utc_now())

    assert database.run(touch, make_deadline()).value == []
    assert records.read_job(job)["state"] == "dismissed"


def test_a_job_that_is_not_there_is_not_found(admin: ApiClient) -> None:
    """A value that is no id gets the same answer."""
    assert admin.call("POST", "/jobs/{job_id}/replay", job_id=str(make_uuid7())).problem == "not-found"
    assert admin.call("POST", "/jobs/{job_id}/replay", job_id="one").problem == "not-found"
    assert dismiss_job(admin, make_uuid7()).problem == "not-found"


@pytest.mark.parametrize(
    ("claims", "deciding"),
    [
        (STAFF, "not-found"),
        (make_claims("staff-1", "admin"), "not-found"),  # an admin once, as their token still says
        (make_claims("admin-1", "staff"), "not-found"),
        (make_claims("x", "member"), "forbidden"),
        (make_claims("x", "admin"), "forbidden"),
        (make_claims("x"), "forbidden"),
    ],
)
def test_nobody_but_admins_may(
    admin: ApiClient, records: RecordFixtures, member: UUID, claims: dict[str, str], deciding: str
) -> None:
    """Staff may not either, nor an admin by the token or by the account alone."""
    job = records.add_identity(member, state="failed")
    other = admin.sign_in_as(claims)
    assert other.call("GET", "/jobs").problem == "forbidden"
    assert other.call("POST", "/jobs/{job_id}/replay", job_id=str(job)).problem == deciding
    assert dismiss_job(other, job).problem == deciding
    assert admin.sign_in_as(None).call("GET", "/jobs").problem == "unauthenticated"
    assert records.read_job(job)["state"] == "failed"
