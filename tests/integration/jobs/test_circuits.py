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
from tests.breakers import Time, service_breaker
from tests.databases import Blank, soon
from tests.fakes.circuits import InMemoryCircuits
from tests.fakes.evidence import FakeEvidence
from tests.fakes.identities import FakeIdentities
from tests.fakes.mailer import FakeMailer
from tests.fakes.queues import FakeQueues
from tests.figures import record
from tests.integration.jobs.records import Records
from tests.integration.room import room, serial
from tests.people import person
from worker.circuit_protected import CircuitProtectedIdentityProvider, CircuitProtectedMailer
from worker.job_runner import SPREAD_S, JobRunner, MailSettings
from worker.ses import Mail

OFFICE = MailSettings("desk@interdomestik.test", "mk", "https://app.example.test")
EMAIL, IDENTITY, STORAGE = (Settings().find_circuit_policy(name) for name in ("email", "identity", "storage"))
LONG = 60.0


@dataclass(frozen=True)
class Shop:
    """A worker whose services stand behind circuits, whose time is the test's."""

    worker: JobRunner
    mailer: FakeMailer
    identities: FakeIdentities
    queues: FakeQueues
    store: InMemoryCircuits
    time: Time

    def work(self, job_id: UUID) -> str:
        """Do a job with time enough."""
        return self.worker.run_job(job_id, soon(LONG))

    def breaker(self, policy: CircuitPolicy) -> CircuitBreaker:
        """Another environment's."""
        return service_breaker(self.store, self.time, policy)

    def break_mail(self, error: AwsError) -> None:
        """From now on every mail meets this."""

        def answer(_mail: Mail) -> None:
            raise error

        self.mailer.answer = answer

    def mend_mail(self) -> None:
        """From now on mails leave again."""
        self.mailer.answer = lambda _mail: None


@pytest.fixture
def shop(database: Database) -> Shop:
    """Waits are the longest they may be."""
    mailer, identities, queues = FakeMailer(), FakeIdentities(), FakeQueues()
    store, time = InMemoryCircuits(), Time()
    circuits = {"mail": service_breaker(store, time, EMAIL), "identity": service_breaker(store, time, IDENTITY)}
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
    return Shop(worker, mailer, identities, queues, store, time)


@pytest.fixture
def member(records: Records) -> UUID:
    """Somebody to write to."""
    return records.member(email="besa@example.test")


@pytest.fixture
def mails(records: Records, member: UUID) -> Callable[[int], list[UUID]]:
    """So many mails, on their way."""
    return lambda count: [
        records.mail("member-welcome", member, to=member, state="queued", priority="high") for _ in range(count)
    ]


def opened(shop: Shop, mails: Callable[[int], list[UUID]]) -> list[UUID]:
    """The mails that opened the circuit by failing."""
    shop.break_mail(ServiceUnavailable("EndpointConnectionError"))
    failed = mails(EMAIL.failures)
    assert [shop.work(job) for job in failed] == ["pending"] * EMAIL.failures
    assert shop.store.read("email").state == "open"
    shop.mend_mail()
    return failed


def due_in_s(blank: Blank, job_id: UUID) -> float:
    """Seconds between a job's last change and when it is due."""
    due = "SELECT extract(epoch FROM available_at - updated_at)::float AS s FROM outbox WHERE id = %s"
    return float(blank.rows(due, job_id)[0]["s"])


def test_a_mail_before_an_open_circuit_waits_for_the_probe_and_no_attempt_is_counted(
    shop: Shop, records: Records, blank: Blank, mails: Callable[[int], list[UUID]]
) -> None:
    """It is not even claimed: nothing was begun, so nothing is lost with a worker that dies."""
    opened(shop, mails)
    shop.time.advance(20)
    [job] = mails(1)
    assert shop.work(job) == "pending"
    row = records.at(job)
    assert (row["state"], row["attempts"], row["last_error"], row["leased_until"]) == (
        "pending", 0, "circuit-open", None,
    )  # fmt: skip
    assert due_in_s(blank, job) == pytest.approx(40 + SPREAD_S, abs=1)
    assert shop.queues.nudges[-1] == round(40 + SPREAD_S)
    assert not shop.mailer.sent
    assert shop.work(job) == "pending", "the message came twice"
    assert records.at(job)["attempts"] == 0


@dataclass(frozen=True)
class Closed:
    """A gate that stays closed for so many seconds."""

    seconds: float

    def measure_wait_s(self) -> float:
        """See Gate."""
        return self.seconds


@pytest.mark.parametrize(("wait_s", "nudges"), [(898, [900]), (899, []), (1000, [])])
def test_a_wait_that_no_message_can_have_is_left_to_the_schedule(
    shop: Shop, blank: Blank, mails: Callable[[int], list[UUID]], wait_s: float, nudges: list[float]
) -> None:
    """SQS delays a message by 900 s at most: an earlier nudge would find nothing due."""
    [job] = mails(1)
    worker = replace(shop.worker, circuits={"mail": Closed(wait_s)})
    assert worker.run_job(job, soon(LONG)) == "pending"
    assert shop.queues.nudges == nudges
    assert due_in_s(blank, job) == pytest.approx(wait_s + SPREAD_S, abs=1)


def test_putting_a_job_off_is_one_flight(
    shop: Shop, mails: Callable[[int], list[UUID]], monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    """So there is no moment at which a dead worker could leave it claimed."""
    opened(shop, mails)
    [job] = mails(1)
    flown: list[None] = []
    fly = database._run_pipeline

    def counted(*args: Any) -> Any:
        flown.append(None)
        return fly(*args)

    monkeypatch.setattr(database, "_run_pipeline", counted)
    assert shop.work(job) == "pending"
    assert len(flown) == 1


def test_an_open_circuit_holds_up_its_own_kind_of_job_alone(
    shop: Shop, records: Records, member: UUID, mails: Callable[[int], list[UUID]]
) -> None:
    """Sign-ins are made while mails wait."""
    opened(shop, mails)
    assert shop.work(records.identity(member, state="queued")) == "done"


def test_a_job_that_was_claimed_before_the_circuit_opened_is_given_back_uncounted(
    shop: Shop, records: Records, mails: Callable[[int], list[UUID]]
) -> None:
    """The probe is another's: of many that came for it one is made."""
    opened(shop, mails)
    shop.time.advance(EMAIL.open_s)
    other, [job] = shop.breaker(EMAIL), mails(1)
    run = shop.worker.database.run

    def overtaken(*arguments: Any) -> Any:
        landed = run(*arguments)
        if shop.store.read("email").state == "open":
            assert other.allow().probe
        return landed

    shop.worker.database.run = overtaken  # type: ignore[method-assign, assignment]
    assert shop.work(job) == "pending"
    row = records.at(job)
    assert (row["state"], row["attempts"], row["last_error"]) == ("pending", 0, "circuit-open")
    assert not shop.mailer.sent


def test_a_mail_that_is_refused_opens_nothing(shop: Shop, mails: Callable[[int], list[UUID]]) -> None:
    """A bad address is an answer."""
    shop.break_mail(RequestRejected("MessageRejected"))
    assert {shop.work(job) for job in mails(3 * EMAIL.failures)} == {"failed"}
    assert shop.store.read("email").state == "closed"


def test_mails_of_unknown_fate_open_it_and_stay_uncertain(shop: Shop, mails: Callable[[int], list[UUID]]) -> None:
    """The sixth is not tried."""
    shop.break_mail(OutcomeUnknown("ReadTimeoutError"))
    states = [shop.work(job) for job in mails(EMAIL.failures + 1)]
    assert states == ["uncertain"] * EMAIL.failures + ["pending"]


def test_identities_have_a_circuit_of_their_own(shop: Shop, records: Records, member: UUID) -> None:
    """Open for half a minute."""
    shop.identities.fails = [ServiceUnavailable("TooManyRequestsException")] * 100
    jobs = [records.identity(member, state="queued") for _ in range(2 * IDENTITY.failures)]
    assert {shop.work(job) for job in jobs} == {"pending"}
    assert len(shop.identities.fails) == 100 - IDENTITY.failures
    assert [records.at(job)["attempts"] for job in jobs] == [1] * IDENTITY.failures + [0] * IDENTITY.failures


MAILS = 500
OUTAGE_S, STEP_S = 600, 30  # of the circuits' clock; what waits in the database is moved on with it


def test_after_ten_minutes_without_ses_five_hundred_mails_are_sent_once_each(
    shop: Shop, blank: Blank, mails: Callable[[int], list[UUID]]
) -> None:
    """Few calls reach it meanwhile, no mail is given up, and whoever registers notices nothing."""
    outage_until = shop.time() + OUTAGE_S * SECOND
    reached: list[int] = []

    def answer(_mail: Mail) -> None:
        if shop.time() < outage_until:
            reached.append(shop.time())
            raise ServiceUnavailable("EndpointConnectionError")

    shop.mailer.answer = answer
    mails(MAILS)
    members, registered = room(api, blank), []
    for _ in range(2 * OUTAGE_S // STEP_S):
        for row in blank.rows("SELECT id FROM outbox WHERE state = 'queued'"):
            shop.work(row["id"])
        if shop.time() < outage_until:
            registered.append(members.call("POST", "/members", person(), key=f"key-{serial()}").status)
        shop.time.advance(STEP_S)
        blank.rows(
            "UPDATE outbox SET available_at = available_at - %s * interval '1 s' WHERE state = 'pending'", STEP_S
        )
        repeat_until_empty(
            lambda: relay_batch(shop.worker.database, shop.queues, clock=read_utc_now, deadline=soon(LONG)), soon(LONG)
        )
    sent = Counter(tags["job"] for tags in shop.mailer.tags)
    written = {str(row["id"]) for row in blank.rows("SELECT id FROM outbox WHERE kind = 'mail'")}
    undone = blank.rows("SELECT id FROM outbox WHERE state <> 'done'")
    record(
        "ses_down", queued=MAILS, sent=len(sent), doubled=sum(n - 1 for n in sent.values()), undone=len(undone),
        reached=len(reached), registered=registered.count(201), of=len(registered),
    )  # fmt: skip
    assert undone == []
    assert sent == Counter(written)
    assert len(sent) == MAILS + len(registered)
    assert registered == [201] * (OUTAGE_S // STEP_S)
    assert len(reached) <= EMAIL.failures + OUTAGE_S / EMAIL.open_s
    assert blank.rows("SELECT sum(attempts)::int AS n FROM outbox WHERE kind = 'mail'") == [
        {"n": len(sent) + len(reached)}
    ]


def test_housekeeping_leaves_documents_for_later_while_the_buckets_circuit_is_open(
    shop: Shop, records: Records, member: UUID, blank: Blank, database: Database
) -> None:
    """It asks no more than the threshold; what was removed before is settled."""
    claim = records.claim(member)
    for n in range(10):
        blank.rows(
            "INSERT INTO documents (id, claim_id, slot, file_name, content_type, size, object_key, created_at)"
            " VALUES (gen_random_uuid(), %s, %s, 'a.png', 'image/png', 1, %s, now() - interval '2 days')",
            claim, n + 1, f"uploads/{n}",
        )  # fmt: skip
    evidence, asked = FakeEvidence(), 0

    def delete(_key: str) -> None:
        nonlocal asked
        asked += 1
        if 2 < asked <= 2 + STORAGE.failures:
            raise ServiceUnavailable("EndpointConnectionError")

    evidence.delete = delete  # type: ignore[method-assign, assignment]
    breaker = shop.breaker(STORAGE)
    keeper = Housekeeper(
        database, CircuitProtectedDocumentStore(evidence, breaker), read_utc_now, "request", soon(LONG)
    )
    assert keeper.reject_stale_documents() == 2
    assert (shop.store.read("storage").state, asked) == ("open", 2 + STORAGE.failures)
    assert keeper.reject_stale_documents() == 0
    assert asked == 2 + STORAGE.failures
    shop.time.advance(STORAGE.open_s)
    assert keeper.run()["documents_swept"] == 8
