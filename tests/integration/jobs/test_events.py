"""What a mail says is kept with its job, in the transaction of its event; here: claims, and whoever writes a job."""

import random
from collections.abc import Mapping
from typing import Any

import pytest

from shared.clock import read_utc_now
from tests.databases import Blank, Postgres, soon
from tests.fakes.evidence import FakeEvidence
from tests.fakes.identities import FakeIdentities
from tests.fakes.mailer import FakeMailer
from tests.fakes.queues import FakeQueues
from tests.harness import Reply
from tests.integration.claims.cases import Cases
from tests.integration.jobs.records import Records
from tests.locks.acts import ACTS, DECIDE, MOVE, Act, Stage, did
from tests.locks.scene import set_scene
from worker.job_runner import JobRunner, MailSettings
from worker.mail_rendering import MAILS

OFFICE = MailSettings("desk@example.test", "en", "https://app.example.test")


def reject_applicant(stage: Stage) -> Reply:
    """Staff reject an application."""
    body = {"decision": "reject", "reason": "Checked."}
    return stage.call(stage.staff, DECIDE, body, agent_id=stage.scene.applicant)


def ask_for_documents(stage: Stage) -> Reply:
    """Staff send a claim back from evaluation to verification."""
    claim = stage.scene.claim
    version = stage.version("claims", claim)
    ok(stage.call(stage.staff, MOVE, {"to": "evaluation", "reason": "Ready."}, if_match=version, claim_id=claim))
    body = {"to": "verification", "reason": "The invoice is missing."}
    stage.own += " again"
    return stage.call(stage.staff, MOVE, body, if_match=version + 1, claim_id=claim)


# What the acts have no example of.
MORE: Mapping[str, Act] = {"reject an applicant": reject_applicant, "ask for documents": ask_for_documents}
# Days until the end of a membership whose member is reminded, and how it stands.
ENDS = ((20, "active"), (5, "active"), (0, "active"), (-16, "past_due"))


def mails_written(blank: Blank, act: Act, prepare: str | None = None) -> list[dict[str, Any]]:
    """Do something on a scene of its own and return the mails that it wrote."""
    evidence = FakeEvidence()
    scene = set_scene(blank, evidence, random.Random(7))
    if prepare:
        blank.rows(prepare, scene.newcomer)
    before = {row["id"] for row in blank.rows("SELECT id FROM outbox")}
    assert did(act(Stage(scene, blank.settings, blank.database(), evidence, own="own")))
    rows = blank.rows("SELECT id, payload FROM outbox WHERE kind = 'mail' AND state <> 'done'")
    return [row["payload"] for row in rows if row["id"] not in before]


def reminders_written(blank: Blank) -> list[dict[str, Any]]:
    """The mails of housekeeping to members whose membership ends."""
    remind = ACTS["housekeeping remind_members"]
    prepare = (
        "UPDATE subscriptions SET ends_on = local_today() + {}, state = '{}', cancel_at_period_end = false"
        " WHERE member_id = %s"
    )
    return [mail for end in ENDS for mail in mails_written(blank, remind, prepare.format(*end))]


@pytest.fixture(scope="module")
def all_mails(postgres: Postgres) -> list[dict[str, Any]]:
    """The mails of every use case that writes."""
    blank = postgres.fresh()
    acts = (*ACTS.values(), *MORE.values())
    return [mail for act in acts for mail in mails_written(blank, act)] + reminders_written(blank)


def missing(mail: Mapping[str, Any]) -> list[str]:
    """The required facts that a mail was written without."""
    return [fact for fact in MAILS[mail["template"]].required if mail["facts"].get(fact) in (None, "")]


def test_every_mail_that_a_use_case_writes_has_all_its_facts_with_it(all_mails: list[dict[str, Any]]) -> None:
    """None is left to be looked up when it is sent; a fact that is not there, such as a reason, is null."""
    assert [(mail["template"], lacks) for mail in all_mails if (lacks := missing(mail))] == []
    optional = [(mail, MAILS[mail["template"]].optional) for mail in all_mails]
    assert [mail["template"] for mail, facts in optional if not mail["facts"].keys() >= set(facts)] == []


def test_every_mail_is_written_by_a_use_case(all_mails: list[dict[str, Any]]) -> None:
    """So that the test above has seen them all."""
    assert {mail["template"] for mail in all_mails} == MAILS.keys()


@pytest.fixture
def cases(blank: Blank) -> Cases:
    """Claims."""
    return Cases.on(blank)


def sent(blank: Blank, template: str) -> list[str]:
    """Let the mails of a template leave, oldest first, and return their texts."""
    mailer = FakeMailer()
    worker = JobRunner(blank.database(), mailer, FakeIdentities(), FakeQueues(), OFFICE, read_utc_now)
    rows = blank.rows("SELECT id FROM outbox WHERE payload->>'template' = %s ORDER BY created_at, id", template)
    assert {worker.run_job(row["id"], soon(60)) for row in rows} == {"done"}
    return [mail.text for mail in mailer.sent]


def ok(reply: Reply) -> None:
    """The call succeeded."""
    assert reply.status == 200, reply.body


def test_each_move_of_a_claim_is_told_with_its_own_state_and_reason(cases: Cases, blank: Blank) -> None:
    """All of them leave after the last; the claim has another title by then."""
    member, staff = cases.member(), cases.staff()
    claim_id = cases.claim(member, state="evaluation")
    blank.rows("UPDATE accounts SET language = 'en'")
    blank.rows("DELETE FROM outbox")
    moves = ("negotiation", "evaluation", "negotiation", "resolved", "evaluation", "rejected")
    for n, to in enumerate(moves):
        ok(cases.move(staff, claim_id, to, n + 1, reason=f"Reason {n}."))
    blank.rows("UPDATE claims SET title = 'Another title' WHERE id = %s", claim_id)
    texts = sent(blank, "claim-moved")
    assert [f"Reason {n}." in text for n, text in enumerate(texts)] == [True] * len(moves)
    assert not [text for text in texts if "Another title" in text]


def test_the_desk_is_told_of_a_breach_as_it_was_when_it_was_noticed(records: Records, blank: Blank) -> None:
    """With the assignee of then; and of nobody where nobody had it, whoever has it now."""
    claim = records.claim(records.member())
    records.mail("staff-sla-breach", claim, to=None)
    colleague = records.account("staff")
    blank.rows("UPDATE claims SET assignee_id = %s WHERE id = %s", colleague, claim)
    records.mail("staff-sla-breach", claim, to=None)
    name = blank.rows("SELECT full_name FROM accounts WHERE id = %s", colleague)[0]["full_name"]
    blank.rows("UPDATE accounts SET full_name = 'Somebody Else' WHERE id = %s", colleague)
    first, second = sent(blank, "staff-sla-breach")
    assert name not in first
    assert "Somebody Else" not in first
    assert name in second


def test_what_is_written_in_one_statement_with_its_recipient_is_looked_up(blank: Blank) -> None:
    """The trigger sees no account then; nothing is kept as missing."""
    blank.rows(
        "WITH a AS (INSERT INTO accounts (id, role, email, full_name, language)"
        " VALUES (gen_random_uuid(), 'agent', 'arta@example.test', 'Arta Krasniqi', 'en') RETURNING id),"
        " g AS (INSERT INTO agents (id, city, referral_code) SELECT id, 'Prizren', 'ARTA-7K3F' FROM a)"
        " INSERT INTO outbox (id, kind, priority, subject_id, payload) SELECT gen_random_uuid(), 'mail', 'low', id,"
        " jsonb_build_object('template', 'agent-received', 'to', 'account:' || id) FROM a"
    )
    [text] = sent(blank, "agent-received")
    assert "Arta Krasniqi" in text
