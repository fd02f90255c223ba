"""Relays and workers in processes of their own on real queues, and checks of their jobs after kills."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from relay.app import QUEUE_PATIENCE
from shared.aws.sqs import format_message
from shared.clock import read_utc_now
from tests.crash_recovery.environment import PRIORITIES, CrashPoint, CrashTestEnvironment, HandlerRunner, ProcessResult
from tests.gateway_events import build_batch_event
from tests.integration.jobs.records import RecordFixtures

# Longer than any lease, than a lost message's too, and than any pause between tries.
LONG = "2 hours"


_MANY_MEMBERS = """
WITH new AS (
    SELECT gen_random_uuid() AS id, gen_random_uuid() || '@example.test' AS email
    FROM generate_series(1, %s)
), accounts AS (
    INSERT INTO accounts (id, role, email, full_name, phone, language)
    SELECT id, 'member', email, 'Besa Hoxha', '+38344123456', 'sq' FROM new
), members AS (
    INSERT INTO members (id, country) SELECT id, 'XK' FROM new
), subscriptions AS (
    INSERT INTO subscriptions (id, member_id, plan, state, starts_on, ends_on, price, currency)
    SELECT gen_random_uuid(), id, 'family', 'active', '2026-11-24', '2027-11-24', 35, 'EUR' FROM new
)
SELECT id, email FROM new"""

# A statement of its own, as the functions have it: what a mail says is looked up when its job is written.
_THEIR_MAILS = """
INSERT INTO outbox (id, kind, priority, subject_id, payload)
SELECT gen_random_uuid(), 'mail', %s, id, jsonb_build_object('template', 'member-welcome', 'to', 'account:' || id)
FROM unnest(%s::uuid[]) AS id
RETURNING id, subject_id"""


@dataclass(frozen=True)
class JobProcesses:
    """The jobs' functions of a test environment."""

    environment: CrashTestEnvironment
    processes: HandlerRunner

    @property
    def records(self) -> RecordFixtures:
        return RecordFixtures(self.environment.fresh_database)

    def run_relay(self, kill: CrashPoint | None = None) -> ProcessResult:
        """Run a round of the relay, to its end or to a crash point."""
        return self.processes.run("relay.app.handler", {}, kill=kill)

    def run_worker(self, *jobs: UUID, kill: CrashPoint | None = None, traced: bool = False) -> ProcessResult:
        """Run a worker with these jobs' messages, to its end or to a crash point."""
        event = build_batch_event(*map(format_message, jobs))
        return self.processes.run("worker.app.handler", event, kill=kill, traced=traced)

    def deliver(self) -> int:
        """Give a worker the messages of each queue, and return to the queue those it names, until all are empty, as
        Lambda does.
        """
        return sum(
            self._deliver_queue(self.environment.environment[f"QUEUE_{priority.upper()}_URL"])
            for priority in PRIORITIES
        )

    def _deliver_queue(self, url: str) -> int:
        sqs, delivered, failed = self.environment.make_client("sqs"), 0, []
        while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            result = self.processes.run("worker.app.handler", build_batch_event(*(each["Body"] for each in found)))
            again = {int(failure["itemIdentifier"]) for failure in result.answer["batchItemFailures"]}
            failed += [found[n]["ReceiptHandle"] for n in again]
            for n in set(range(len(found))) - again:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=found[n]["ReceiptHandle"])
            delivered += len(found)
        for handle in failed:  # they are seen again only once their time is up; here it is up at the end
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
        return delivered

    def advance_time(self, interval: str = LONG) -> None:
        """Let all leases run out and all pauses end."""
        self.environment.fresh_database.query_rows(
            "UPDATE outbox SET available_at = available_at - %s::interval, leased_until = leased_until - %s::interval",
            interval, interval,
        )  # fmt: skip

    def recover(self, rounds: int = 1) -> None:
        """Run relays, workers and housekeeping, as happens by itself when time passes."""
        for _ in range(rounds):
            self.advance_time()
            self.run_relay()
            self.deliver()
            self.processes.run("housekeeping.app.handler", {})

    def add_mail(self, **columns: Any) -> "MailJob":
        """Add a welcome mail to somebody new; return the job's id."""
        address = f"{uuid4().hex}@example.test"
        member = self.records.add_member(email=address)
        return MailJob(self.records.add_mail("member-welcome", member, to=member, **columns), address)

    def add_mails(self, count: int, *, priority: str) -> list["MailJob"]:
        """Write `count` welcome mails at once, each to a new member."""
        address = {row["id"]: row["email"] for row in self.environment.fresh_database.query_rows(_MANY_MEMBERS, count)}
        jobs = self.environment.fresh_database.query_rows(_THEIR_MAILS, priority, list(address))
        return [MailJob(job["id"], address[job["subject_id"]]) for job in jobs]

    def add_identity(self, **columns: Any) -> "IdentityJob":
        """Add a sign-in for somebody new; return the job's id."""
        address = f"{uuid4().hex}@example.test"
        member = self.records.add_member(email=address)
        return IdentityJob(self.records.add_identity(member, **columns), address, member)

    def count_sent(self, *jobs: "MailJob") -> list[int]:
        """Return how many mails each job has sent."""
        inbox = self.environment.count_mails()
        return [inbox[job.address] for job in jobs]

    def list_identities(self, job: "IdentityJob") -> list[dict[str, Any]]:
        """Return the identities with the job's address: name, state, groups and sub."""
        cognito, pool = self.environment.make_client("cognito-idp"), self.environment.environment["USER_POOL_ID"]
        found = cognito.list_users(UserPoolId=pool, Filter=f'email = "{job.address}"')["Users"]
        return [
            {"status": user["UserStatus"], **self._read_identity(cognito, pool, user["Username"])} for user in found
        ]

    def _read_identity(self, cognito: Any, pool: str, name: str) -> dict[str, Any]:
        user = cognito.admin_get_user(UserPoolId=pool, Username=name)
        groups = cognito.admin_list_groups_for_user(UserPoolId=pool, Username=name)["Groups"]
        sub = next(a["Value"] for a in user["UserAttributes"] if a["Name"] == "sub")
        return {"groups": [group["GroupName"] for group in groups], "sub": sub}

    def read_sub(self, account_id: UUID) -> str | None:
        """Return the identity that an account is linked to."""
        sub: str | None = self.environment.fresh_database.query_rows(
            "SELECT identity_sub FROM accounts WHERE id = %s", account_id
        )[0]["identity_sub"]
        return sub


@dataclass(frozen=True)
class MailJob:
    """A mail's job and who gets it."""

    id: UUID
    address: str


@dataclass(frozen=True)
class IdentityJob:
    """An identity's job and whose it is."""

    id: UUID
    address: str
    account: UUID


@dataclass(frozen=True)
class WorkerDeath:
    """A worker killed at a crash point of a mail: what was in the table and in the inbox right then."""

    crash_point: CrashPoint
    job: MailJob
    begun: bool
    settled: bool
    sent: int


def make_published() -> dict[str, Any]:
    """Return the columns of a job that a relay has handed to SQS just now."""
    return {"state": "queued", "leased_until": read_utc_now() + QUEUE_PATIENCE}


def kill_relays(job_processes: JobProcesses, points: Sequence[CrashPoint]) -> list[tuple[MailJob, IdentityJob]]:
    """Kill a relay at each point; each relay has at least a mail and an identity of its own to hand over."""
    jobs = []
    for point in points:
        jobs.append((job_processes.add_mail(priority="high"), job_processes.add_identity(priority="low")))
        assert job_processes.run_relay(kill=point).killed, point
    return jobs


def kill_mail_workers(job_processes: JobProcesses, points: Sequence[CrashPoint]) -> list[WorkerDeath]:
    """Kill a worker with a mail at each point."""
    deaths = []
    for point in points:
        job = job_processes.add_mail(**make_published())
        assert job_processes.run_worker(job.id, kill=point).killed, point
        row = job_processes.records.read_job(job.id)
        begun = row["state"] == "running" and row["begun"]
        deaths.append(WorkerDeath(point, job, begun, row["state"] == "done", job_processes.count_sent(job)[0]))
        job_processes.run_worker(job.id)  # its message comes again while the lease still holds: skipped
    return deaths


def kill_identity_workers(job_processes: JobProcesses, points: Sequence[CrashPoint]) -> list[IdentityJob]:
    """Kill a worker with an identity at each point."""
    jobs = []
    for point in points:
        jobs.append(job_processes.add_identity(**make_published()))
        assert job_processes.run_worker(jobs[-1].id, kill=point).killed, point
    return jobs


def list_job_differences(job_processes: JobProcesses, deaths: Sequence[WorkerDeath]) -> list[str]:
    """Describe in words each mail that did not end as it must, once all has recovered."""
    found = []
    for death, sent in zip(deaths, job_processes.count_sent(*(death.job for death in deaths)), strict=True):
        state = job_processes.records.read_job(death.job.id)["state"]
        wanted = ("uncertain", death.sent) if death.begun else ("done", 1)
        if (state, sent) != wanted or (death.sent and not death.settled and state != "uncertain"):
            found.append(f"{death}: {state} with {sent} mails instead of {wanted}")
    return found


def list_identity_differences(job_processes: JobProcesses, jobs: Sequence[IdentityJob]) -> list[str]:
    """Describe in words each identity that did not end as it must."""
    found = []
    for job in jobs:
        people, sub = job_processes.list_identities(job), job_processes.read_sub(job.account)
        state = job_processes.records.read_job(job.id)["state"]
        if people != [{"status": "CONFIRMED", "groups": ["member"], "sub": sub}] or state != "done":
            found.append(f"{job}: {state}, {people}, the account is {sub}")
    return found
