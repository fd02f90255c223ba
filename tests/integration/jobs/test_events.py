"""A mail's facts are kept with its job, in its event's transaction: mails about claims, and all writers of jobs."""

import random
from collections.abc import Mapping
from typing import Any

import pytest

from shared.clock import read_utc_now
from tests.api_client import ApiReply
from tests.databases import FreshDatabase, PostgresHandle, make_deadline
from tests.fakes.documents import FakeDocumentStore
from tests.fakes.identities import FakeIdentityProvider
from tests.fakes.mailer import FakeMailer
from tests.fakes.queues import FakeJobQueues
from tests.integration.claims.sample_claims import ClaimFixtures
from tests.integration.jobs.records import RecordFixtures
from tests.lock_order.sample_records import write_sample_records
from tests.lock_order.write_operations import ACTS, DECIDE, MOVE, Act, OperationEnvironment, has_succeeded
from worker.job_runner import JobRunner, MailSettings
from worker.mail_rendering import MAILS

OFFICE = MailSettings("desk@example.test", "en", "https://app.example.test")


def reject_applicant(stage: OperationEnvironment) -> ApiReply:
    """Staff reject an application."""
    body = {"decision": "reject", "reason": "Checked."}
    return stage.call(stage.staff, DECIDE, body, agent_id=stage.records.applicant)


def ask_for_documents(stage: OperationEnvironment) -> ApiReply:
    """Staff send a claim back from evaluation to verification."""
    claim = stage.records.claim
    version = stage.read_version("claims", claim)
    assert_succeeded(
        stage.call(stage.staff, MOVE, {"to": "evaluation", "reason": "Ready."}, if_match=version, claim_id=claim)
    )
    body = {"to": "verification", "reason": "The invoice is missing."}
    stage.own += " again"
    return stage.call(stage.staff, MOVE, body, if_match=version + 1, claim_id=claim)


# What the acts have no example of.
MORE: Mapping[str, Act] = {"reject an applicant": reject_applicant, "ask for documents": ask_for_documents}
# Days until the end of a membership whose member is reminded, and how it stands.
ENDS = ((20, "active"), (5, "active"), (0, "active"), (-16, "past_due"))


def list_written_mails(fresh_database: FreshDatabase, act: Act, prepare: str | None = None) -> list[dict[str, Any]]:
    """Do something on sample records of its own and return the mails that it wrote."""
    evidence = FakeDocumentStore()
    sample = write_sample_records(fresh_database, evidence, random.Random(7))
    if prepare:
        fresh_database.query_rows(prepare, sample.newcomer)
    before = {row["id"] for row in fresh_database.query_rows("SELECT id FROM outbox")}
    assert has_succeeded(
        act(OperationEnvironment(sample, fresh_database.settings, fresh_database.make_database(), evidence, own="own"))
    )
    rows = fresh_database.query_rows("SELECT id, payload FROM outbox WHERE kind = 'mail' AND state <> 'done'")
    return [row["payload"] for row in rows if row["id"] not in before]


def list_written_reminders(fresh_database: FreshDatabase) -> list[dict[str, Any]]:
    """Return the mails of housekeeping to members whose membership ends."""
    remind = ACTS["housekeeping remind_members"]
    prepare = (
        "UPDATE subscriptions SET ends_on = local_today() + {}, state = '{}', cancel_at_period_end = false"
        " WHERE member_id = %s"
    )
    return [mail for end in ENDS for mail in list_written_mails(fresh_database, remind, prepare.format(*end))]


@pytest.fixture(scope="module")
def all_mails(postgres: PostgresHandle) -> list[dict[str, Any]]:
    """Return the mails of every use case that writes."""
    fresh_database = postgres.make_fresh_database()
    acts = (*ACTS.values(), *MORE.values())
    return [mail for act in acts for mail in list_written_mails(fresh_database, act)] + list_written_reminders(
        fresh_database
    )


def list_missing(mail: Mapping[str, Any]) -> list[str]:
    """Return the required facts that a mail was written without."""
    return [fact for fact in MAILS[mail["template"]].required if mail["facts"].get(fact) in (None, "")]


def test_every_mail_that_a_use_case_writes_has_all_its_facts_with_it(all_mails: list[dict[str, Any]]) -> None:
    """None is left to be looked up when it is sent; a fact that is not there, such as a reason, is null."""
    assert [(mail["template"], lacks) for mail in all_mails if (lacks := list_missing(mail))] == []
    optional = [(mail, MAILS[mail["template"]].optional) for mail in all_mails]
    assert [mail["template"] for mail, facts in optional if not mail["facts"].keys() >= set(facts)] == []


def test_every_mail_is_written_by_a_use_case(all_mails: list[dict[str, Any]]) -> None:
    """The test above has therefore seen them all."""
    assert {mail["template"] for mail in all_mails} == MAILS.keys()


@pytest.fixture
def claim_fixtures(fresh_database: FreshDatabase) -> ClaimFixtures:
    """Claims."""
    return ClaimFixtures.make_in(fresh_database)


def send_mails(fresh_database: FreshDatabase, template: str) -> list[str]:
    """Let the mails of a template leave, oldest first, and return their texts."""
    mailer = FakeMailer()
    worker = JobRunner(
        fresh_database.make_database(), mailer, FakeIdentityProvider(), FakeJobQueues(), OFFICE, read_utc_now
    )
    rows = fresh_database.query_rows(
        "SELECT id FROM outbox WHERE payload->>'template' = %s ORDER BY created_at, id", template
    )
    assert {worker.run_job(row["id"], make_deadline(60)) for row in rows} == {"done"}
    return [mail.text for mail in mailer.sent]


def assert_succeeded(reply: ApiReply) -> None:
    """The call succeeded."""
    assert reply.status == 200, reply.body


def test_the_mail_about_each_transition_has_its_own_state_and_reason(
    claim_fixtures: ClaimFixtures, fresh_database: FreshDatabase
) -> None:
    """All of them leave after the last; the claim has another title by then."""
    member, staff = claim_fixtures.add_member(), claim_fixtures.add_staff()
    claim_id = claim_fixtures.claim(member, state="evaluation")
    fresh_database.query_rows("UPDATE accounts SET language = 'en'")
    fresh_database.query_rows("DELETE FROM outbox")
    transitions = ("negotiation", "evaluation", "negotiation", "resolved", "evaluation", "rejected")
    for n, to in enumerate(transitions):
        assert_succeeded(claim_fixtures.change_state(staff, claim_id, to, n + 1, reason=f"Reason {n}."))
    fresh_database.query_rows("UPDATE claims SET title = 'Another title' WHERE id = %s", claim_id)
    texts = send_mails(fresh_database, "claim-moved")
    assert [f"Reason {n}." in text for n, text in enumerate(texts)] == [True] * len(transitions)
    assert not [text for text in texts if "Another title" in text]


def test_the_claims_desk_gets_a_breach_as_it_was_when_it_was_noticed(
    records: RecordFixtures, fresh_database: FreshDatabase
) -> None:
    """The mail names the assignee of that moment, or nobody if there was none, whoever has the claim now."""
    claim = records.add_claim(records.add_member())
    records.add_mail("staff-sla-breach", claim, to=None)
    colleague = records.add_account("staff")
    fresh_database.query_rows("UPDATE claims SET assignee_id = %s WHERE id = %s", colleague, claim)
    records.add_mail("staff-sla-breach", claim, to=None)
    name = fresh_database.query_rows("SELECT full_name FROM accounts WHERE id = %s", colleague)[0]["full_name"]
    fresh_database.query_rows("UPDATE accounts SET full_name = 'Somebody Else' WHERE id = %s", colleague)
    first, second = send_mails(fresh_database, "staff-sla-breach")
    assert name not in first
    assert "Somebody Else" not in first
    assert name in second


def test_what_is_written_in_one_statement_with_its_recipient_is_looked_up(fresh_database: FreshDatabase) -> None:
    """The trigger sees no account then; nothing is kept as missing."""
    fresh_database.query_rows(
        "WITH a AS (INSERT INTO accounts (id, role, email, full_name, language)"
        " VALUES (gen_random_uuid(), 'agent', 'arta@example.test', 'Arta Krasniqi', 'en') RETURNING id),"
        " g AS (INSERT INTO agents (id, city, referral_code) SELECT id, 'Prizren', 'ARTA-7K3F' FROM a)"
        " INSERT INTO outbox (id, kind, priority, subject_id, payload) SELECT gen_random_uuid(), 'mail', 'low', id,"
        " jsonb_build_object('template', 'agent-received', 'to', 'account:' || id) FROM a"
    )
    [text] = send_mails(fresh_database, "agent-received")
    assert "Arta Krasniqi" in text
