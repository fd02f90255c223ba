"""Faults that an operator must repair, seen by the worker through production's own client: jobs wait until then."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from shared.aws import clients
from shared.aws.cognito import CognitoIdentityProvider, IdentityProvider
from shared.aws.errors import OperatorActionNeeded
from shared.clock import read_utc_now
from shared.database.pipeline import Database
from shared.outbox.retry_policy import MOST_ATTEMPTS
from tests.breakers import ManualTime, make_service_breaker
from tests.contract.emulated import use_aws_at
from tests.contract.test_mail import ScriptedMailServer, make_http_answer, run_mail_server
from tests.databases import FreshDatabase, make_deadline
from tests.fakes.circuits import InMemoryCircuitStore
from tests.fakes.mailer import FakeMailer
from tests.fakes.queues import FakeJobQueues
from tests.integration.jobs.records import RecordFixtures
from tests.integration.jobs.test_circuits import EMAIL, IDENTITY, OFFICE
from tests.services import EmulatorHandle
from worker.circuit_protected import CircuitProtectedIdentityProvider, CircuitProtectedMailer
from worker.job_runner import JobRunner

LONG = 60.0
DENIED = {"__type": "AccessDeniedException", "message": "not authorized to perform: cognito-idp:AdminCreateUser"}


class UserPoolClient:
    """The user pool, by whatever client is set."""

    def __init__(self) -> None:
        self.now: IdentityProvider

    def find(self, email: str) -> str | None:
        return self.now.find(email)

    def find_or_create(self, email: str) -> str:
        return self.now.find_or_create(email)

    def add_to_group(self, sub: str, group: str) -> None:
        self.now.add_to_group(sub, group)


@dataclass(frozen=True)
class RepairWorkerSetup:
    """A worker whose mails and identities stand behind circuits, whose time is the test's."""

    worker: JobRunner
    pool: UserPoolClient
    mailer: FakeMailer
    circuits: InMemoryCircuitStore
    time: ManualTime

    def run_job(self, job_id: UUID) -> str:
        """Do a job with time enough."""
        return self.worker.run_job(job_id, make_deadline(LONG))


@pytest.fixture
def worker_setup(database: Database) -> RepairWorkerSetup:
    """Waits are the longest they may be."""
    pool, mailer, store, time = UserPoolClient(), FakeMailer(), InMemoryCircuitStore(), ManualTime()
    circuits = {
        "mail": make_service_breaker(store, time, EMAIL),
        "identity": make_service_breaker(store, time, IDENTITY),
    }
    worker = JobRunner(
        database,
        CircuitProtectedMailer(mailer, circuits["mail"]),
        CircuitProtectedIdentityProvider(pool, circuits["identity"]),
        FakeJobQueues(),
        OFFICE,
        read_utc_now,
        uniform=lambda _low, high: high,
        circuits=circuits,
    )
    return RepairWorkerSetup(worker, pool, mailer, store, time)


@pytest.fixture
def denying() -> Iterator[tuple[ScriptedMailServer, IdentityProvider]]:
    """Cognito while our role may not ask it anything: HTTP 400, as it says that."""
    with run_mail_server(make_http_answer(400, DENIED)) as (served, url), use_aws_at(url):
        yield served, CognitoIdentityProvider(clients.get_cognito(), "eu-central-1_pool")


def publish_again(fresh_database: FreshDatabase, job: UUID) -> None:
    """Publish the job as the relay does when it is due."""
    fresh_database.query_rows("UPDATE outbox SET state = 'queued', available_at = now() WHERE id = %s", job)


def outlast(worker_setup: RepairWorkerSetup, fresh_database: FreshDatabase, jobs: list[UUID], rounds: int) -> None:
    """Try the jobs again and again, each time after what they wait at most."""
    for _ in range(rounds):
        for job in jobs:
            assert worker_setup.run_job(job) == "pending"
            publish_again(fresh_database, job)
        worker_setup.time.advance(IDENTITY.open_s)


def test_an_identity_waits_for_a_missing_permission_and_is_made_after_the_repair(
    worker_setup: RepairWorkerSetup,
    records: RecordFixtures,
    fresh_database: FreshDatabase,
    denying: tuple[ScriptedMailServer, IdentityProvider],
    emulator: EmulatorHandle,
) -> None:
    """No attempt is counted, so it outlasts any number of them; the circuit opens, and probes now and then."""
    served, worker_setup.pool.now = denying
    jobs = [records.add_identity(records.add_member(), state="queued") for _ in range(8)]
    rounds = 2 * MOST_ATTEMPTS
    outlast(worker_setup, fresh_database, jobs, rounds)
    assert [records.read_job(job)["attempts"] for job in jobs] == [0] * len(jobs)
    assert {records.read_job(job)["last_error"] for job in jobs} <= {"AccessDeniedException", "circuit-open"}
    assert len(served.requests) == IDENTITY.failures + rounds - 1
    assert worker_setup.circuits.read("identity").state == "open"
    with use_aws_at(emulator.url):
        worker_setup.pool.now = CognitoIdentityProvider(clients.get_cognito(), pool())
        assert [worker_setup.run_job(job) for job in jobs] == ["done"] * len(jobs)
    assert [records.read_job(job)["attempts"] for job in jobs] == [1] * len(jobs)
    assert worker_setup.circuits.read("identity").state == "closed"


def pool() -> str:
    """Return a user pool with the groups of the template."""
    made = clients.get_cognito().create_user_pool(PoolName=uuid4().hex, UsernameAttributes=["email"])["UserPool"]["Id"]
    clients.get_cognito().create_group(UserPoolId=made, GroupName="member")
    return made


def test_a_mail_waits_while_sending_is_paused_and_is_sent_once_after_the_repair(
    worker_setup: RepairWorkerSetup, records: RecordFixtures, fresh_database: FreshDatabase
) -> None:
    """It was not sent, and SES says so."""
    member = records.add_member()
    job = records.add_mail("member-welcome", member, to=member, state="queued")

    def raise_paused(_mail: object) -> None:
        raise OperatorActionNeeded("SendingPausedException")

    worker_setup.mailer.answer = raise_paused
    for _ in range(2 * MOST_ATTEMPTS):
        assert worker_setup.run_job(job) == "pending"
        publish_again(fresh_database, job)
        worker_setup.time.advance(EMAIL.open_s)
    assert (records.read_job(job)["attempts"], worker_setup.mailer.sent) == (0, [])
    worker_setup.mailer.answer = lambda _mail: None
    assert worker_setup.run_job(job) == "done"
    assert len(worker_setup.mailer.sent) == 1
