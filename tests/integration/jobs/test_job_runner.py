"""The worker, on real PostgreSQL: a job is done once, and what became of it is written down."""

import io
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from relay.app import relay_batch
from shared.aws.errors import AwsError, OutcomeUnknown, RequestRejected, ServiceUnavailable
from shared.aws.sqs import format_message
from shared.clock import read_utc_now
from shared.database.connection import ConnectionHolder, connect
from shared.database.pipeline import Database
from shared.ids import make_uuid7
from shared.logging import logger
from shared.outbox.retry_policy import MOST_ATTEMPTS
from shared.settings import Settings
from tests.databases import FreshDatabase, make_deadline, make_deployed_connector
from tests.fakes.identities import FakeIdentityProvider
from tests.fakes.mailer import FakeMailer
from tests.fakes.queues import FakeJobQueues
from tests.gateway_events import build_batch_event
from tests.integration.jobs.records import RecordFixtures
from tests.services import find_free_port
from worker.app import MOST_DELIVERIES, run_batch
from worker.job_runner import MOST_HOPS, JobRunner, MailSettings, NotEnoughTime
from worker.retry_later import RetryLater
from worker.ses import Mail

OFFICE = MailSettings("desk@interdomestik.test", "mk", "https://app.example.test")
LONG = 60.0


class WorkerKilled(BaseException):
    """The worker ends here, as if it were killed."""


@dataclass(frozen=True)
class WorkerSetup:
    """A worker with fakes at its hands."""

    worker: JobRunner
    mailer: FakeMailer
    identities: FakeIdentityProvider
    queues: FakeJobQueues

    def work(self, job_id: UUID) -> str:
        """Do a job with time enough."""
        return self.worker.run_job(job_id, make_deadline(LONG))


@pytest.fixture
def worker_setup(database: Database) -> WorkerSetup:
    """Return a worker whose waits are the longest they may be."""
    mailer, identities, queues = FakeMailer(), FakeIdentityProvider(), FakeJobQueues()
    worker = JobRunner(database, mailer, identities, queues, OFFICE, read_utc_now, uniform=lambda _low, high: high)
    return WorkerSetup(worker, mailer, identities, queues)


@pytest.fixture
def member(records: RecordFixtures) -> UUID:
    """Return a member who reads Serbian."""
    return records.add_member(language="sr", email="besa@example.test")


@pytest.fixture
def welcome_mail(records: RecordFixtures, member: UUID) -> UUID:
    """Return the mail that welcomes them, on its way."""
    return records.add_mail("member-welcome", member, to=member, state="queued")


def make_failing(error: Exception) -> Callable[[Mail], None]:
    """Return a mailer's answer that is this failure."""

    def answer(_mail: Mail) -> None:
        raise error

    return answer


def test_a_mail_is_written_from_the_database_and_sent_to_the_persons_address(
    worker_setup: WorkerSetup, records: RecordFixtures, member: UUID, welcome_mail: UUID, fresh_database: FreshDatabase
) -> None:
    """The mail is in their language and has the facts that were kept with it."""
    assert worker_setup.work(welcome_mail) == "done"
    number = fresh_database.query_rows("SELECT number FROM members WHERE id = %s", member)[0]["number"]
    [mail] = worker_setup.mailer.sent
    assert mail.to == "besa@example.test"
    assert mail.subject == f"Dobro došli u Interdomestik, vaš broj je {number}"
    for shown in (
        number,
        "Porodični",
        "35,00 EUR",
        "24. novembra 2026.",
        "24. novembra 2027.",
        "https://app.example.test",
    ):
        assert shown in mail.text
    assert worker_setup.mailer.tags == [{"job": str(welcome_mail), "template": "member-welcome"}]
    assert mail.headers == {"X-Request-Id": str(welcome_mail), "X-Trace-Id": welcome_mail.hex}, "it has no origin"
    assert (records.read_job(welcome_mail)["state"], records.read_job(welcome_mail)["attempts"]) == ("done", 1)


def test_every_mail_finds_its_facts(worker_setup: WorkerSetup, records: RecordFixtures, member: UUID) -> None:
    """The job names only its subject."""
    agent, claim = records.add_agent(), records.add_claim(member)
    mails: dict[str, tuple[UUID, UUID | None]] = {
        "agent-received": (agent, agent),
        "agent-approved": (agent, agent),
        "agent-rejected": (agent, agent),
        "member-welcome": (member, member),
        "membership-renewed": (member, member),
        "membership-cancelled": (member, member),
        "claim-received": (claim, member),
        "claim-moved": (claim, member),
        "documents-requested": (claim, member),
        "staff-new-claim": (claim, None),
        "staff-sla-breach": (claim, None),
    }
    jobs = [records.add_mail(name, subject, to=to, state="queued") for name, (subject, to) in mails.items()]
    assert {job: worker_setup.work(job) for job in jobs} == dict.fromkeys(jobs, "done")
    assert len({mail.subject for mail in worker_setup.mailer.sent}) == len(mails)


def test_the_claims_desk_gets_mails_in_its_own_language(
    worker_setup: WorkerSetup, records: RecordFixtures, member: UUID
) -> None:
    """They go to its mailbox and greet nobody by name."""
    worker_setup.work(records.add_mail("staff-new-claim", records.add_claim(member), to=None, state="queued"))
    [mail] = worker_setup.mailer.sent
    assert mail.to == "desk@interdomestik.test"
    assert mail.subject.startswith("Ново барање CLM-")
    assert "Late <flight>" in mail.text
    assert "Late &lt;flight&gt;" in mail.html
    assert "Person" not in mail.text


def test_the_mail_about_a_transition_shows_it_even_after_a_later_transition(
    worker_setup: WorkerSetup, records: RecordFixtures, member: UUID
) -> None:
    """The job names the version of the transition, and the history keeps it."""
    claim = records.add_claim(member)
    records.add_history(claim, 2, "submitted", "verification", "We check your invoice.")
    records.add_history(claim, 3, "verification", "evaluation", "All is there.")
    worker_setup.work(records.add_mail("claim-moved", claim, to=member, facts={"version": "2"}, state="queued"))
    [mail] = worker_setup.mailer.sent
    assert "U proveri" in mail.subject
    assert "We check your invoice." in mail.text
    assert "All is there." not in mail.text


def test_facts_of_the_event_come_before_those_of_the_database(
    worker_setup: WorkerSetup, records: RecordFixtures
) -> None:
    """The facts that a job brings were true when it was written."""
    agent = records.add_agent(language="en")
    worker_setup.work(
        records.add_mail("agent-rejected", agent, to=agent, facts={"reason": "No <licence>"}, state="queued")
    )
    assert "No <licence>" in worker_setup.mailer.sent[0].text


def test_a_message_that_comes_twice_sends_one_mail(worker_setup: WorkerSetup, welcome_mail: UUID) -> None:
    """SQS delivers at least once."""
    assert [worker_setup.work(welcome_mail), worker_setup.work(welcome_mail)] == ["done", "skipped"]
    assert len(worker_setup.mailer.sent) == 1


def test_ten_workers_with_one_message_send_one_mail(
    worker_setup: WorkerSetup, fresh_database: FreshDatabase, welcome_mail: UUID
) -> None:
    """One of them claims the row."""
    together = threading.Barrier(10)

    def work(_: int) -> str:
        worker = replace(worker_setup.worker, database=fresh_database.make_database())
        together.wait()
        return worker.run_job(welcome_mail, make_deadline(LONG))

    with ThreadPoolExecutor(10) as pool:
        assert sorted(pool.map(work, range(10))) == ["done", *["skipped"] * 9]
    assert len(worker_setup.mailer.sent) == 1


def test_a_message_for_a_job_that_is_gone_or_waits_is_skipped(
    worker_setup: WorkerSetup, records: RecordFixtures, member: UUID
) -> None:
    """The job is deleted, done, given to a person, or due later."""
    jobs = [records.add_mail("member-welcome", member, to=member, state=s) for s in ("done", "failed", "uncertain")]
    waiting = records.add_mail("member-welcome", member, to=member)
    records.age_job(waiting, "-1 minute")
    assert {worker_setup.work(job) for job in (make_uuid7(), *jobs, waiting)} == {"skipped"}
    assert not worker_setup.mailer.sent


def test_a_mail_that_ses_refuses_has_failed(
    worker_setup: WorkerSetup, records: RecordFixtures, welcome_mail: UUID
) -> None:
    """Admins see the error code."""
    worker_setup.mailer.answer = make_failing(RequestRejected("MessageRejected"))
    assert worker_setup.work(welcome_mail) == "failed"
    assert records.read_job(welcome_mail)["last_error"] == "MessageRejected"


def test_a_mail_of_unknown_fate_is_uncertain_and_not_sent_again(
    worker_setup: WorkerSetup, records: RecordFixtures, welcome_mail: UUID
) -> None:
    """No repeated message and no relay sends it."""
    worker_setup.mailer.answer = make_failing(OutcomeUnknown("ReadTimeoutError"))
    assert worker_setup.work(welcome_mail) == "uncertain"
    worker_setup.mailer.answer = lambda _mail: None
    assert worker_setup.work(welcome_mail) == "skipped"
    assert (
        relay_batch(worker_setup.worker.database, worker_setup.queues, clock=read_utc_now, deadline=make_deadline())
        == 0
    )
    assert not worker_setup.mailer.sent
    assert records.read_job(welcome_mail)["last_error"] == "ReadTimeoutError"


def test_a_throttled_mail_waits_and_is_sent_then(
    worker_setup: WorkerSetup, records: RecordFixtures, welcome_mail: UUID
) -> None:
    """Nothing had left, so it may go again; and the relay is woken when it is due."""
    worker_setup.mailer.answer = make_failing(ServiceUnavailable("ThrottlingException"))
    assert worker_setup.work(welcome_mail) == "pending"
    assert worker_setup.queues.wake_ups == [10]
    assert worker_setup.work(welcome_mail) == "skipped", "it is not due yet"
    worker_setup.mailer.answer = lambda _mail: None
    records.age_job(welcome_mail, "11 seconds")
    assert (
        relay_batch(worker_setup.worker.database, worker_setup.queues, clock=read_utc_now, deadline=make_deadline())
        == 1
    )
    assert worker_setup.work(welcome_mail) == "done"
    assert records.read_job(welcome_mail)["attempts"] == 2


@pytest.mark.parametrize(("hops", "woken_with"), [(0, [1]), (MOST_HOPS - 1, [MOST_HOPS]), (MOST_HOPS, [])])
def test_after_the_last_hop_a_waiting_job_is_left_to_the_schedule(
    worker_setup: WorkerSetup, welcome_mail: UUID, hops: int, woken_with: list[int]
) -> None:
    """Lambda would take the relay and the worker, which wake each other, for a loop."""
    worker_setup.mailer.answer = make_failing(ServiceUnavailable("ThrottlingException"))
    assert worker_setup.worker.run_job(welcome_mail, make_deadline(LONG), hops=hops) == "pending"
    assert worker_setup.queues.hops == woken_with


def test_a_batch_counts_the_most_hops_of_its_messages(
    worker_setup: WorkerSetup, records: RecordFixtures, member: UUID
) -> None:
    """Its one invocation continues the chain of one of them, and nobody knows of which."""
    worker_setup.mailer.answer = make_failing(ServiceUnavailable("ThrottlingException"))
    jobs = [records.add_mail("member-welcome", member, to=member, state="queued") for _ in range(2)]
    event = build_batch_event(format_message(jobs[0], hops=0), format_message(jobs[1], hops=2))
    run_batch(event, make_deadline(LONG), worker_setup.worker)
    assert worker_setup.queues.hops == [3, 3]


def test_waits_grow_and_the_last_attempt_fails(
    worker_setup: WorkerSetup, records: RecordFixtures, welcome_mail: UUID, fresh_database: FreshDatabase
) -> None:
    """A failed job is shown to staff."""
    worker_setup.mailer.answer = make_failing(ServiceUnavailable("ThrottlingException"))
    waits, states = [], []
    for _ in range(MOST_ATTEMPTS):
        states.append(worker_setup.work(welcome_mail))
        due = "SELECT round(extract(epoch FROM available_at - updated_at)) AS s FROM outbox"
        waits.append(int(fresh_database.query_rows(due)[0]["s"]))
        records.age_job(welcome_mail, "1 hour")
    assert states == ["pending"] * (MOST_ATTEMPTS - 1) + ["failed"]
    assert waits[:-1] == [10, 20, 40, 80, 160, 320, 640, 900, 900]
    assert records.read_job(welcome_mail)["last_error"] == "ThrottlingException"


def test_a_mail_that_a_guard_gives_back_waits_as_long_as_it_says_and_was_not_tried(
    worker_setup: WorkerSetup, records: RecordFixtures, welcome_mail: UUID
) -> None:
    """A mail that SES was never asked to send uses up none of its attempts, however often it waits."""
    worker_setup.mailer.answer = make_failing(RetryLater("mail-rate", 3.2))
    for _ in range(MOST_ATTEMPTS + 1):
        assert worker_setup.work(welcome_mail) == "pending"
        row = records.read_job(welcome_mail)
        assert (row["attempts"], row["last_error"]) == (0, "mail-rate")
        assert (row["available_at"] - row["updated_at"]).total_seconds() == 3.2
        assert worker_setup.work(welcome_mail) == "skipped", "it is not due yet"
        records.age_job(welcome_mail, "4 seconds")
    assert set(worker_setup.queues.wake_ups) == {4}, "the relay is woken when it is due, not a moment before"
    worker_setup.mailer.answer = lambda _mail: None
    assert worker_setup.work(welcome_mail) == "done"
    assert records.read_job(welcome_mail)["attempts"] == 1


def test_a_mail_that_can_not_be_written_has_failed(
    worker_setup: WorkerSetup, records: RecordFixtures, member: UUID
) -> None:
    """The template is unknown, facts are missing, or the account is gone."""
    unknown = records.add_mail("no-such-mail", member, to=member, state="queued")
    missing = records.add_mail("claim-received", member, to=member, state="queued")
    nobody = records.add_mail("member-welcome", member, to=make_uuid7(), state="queued")
    assert {worker_setup.work(job) for job in (unknown, missing, nobody)} == {"failed"}
    errors = [records.read_job(job)["last_error"] for job in (unknown, missing, nobody)]
    assert errors == ["template-unknown", "facts-missing", "recipient-unknown"]


def test_an_identity_is_made_and_its_sub_written_to_the_account(
    worker_setup: WorkerSetup, records: RecordFixtures, member: UUID, fresh_database: FreshDatabase
) -> None:
    """The person's token then leads to their account."""
    assert worker_setup.work(records.add_identity(member, state="queued")) == "done"
    person = worker_setup.identities.people["besa@example.test"]
    assert person.groups == {"member"}
    assert fresh_database.query_rows("SELECT identity_sub FROM accounts WHERE id = %s", member) == [
        {"identity_sub": person.sub}
    ]
    [job] = fresh_database.query_rows("SELECT id FROM outbox")
    assert fresh_database.query_rows("SELECT action, subject_id, actor, request_id, facts FROM audit") == [
        {"action": "account.identity_linked", "subject_id": member, "actor": "worker", "request_id": str(job["id"]),
         "facts": {}}
    ]  # fmt: skip


@pytest.mark.parametrize("error", [ServiceUnavailable("TooManyRequestsException"), OutcomeUnknown("ReadTimeoutError")])
def test_an_identity_of_unknown_fate_is_made_again(
    worker_setup: WorkerSetup, records: RecordFixtures, member: UUID, error: AwsError
) -> None:
    """It is safe to repeat, as a mail is not."""
    job = records.add_identity(member, state="queued")
    worker_setup.identities.fails = [error]
    assert worker_setup.work(job) == "pending"
    records.age_job(job, "1 minute")
    assert worker_setup.work(job) == "done"


def test_an_identity_that_is_refused_has_failed(
    worker_setup: WorkerSetup, records: RecordFixtures, member: UUID
) -> None:
    """Asking again would change nothing."""
    job = records.add_identity(member, state="queued")
    worker_setup.identities.fails = [RequestRejected("IdentityNotOurs")]
    assert worker_setup.work(job) == "failed"


@pytest.mark.parametrize("holder", ["member", "agent", "staff"])
def test_an_identity_that_is_another_accounts_is_refused_and_gets_no_group(
    worker_setup: WorkerSetup, records: RecordFixtures, member: UUID, fresh_database: FreshDatabase, holder: str
) -> None:
    """Somebody changed their sign-in to the address: settled at once, with its reason, since no retry mends it."""
    sub = worker_setup.identities.find_or_create("besa@example.test")
    fresh_database.query_rows("UPDATE accounts SET identity_sub = %s WHERE id = %s", sub, records.add_account(holder))
    job = records.add_identity(member, state="queued")
    assert worker_setup.work(job) == "failed"
    assert (records.read_job(job)["last_error"], records.read_job(job)["attempts"]) == ("identity-taken", 1)
    assert worker_setup.identities.people["besa@example.test"].groups == set()


@pytest.mark.parametrize("change", ["identity_sub = 'first'", "email = 'moved@example.test'", "role = 'agent'"])
def test_an_identity_is_not_given_to_an_account_that_has_become_another(
    worker_setup: WorkerSetup, records: RecordFixtures, member: UUID, fresh_database: FreshDatabase, change: str
) -> None:
    """Another sign-in, address or role than the job was written for: no group is added."""
    job = records.add_identity(member, state="queued")
    make = worker_setup.identities.find_or_create

    def create_meanwhile(email: str) -> str:
        fresh_database.query_rows(f"UPDATE accounts SET {change} WHERE id = %s", member)
        return make(email)

    worker_setup.identities.find_or_create = create_meanwhile  # type: ignore[method-assign]
    assert worker_setup.work(job) == "failed"
    assert records.read_job(job)["last_error"] == "identity-not-linked"
    assert worker_setup.identities.people["besa@example.test"].groups == set()


@pytest.mark.parametrize("role", ["former", "agent"])
def test_no_sign_in_is_made_for_an_account_of_another_role(
    worker_setup: WorkerSetup, records: RecordFixtures, member: UUID, fresh_database: FreshDatabase, role: str
) -> None:
    """Known before anything is done: settled at once."""
    fresh_database.query_rows("UPDATE accounts SET role = %s WHERE id = %s", role, member)
    job = records.add_identity(member, state="queued")
    assert worker_setup.work(job) == "failed"
    assert records.read_job(job)["last_error"] == "identity-not-linked"
    assert not worker_setup.identities.people


@pytest.mark.parametrize("account", ["freed", "gone", "no id"])
def test_no_sign_in_is_made_for_an_address_that_is_nobodys(
    worker_setup: WorkerSetup, records: RecordFixtures, member: UUID, fresh_database: FreshDatabase, account: str
) -> None:
    """The address was freed meanwhile, or the account never existed."""
    job = records.add_identity(member if account == "freed" else make_uuid7(), state="queued")
    fresh_database.query_rows("UPDATE accounts SET email = 'freed.' || id || '@address.invalid' WHERE id = %s", member)
    if account == "no id":
        fresh_database.query_rows('UPDATE outbox SET payload = payload || \'{"account_id": "x"}\'')
    assert worker_setup.work(job) == "failed"
    assert (records.read_job(job)["last_error"], records.read_job(job)["attempts"]) == ("account-unknown", 1)
    assert not worker_setup.identities.people


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        ("ALTER TABLE accounts ADD CONSTRAINT accounts_no_sub CHECK (identity_sub IS NULL) NOT VALID",
         "database-accounts_no_sub"),
        ("REVOKE UPDATE ON accounts FROM interdomestik_worker", "database-42501"),
    ],
)  # fmt: skip
def test_what_the_database_never_takes_settles_the_job_at_once(
    worker_setup: WorkerSetup,
    records: RecordFixtures,
    member: UUID,
    fresh_database: FreshDatabase,
    refusal: str,
    code: str,
) -> None:
    """Any constraint or missing right ends the job with its code, not after ten tries. No group was given."""
    job = records.add_identity(member, state="queued")
    fresh_database.postgres.execute(refusal, dbname=fresh_database.name)
    assert worker_setup.work(job) == "failed"
    assert (records.read_job(job)["last_error"], records.read_job(job)["attempts"]) == (code, 1)
    assert worker_setup.identities.people["besa@example.test"].groups == set()


def test_nothing_is_begun_with_too_little_time_left(
    worker_setup: WorkerSetup, records: RecordFixtures, welcome_mail: UUID
) -> None:
    """The job is not even claimed: its message comes again."""
    with pytest.raises(NotEnoughTime):
        worker_setup.worker.run_job(welcome_mail, make_deadline(5))
    assert records.read_job(welcome_mail)["state"] == "queued"
    assert records.read_job(welcome_mail)["attempts"] == 0


def test_a_worker_that_dies_after_sending_leaves_the_mail_uncertain(
    worker_setup: WorkerSetup, records: RecordFixtures, welcome_mail: UUID
) -> None:
    """Claimed, sent, gone: its lease runs out and the relay gives the job to a person."""

    def die(mail: Mail) -> None:
        worker_setup.mailer.sent.append(mail)
        raise WorkerKilled

    worker_setup.mailer.answer = die
    with pytest.raises(WorkerKilled):
        worker_setup.work(welcome_mail)
    assert worker_setup.work(welcome_mail) == "skipped"
    records.age_job(welcome_mail, "121 seconds")
    relay_batch(worker_setup.worker.database, worker_setup.queues, clock=read_utc_now, deadline=make_deadline())
    assert records.read_job(welcome_mail)["state"] == "uncertain"
    assert worker_setup.work(welcome_mail) == "skipped"
    assert len(worker_setup.mailer.sent) == 1


def test_a_worker_that_dies_before_sending_leaves_the_mail_to_the_next(
    worker_setup: WorkerSetup, records: RecordFixtures, welcome_mail: UUID
) -> None:
    """Nothing had left: the job is tried again by itself, and the mail is sent once."""

    def die(*_: object) -> None:
        raise WorkerKilled

    with pytest.raises(WorkerKilled):
        replace(worker_setup.worker, wait_for_slot=die).run_job(welcome_mail, make_deadline(LONG))
    records.age_job(welcome_mail, "121 seconds")
    assert (
        relay_batch(worker_setup.worker.database, worker_setup.queues, clock=read_utc_now, deadline=make_deadline())
        == 1
    )
    assert worker_setup.work(welcome_mail) == "done"
    assert records.read_job(welcome_mail)["attempts"] == 2


def test_a_mail_that_kills_every_worker_before_it_is_sent_has_failed_in_the_end(
    worker_setup: WorkerSetup, records: RecordFixtures, welcome_mail: UUID
) -> None:
    """It is not tried for ever."""

    def die(*_: object) -> None:
        raise WorkerKilled

    for _ in range(MOST_ATTEMPTS):
        with pytest.raises(WorkerKilled):
            replace(worker_setup.worker, wait_for_slot=die).run_job(welcome_mail, make_deadline(LONG))
        records.age_job(welcome_mail, "121 seconds")
        relay_batch(worker_setup.worker.database, worker_setup.queues, clock=read_utc_now, deadline=make_deadline())
    assert (records.read_job(welcome_mail)["state"], records.read_job(welcome_mail)["last_error"]) == (
        "failed",
        "abandoned",
    )


def test_a_worker_slower_than_its_lease_sends_nothing_that_has_become_anothers(
    worker_setup: WorkerSetup, records: RecordFixtures, welcome_mail: UUID
) -> None:
    """It stood still between its claim and the mail, and the relay gave the job away meanwhile."""

    def pause_past_lease(*_: object) -> None:
        records.age_job(welcome_mail, "121 seconds")
        relay_batch(worker_setup.worker.database, worker_setup.queues, clock=read_utc_now, deadline=make_deadline())

    assert (
        replace(worker_setup.worker, wait_for_slot=pause_past_lease).run_job(welcome_mail, make_deadline(LONG))
        == "skipped"
    )
    assert not worker_setup.mailer.sent
    assert worker_setup.work(welcome_mail) == "done"


def test_a_worker_slower_than_its_lease_still_records_the_truth(
    worker_setup: WorkerSetup, records: RecordFixtures, welcome_mail: UUID
) -> None:
    """The relay had called the mail uncertain; then the worker came back and knew that it was sent."""

    def slow(_mail: Mail) -> None:
        # Its lease has run out on everybody's clock but its own.
        records.fresh_database.query_rows("UPDATE outbox SET state = 'uncertain' WHERE id = %s", welcome_mail)

    worker_setup.mailer.answer = slow
    worker_setup.work(welcome_mail)
    assert records.read_job(welcome_mail)["state"] == "done"


def test_a_worker_whose_job_was_taken_over_changes_nothing(
    worker_setup: WorkerSetup, records: RecordFixtures, member: UUID
) -> None:
    """The fencing token of its expired lease is refused."""
    job = records.add_identity(member, state="queued")

    class Overtaken(FakeIdentityProvider):
        def find_or_create(self, email: str) -> str:
            records.fresh_database.query_rows(
                "UPDATE outbox SET leased_until = now() + interval '2 minutes' WHERE id = %s", job
            )
            raise RequestRejected("TooLate")

    replace(worker_setup.worker, identities=Overtaken()).run_job(job, make_deadline(LONG))
    assert records.read_job(job)["state"] == "running"


@pytest.fixture
def round_trips(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return one entry for each round trip to the database."""
    made: list[None] = []
    run_pipeline = database._run_pipeline

    def count_call(*args: Any) -> Any:
        made.append(None)
        return run_pipeline(*args)

    monkeypatch.setattr(database, "_run_pipeline", count_call)
    return made


def test_a_mail_costs_three_round_trips(worker_setup: WorkerSetup, welcome_mail: UUID, round_trips: list[None]) -> None:
    """Claimed with its facts, begun, settled; and no transaction is open while SES is asked."""
    worker_setup.mailer.answer = lambda _mail: round_trips.append(None)
    worker_setup.work(welcome_mail)
    assert len(round_trips) == 3 + 1


def test_an_identity_costs_three_round_trips(
    worker_setup: WorkerSetup, records: RecordFixtures, member: UUID, round_trips: list[None]
) -> None:
    """Claimed, linked to its account before it gets a group, settled."""
    worker_setup.work(records.add_identity(member, state="queued"))
    assert len(round_trips) == 3


def test_of_a_batch_only_what_could_not_be_tried_comes_again(
    worker_setup: WorkerSetup, records: RecordFixtures, member: UUID, welcome_mail: UUID
) -> None:
    """Done, failed and skipped jobs are settled in the database: their messages are deleted."""
    refused = records.add_identity(member, state="queued")
    worker_setup.identities.fails = [RequestRejected("InvalidParameterException")]
    event = build_batch_event(
        format_message(welcome_mail), format_message(refused), "not json", format_message(make_uuid7()), received=2
    )
    answer = run_batch(event, make_deadline(LONG), worker_setup.worker)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "2"}]}
    assert (records.read_job(welcome_mail)["state"], records.read_job(refused)["state"]) == ("done", "failed")


def test_a_batch_of_which_nothing_could_be_tried_comes_again_without_an_error(
    worker_setup: WorkerSetup, welcome_mail: UUID
) -> None:
    """Raising would count as an error of the function, and print what it failed on."""
    answer = run_batch(
        build_batch_event(format_message(welcome_mail), received=2), make_deadline(5), worker_setup.worker
    )
    assert answer == {"batchItemFailures": [{"itemIdentifier": "0"}]}
    assert worker_setup.queues.shown_again == {"0": 30.0}


def test_without_a_database_one_job_of_a_batch_is_tried_and_all_are_soon_seen_again(
    worker_setup: WorkerSetup,
    records: RecordFixtures,
    member: UUID,
    round_trips: list[None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A visibility timeout is six minutes: workers without a database would hide all that is queued behind it."""
    jobs = [records.add_mail("member-welcome", member, to=member, state="queued") for _ in range(5)]
    with monkeypatch.context() as patch:
        patch.setattr(worker_setup.worker.database, "_connector", make_refusing_holder())
        answer = run_batch(
            build_batch_event(*map(format_message, jobs), received=2), make_deadline(LONG), worker_setup.worker
        )
    assert [failed["itemIdentifier"] for failed in answer["batchItemFailures"]] == ["0", "1", "2", "3", "4"]
    assert worker_setup.queues.shown_again == dict.fromkeys(["0", "1", "2", "3", "4"], 30.0)
    assert 1 <= len(round_trips) <= 2, "the first job's, and the one retry that was saved"
    run_batch(build_batch_event(*map(format_message, jobs), received=2), make_deadline(LONG), worker_setup.worker)
    assert [records.read_job(job)["state"] for job in jobs] == ["done"] * 5


def test_without_a_database_the_last_delivery_of_a_message_ends_it(
    worker_setup: WorkerSetup, records: RecordFixtures, welcome_mail: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the message would be a dead letter, although the relay publishes its job again."""
    event = build_batch_event(format_message(welcome_mail), received=MOST_DELIVERIES)
    with monkeypatch.context() as patch:
        patch.setattr(worker_setup.worker.database, "_connector", make_refusing_holder())
        answer = run_batch(event, make_deadline(LONG), worker_setup.worker)
    assert answer == {"batchItemFailures": []}
    assert worker_setup.queues.shown_again == {}
    assert records.read_job(welcome_mail)["state"] == "queued"


def make_refusing_holder() -> ConnectionHolder:
    """Leads to a port where nobody listens."""
    settings = Settings(db_port=find_free_port(), db_sslmode="disable", db_auth="trust")
    return make_deployed_connector(partial(connect, settings, None))


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Yield the log's lines, as CloudWatch would have them."""
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    lines = io.StringIO()
    before = handler.setStream(lines)
    yield lines
    handler.setStream(before)


def test_nothing_of_a_person_is_logged(
    worker_setup: WorkerSetup, records: RecordFixtures, member: UUID, welcome_mail: UUID, log: io.StringIO
) -> None:
    """This holds if a job is done, fails, or crashes with the person's data in hand."""

    def crash(mail: Mail) -> None:
        raise RuntimeError(f"could not write to {mail.to}: {mail.text}")

    refused = records.add_identity(member, state="queued")
    worker_setup.identities.fails = [RequestRejected("InvalidParameterException")]
    crashed = records.add_mail("member-welcome", member, to=member, state="queued")
    run_batch(
        build_batch_event(format_message(welcome_mail), format_message(refused), received=2),
        make_deadline(LONG),
        worker_setup.worker,
    )
    worker_setup.mailer.answer = crash
    run_batch(build_batch_event(format_message(crashed), received=2), make_deadline(LONG), worker_setup.worker)
    lines = log.getvalue()
    assert str(welcome_mail) in lines
    assert "job_not_done" in lines
    for secret in ("besa", "Person", "+383", "MEM-"):
        assert secret not in lines
