"""Jobs before an open circuit, on real PostgreSQL: they wait for the probe, and no attempt of theirs is counted."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pytest

from housekeeping.app import Housekeeper
from members.app import api
from relay.app import relay_batch
from shared.aws.circuit_protected import CircuitProtectedDocumentStore
from shared.aws.errors import AwsError, OutcomeUnknown, RequestRejected, ServiceUnavailable
from shared.background import repeat_until_empty
from shared.circuit.breaker import CircuitBreaker
from shared.circuit.state import CircuitPolicy
from shared.clock import read_utc_now
from shared.database.pipeline import Database
from shared.settings import Settings
from shared.units import SECOND
from tests.breakers import ManualTime, make_service_breaker
from tests.databases import FreshDatabase, make_deadline
from tests.fakes.circuits import InMemoryCircuitStore
from tests.fakes.documents import FakeDocumentStore
from tests.fakes.identities import FakeIdentityProvider
from tests.fakes.mailer import FakeMailer
from tests.fakes.queues import FakeJobQueues
from tests.integration.function_client import get_next_serial, make_client
from tests.integration.jobs.records import RecordFixtures
from tests.measurements import record
from tests.sample_people import make_person
from worker.circuit_protected import CircuitProtectedIdentityProvider, CircuitProtectedMailer
from worker.job_runner import SPREAD_S, JobRunner, MailSettings
from worker.ses import Mail

OFFICE = MailSettings("desk@interdomestik.test", "mk", "https://app.example.test")
EMAIL, IDENTITY, STORAGE = (Settings().find_circuit_policy(name) for name in ("email", "identity", "storage"))
LONG = 60.0


@dataclass(frozen=True)
class CircuitWorkerSetup:
    """A worker whose services stand behind circuits, whose time is the test's."""

    worker: JobRunner
    mailer: FakeMailer
    identities: FakeIdentityProvider
    queues: FakeJobQueues
    store: InMemoryCircuitStore
    time: ManualTime

    def run_job(self, job_id: UUID) -> str:
        """Do a job with time enough."""
        return self.worker.run_job(job_id, make_deadline(LONG))

    def make_breaker(self, policy: CircuitPolicy) -> CircuitBreaker:
        """Return the circuit breaker of another environment."""
        return make_service_breaker(self.store, self.time, policy)

    def break_mail(self, error: AwsError) -> None:
        """Make every mail from now on fail in this way."""

        def answer(_mail: Mail) -> None:
            raise error

        self.mailer.answer = answer

    def mend_mail(self) -> None:
        """Let mails leave again from now on."""
        self.mailer.answer = lambda _mail: None


@pytest.fixture
def worker_setup(database: Database) -> CircuitWorkerSetup:
    """Waits are the longest they may be."""
    mailer, identities, queues = FakeMailer(), FakeIdentityProvider(), FakeJobQueues()
    store, time = InMemoryCircuitStore(), ManualTime()
    circuits = {
        "mail": make_service_breaker(store, time, EMAIL),
        "identity": make_service_breaker(store, time, IDENTITY),
    }
    worker = JobRunner(
        database,
        CircuitProtectedMailer(mailer, circuits["mail"]),
        CircuitProtectedIdentityProvider(identities, circuits["identity"]),
        queues,
        OFFICE,
        read_utc_now,
        uniform=lambda _low, high: high,
        circuits=circuits,
    )
    return CircuitWorkerSetup(worker, mailer, identities, queues, store, time)


@pytest.fixture
def member(records: RecordFixtures) -> UUID:
    """Somebody to write to."""
    return records.add_member(email="besa@example.test")


@pytest.fixture
def mails(records: RecordFixtures, member: UUID) -> Callable[[int], list[UUID]]:
    """Return a function that adds a number of mails which are on their way."""
    return lambda count: [
        records.add_mail("member-welcome", member, to=member, state="queued", priority="high") for _ in range(count)
    ]


def open_circuit(worker_setup: CircuitWorkerSetup, mails: Callable[[int], list[UUID]]) -> list[UUID]:
    """Return the mails that opened the circuit by failing."""
    worker_setup.break_mail(ServiceUnavailable("EndpointConnectionError"))
    failed = mails(EMAIL.failures)
    assert [worker_setup.run_job(job) for job in failed] == ["pending"] * EMAIL.failures
    assert worker_setup.store.read("email").state == "open"
    worker_setup.mend_mail()
    return failed


def measure_delay_s(fresh_database: FreshDatabase, job_id: UUID) -> float:
    """Return seconds between a job's last change and when it is due."""
    due = "SELECT extract(epoch FROM available_at - updated_at)::float AS s FROM outbox WHERE id = %s"
    return float(fresh_database.query_rows(due, job_id)[0]["s"])


def test_a_mail_before_an_open_circuit_waits_for_the_probe_and_no_attempt_is_counted(
    worker_setup: CircuitWorkerSetup,
    records: RecordFixtures,
    fresh_database: FreshDatabase,
    mails: Callable[[int], list[UUID]],
) -> None:
    """It is not even claimed: nothing was begun, so nothing is lost with a worker that dies."""
    open_circuit(worker_setup, mails)
    worker_setup.time.advance(20)
    [job] = mails(1)
    assert worker_setup.run_job(job) == "pending"
    row = records.read_job(job)
    assert (row["state"], row["attempts"], row["last_error"], row["leased_until"]) == (
        "pending", 0, "circuit-open", None,
    )  # fmt: skip
    assert measure_delay_s(fresh_database, job) == pytest.approx(40 + SPREAD_S, abs=1)
    assert worker_setup.queues.wake_ups[-1] == round(40 + SPREAD_S)
    assert not worker_setup.mailer.sent
    assert worker_setup.run_job(job) == "pending", "the message came twice"
    assert records.read_job(job)["attempts"] == 0


@dataclass(frozen=True)
class ClosedConnection:
    """A gate that stays closed for a given time."""

    seconds: float

    def measure_wait_s(self) -> float:
        """See Gate."""
        return self.seconds


@pytest.mark.parametrize(("wait_s", "wake_ups"), [(898, [900]), (899, []), (1000, [])])
def test_a_wait_that_no_message_can_have_is_left_to_the_schedule(
    worker_setup: CircuitWorkerSetup,
    fresh_database: FreshDatabase,
    mails: Callable[[int], list[UUID]],
    wait_s: float,
    wake_ups: list[float],
) -> None:
    """SQS delays a message by 900 s at most: an earlier wake-up would find nothing due."""
    [job] = mails(1)
    worker = replace(worker_setup.worker, circuits={"mail": ClosedConnection(wait_s)})
    assert worker.run_job(job, make_deadline(LONG)) == "pending"
    assert worker_setup.queues.wake_ups == wake_ups
    assert measure_delay_s(fresh_database, job) == pytest.approx(wait_s + SPREAD_S, abs=1)


def test_postponing_a_job_is_one_round_trip(
    worker_setup: CircuitWorkerSetup,
    mails: Callable[[int], list[UUID]],
    monkeypatch: pytest.MonkeyPatch,
    database: Database,
) -> None:
    """There is therefore no moment at which a dead worker could leave it claimed."""
    open_circuit(worker_setup, mails)
    [job] = mails(1)
    round_trips: list[None] = []
    run_pipeline = database._run_pipeline

    def count_call(*args: Any) -> Any:
        round_trips.append(None)
        return run_pipeline(*args)

    monkeypatch.setattr(database, "_run_pipeline", count_call)
    assert worker_setup.run_job(job) == "pending"
    assert len(round_trips) == 1


def test_an_open_circuit_holds_up_its_own_kind_of_job_alone(
    worker_setup: CircuitWorkerSetup, records: RecordFixtures, member: UUID, mails: Callable[[int], list[UUID]]
) -> None:
    """Sign-ins are made while mails wait."""
    open_circuit(worker_setup, mails)
    assert worker_setup.run_job(records.add_identity(member, state="queued")) == "done"


def test_a_job_that_was_claimed_before_the_circuit_opened_is_given_back_uncounted(
    worker_setup: CircuitWorkerSetup, records: RecordFixtures, mails: Callable[[int], list[UUID]]
) -> None:
    """The probe is another's: of many that came for it one is made."""
    open_circuit(worker_setup, mails)
    worker_setup.time.advance(EMAIL.open_s)
    other, [job] = worker_setup.make_breaker(EMAIL), mails(1)
    run = worker_setup.worker.database.run

    def open_meanwhile(*arguments: Any) -> Any:
        committed = run(*arguments)
        if worker_setup.store.read("email").state == "open":
            assert other.allow().probe
        return committed

    worker_setup.worker.database.run = open_meanwhile  # type: ignore[method-assign, assignment]
    assert worker_setup.run_job(job) == "pending"
    row = records.read_job(job)
    assert (row["state"], row["attempts"], row["last_error"]) == ("pending", 0, "circuit-open")
    assert not worker_setup.mailer.sent


def test_a_mail_that_is_refused_opens_nothing(
    worker_setup: CircuitWorkerSetup, mails: Callable[[int], list[UUID]]
) -> None:
    """A refused address is an answer, no failure of the service."""
    worker_setup.break_mail(RequestRejected("MessageRejected"))
    assert {worker_setup.run_job(job) for job in mails(3 * EMAIL.failures)} == {"failed"}
    assert worker_setup.store.read("email").state == "closed"


def test_mails_of_unknown_fate_open_it_and_stay_uncertain(
    worker_setup: CircuitWorkerSetup, mails: Callable[[int], list[UUID]]
) -> None:
    """The sixth mail is not tried."""
    worker_setup.break_mail(OutcomeUnknown("ReadTimeoutError"))
    states = [worker_setup.run_job(job) for job in mails(EMAIL.failures + 1)]
    assert states == ["uncertain"] * EMAIL.failures + ["pending"]


def test_identities_have_a_circuit_of_their_own(
    worker_setup: CircuitWorkerSetup, records: RecordFixtures, member: UUID
) -> None:
    """It stays open for half a minute."""
    worker_setup.identities.fails = [ServiceUnavailable("TooManyRequestsException")] * 100
    jobs = [records.add_identity(member, state="queued") for _ in range(2 * IDENTITY.failures)]
    assert {worker_setup.run_job(job) for job in jobs} == {"pending"}
    assert len(worker_setup.identities.fails) == 100 - IDENTITY.failures
    assert [records.read_job(job)["attempts"] for job in jobs] == [1] * IDENTITY.failures + [0] * IDENTITY.failures


MAILS = 500
OUTAGE_S, STEP_S = 600, 30  # of the circuits' clock; what waits in the database is moved on with it


def test_after_ten_minutes_without_ses_five_hundred_mails_are_sent_once_each(
    worker_setup: CircuitWorkerSetup, fresh_database: FreshDatabase, mails: Callable[[int], list[UUID]]
) -> None:
    """Few calls reach it meanwhile, no mail is given up, and whoever registers notices nothing."""
    outage_until = worker_setup.time() + OUTAGE_S * SECOND
    reached: list[int] = []

    def answer(_mail: Mail) -> None:
        if worker_setup.time() < outage_until:
            reached.append(worker_setup.time())
            raise ServiceUnavailable("EndpointConnectionError")

    worker_setup.mailer.answer = answer
    mails(MAILS)
    members, registered = make_client(api, fresh_database), []
    for _ in range(2 * OUTAGE_S // STEP_S):
        for row in fresh_database.query_rows("SELECT id FROM outbox WHERE state = 'queued'"):
            worker_setup.run_job(row["id"])
        if worker_setup.time() < outage_until:
            registered.append(members.call("POST", "/members", make_person(), key=f"key-{get_next_serial()}").status)
        worker_setup.time.advance(STEP_S)
        fresh_database.query_rows(
            "UPDATE outbox SET available_at = available_at - %s * interval '1 s' WHERE state = 'pending'", STEP_S
        )
        repeat_until_empty(
            lambda: relay_batch(
                worker_setup.worker.database, worker_setup.queues, clock=read_utc_now, deadline=make_deadline(LONG)
            ),
            make_deadline(LONG),
        )
    sent = Counter(tags["job"] for tags in worker_setup.mailer.tags)
    written = {str(row["id"]) for row in fresh_database.query_rows("SELECT id FROM outbox WHERE kind = 'mail'")}
    undone = fresh_database.query_rows("SELECT id FROM outbox WHERE state <> 'done'")
    record(
        "ses_down", queued=MAILS, sent=len(sent), doubled=sum(n - 1 for n in sent.values()), undone=len(undone),
        reached=len(reached), registered=registered.count(201), of=len(registered),
    )  # fmt: skip
    assert undone == []
    assert sent == Counter(written)
    assert len(sent) == MAILS + len(registered)
    assert registered == [201] * (OUTAGE_S // STEP_S)
    assert len(reached) <= EMAIL.failures + OUTAGE_S / EMAIL.open_s
    assert fresh_database.query_rows("SELECT sum(attempts)::int AS n FROM outbox WHERE kind = 'mail'") == [
        {"n": len(sent) + len(reached)}
    ]


def test_housekeeping_leaves_documents_for_later_while_the_buckets_circuit_is_open(
    worker_setup: CircuitWorkerSetup,
    records: RecordFixtures,
    member: UUID,
    fresh_database: FreshDatabase,
    database: Database,
) -> None:
    """It asks no more than the threshold; what was removed before is settled."""
    claim = records.add_claim(member)
    for n in range(10):
        fresh_database.query_rows(
            "INSERT INTO documents (id, claim_id, slot, file_name, content_type, size, object_key, created_at)"
            " VALUES (gen_random_uuid(), %s, %s, 'a.png', 'image/png', 1, %s, now() - interval '2 days')",
            claim, n + 1, f"uploads/{n}",
        )  # fmt: skip
    evidence, asked = FakeDocumentStore(), 0

    def delete(_key: str) -> None:
        nonlocal asked
        asked += 1
        if 2 < asked <= 2 + STORAGE.failures:
            raise ServiceUnavailable("EndpointConnectionError")

    evidence.delete = delete  # type: ignore[method-assign, assignment]
    breaker = worker_setup.make_breaker(STORAGE)
    keeper = Housekeeper(
        database, CircuitProtectedDocumentStore(evidence, breaker), read_utc_now, "request", make_deadline(LONG)
    )
    assert keeper.reject_stale_documents() == 2
    assert (worker_setup.store.read("storage").state, asked) == ("open", 2 + STORAGE.failures)
    assert keeper.reject_stale_documents() == 0
    assert asked == 2 + STORAGE.failures
    worker_setup.time.advance(STORAGE.open_s)
    assert keeper.run()["documents_rejected"] == 8
