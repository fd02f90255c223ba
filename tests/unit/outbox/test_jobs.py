"""A job is one statement of the transaction that it belongs to, and wakes the relay once that has committed."""

import json
from typing import Any
from uuid import UUID

import pytest

from shared.outbox.jobs import SQL, Job, enqueue, enqueue_once_a_day, make_identity_job, make_mail_job
from shared.tracing import begin_trace, use_trace
from tests.fakes.transactions import QueuedStatement, ScriptedTransaction

ACCOUNT, CLAIM = UUID(int=7), UUID(int=8)
REQUEST = begin_trace("request-1")
ORIGIN = {"request_id": "request-1", "traceparent": REQUEST.span.format_traceparent()}
# Its letters must be stored as they are, not as escapes, so that operators can read them.
REASON = "Vërtetimi ќе дојде"


def read_columns(statement: QueuedStatement) -> dict[str, Any]:
    """Return a job's columns, with its JSON as values."""
    columns = dict(statement.params)
    return columns | {name: json.loads(str(columns[name])) for name in ("payload", "origin")}


def test_a_mail_is_written_with_all_that_the_worker_needs() -> None:
    """Its facts are those of the event; the database adds the others."""
    tx = ScriptedTransaction()
    job = make_mail_job("claim-moved", to=ACCOUNT, subject_id=CLAIM, priority="low", reason=REASON)
    with use_trace(REQUEST):
        enqueue(tx, job, if_written="claims")
    [statement] = tx.statements
    assert statement.query == SQL["enqueue"]
    assert read_columns(statement) == {
        "id": job.id,
        "kind": "mail",
        "priority": "low",
        "subject_id": CLAIM,
        "payload": {"template": "claim-moved", "to": f"account:{ACCOUNT}", "facts": {"reason": REASON}},
        "origin": ORIGIN,
        "if_written": "claims",
    }
    assert REASON in str(statement.params["payload"])
    assert tx.after_commit == {"nudge"}


def test_a_mail_without_an_account_goes_to_the_claims_desk_and_waits_its_turn() -> None:
    """Its priority is normal, and it is written whatever the transaction changed."""
    tx = ScriptedTransaction()
    enqueue(tx, make_mail_job("staff-new-claim", to=None, subject_id=CLAIM))
    columns = read_columns(tx.statements[0])
    assert columns["payload"] == {"template": "staff-new-claim", "to": "desk", "facts": {}}
    assert (columns["priority"], columns["if_written"], columns["origin"]) == ("normal", None, {})


def test_a_sign_in_is_urgent_and_about_its_account() -> None:
    """Its owner waits for it in front of a screen."""
    job = make_identity_job(ACCOUNT, "agent")
    assert (job.kind, job.priority, job.subject_id) == ("identity", "high", ACCOUNT)
    assert json.loads(job.payload.format_json()) == {"account_id": str(ACCOUNT), "group": "agent"}


def test_several_jobs_are_written_in_their_order() -> None:
    """Each of them is a job of its own."""
    tx = ScriptedTransaction()
    jobs = [make_identity_job(ACCOUNT, "member"), make_mail_job("member-welcome", to=ACCOUNT, subject_id=ACCOUNT)]
    enqueue(tx, *jobs)
    assert [each.params["id"] for each in tx.statements] == [job.id for job in jobs]
    assert jobs[0].id != jobs[1].id


def test_a_mail_to_an_address_that_somebody_typed_in_names_what_is_sent_once_a_day() -> None:
    """The address and the template; the rest is the job's own."""
    tx = ScriptedTransaction()
    job = make_mail_job("agent-received", to=ACCOUNT, subject_id=ACCOUNT)
    enqueue_once_a_day(tx, job, address="besa@example.test")
    [statement] = tx.statements
    assert statement.query == SQL["enqueue_once_a_day"]
    assert statement.params["address"] == "besa@example.test"
    assert statement.params["template"] == "agent-received"
    assert (statement.params["id"], statement.params["kind"]) == (job.id, "mail")
    assert tx.after_commit == {"nudge"}


def test_only_a_mail_can_be_sent_once_a_day() -> None:
    """A sign-in has no template."""
    tx = ScriptedTransaction()
    job: Job = make_identity_job(ACCOUNT, "member")
    with pytest.raises(TypeError, match=r"^a job of kind identity is no mail$"):
        enqueue_once_a_day(tx, job, address="besa@example.test")
    assert tx.statements == []
