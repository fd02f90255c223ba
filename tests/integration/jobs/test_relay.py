"""The relay, on real PostgreSQL: every committed job reaches its queue, wherever a relay is killed."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest

from relay import app as relay_app
from relay.app import CLAIM_BATCH, EARLY_LOOKS_S, relay_batch, relay_due_jobs
from shared.background import repeat_until_empty
from shared.clock import read_monotonic, read_utc_now
from shared.database.pipeline import Database
from shared.deadline import Deadline
from shared.sql import Query
from tests.databases import FreshDatabase, make_deadline
from tests.fakes.queues import FakeJobQueues
from tests.integration.jobs.records import RecordFixtures


class RelayKilled(BaseException):
    """The process ends here."""


@pytest.fixture
def queues() -> FakeJobQueues:
    """Return the queues that jobs go to."""
    return FakeJobQueues()


@pytest.fixture
def relay(database: Database, queues: FakeJobQueues) -> Callable[[], int]:
    """Run the relay once."""
    return lambda: relay_batch(database, queues, clock=read_utc_now, deadline=make_deadline())


def test_a_pending_job_goes_to_the_queue_of_its_priority(
    relay: Callable[[], int], records: RecordFixtures, queues: FakeJobQueues
) -> None:
    """Each job is published once, and nothing is left to do."""
    someone = records.add_member()
    sent = {p: records.add_mail("member-welcome", someone, to=someone, priority=p) for p in ("low", "normal", "high")}
    assert relay() == 3
    assert queues.published == {priority: [job_id] for priority, job_id in sent.items()}
    assert list(queues.published) == ["high", "normal", "low"], "the most urgent is handed over first"
    assert set(records.list_states().values()) == {"queued"}
    assert relay() == 0


@pytest.mark.parametrize(
    ("event", "hops"),
    [
        ({"source": "aws.events"}, 0),
        ({"Records": [{"body": "{}"}]}, 0),
        ({"Records": [{"body": '{"hops": 1}'}, {"body": '{"hops": 3}'}, {"body": '{"hops": 2}'}]}, 3),
    ],
)
def test_jobs_are_published_with_the_hops_of_the_wake_ups(
    database: Database, records: RecordFixtures, queues: FakeJobQueues, event: dict[str, Any], hops: int
) -> None:
    """The schedule begins a new chain of messages, a wake-up continues its own."""
    someone = records.add_member()
    for priority in ("low", "high"):
        records.add_mail("member-welcome", someone, to=someone, priority=priority)
    assert relay_due_jobs(event, database, queues, clock=read_utc_now, deadline=make_deadline()) == 2
    assert queues.hops == [hops, hops]


def test_more_than_a_batch_goes_out_the_most_urgent_first(
    relay: Callable[[], int], records: RecordFixtures, queues: FakeJobQueues
) -> None:
    """Jobs that wait in `low` do not hold up those in `high`."""
    someone = records.add_member()
    for _ in range(CLAIM_BATCH):
        records.add_identity(someone, priority="low")
    urgent = records.add_identity(someone, priority="high")
    assert relay() == CLAIM_BATCH
    assert queues.published["high"] == [urgent]
    assert repeat_until_empty(relay, make_deadline()) == 1


def test_a_job_due_later_waits(relay: Callable[[], int], records: RecordFixtures) -> None:
    """It stays pending until it is due."""
    someone = records.add_member()
    job = records.add_identity(someone)
    records.age_job(job, "-1 minute")
    assert relay() == 0
    records.age_job(job, "2 minutes")
    assert relay() == 1


def test_what_sqs_did_not_take_is_pending_again_and_goes_out_later(
    relay: Callable[[], int], records: RecordFixtures, queues: FakeJobQueues
) -> None:
    """The next try is some seconds away, so the relay does not spin on it."""
    someone = records.add_member()
    taken, dropped = records.add_identity(someone), records.add_identity(someone)
    queues.drops = {dropped}
    assert relay() == 1
    assert records.list_states() == {taken: "queued", dropped: "pending"}
    assert records.read_job(dropped)["available_at"] > read_utc_now()
    assert relay() == 0
    queues.drops = set()
    records.age_job(dropped, "11 seconds")
    assert relay() == 1
    assert queues.published["normal"] == [taken, dropped]


def test_with_sqs_gone_nothing_is_lost_and_the_relay_stops(
    relay: Callable[[], int], records: RecordFixtures, queues: FakeJobQueues
) -> None:
    """It answers 0, so the loop around it ends."""
    job = records.add_identity(records.add_member())
    queues.broken = True
    assert relay() == 0
    assert records.read_job(job)["state"] == "pending"


@pytest.mark.parametrize("published", [False, True])
def test_a_relay_killed_before_or_after_publishing_loses_nothing(
    relay: Callable[[], int], database: Database, records: RecordFixtures, queues: FakeJobQueues, published: bool
) -> None:
    """Its lease runs out and the next relay publishes: at worst twice, which workers bear."""
    job = records.add_identity(records.add_member())

    class Dying(FakeJobQueues):
        def publish(self, priority: str, job_ids: Any, *, hops: int = 0) -> frozenset[UUID]:
            if published:
                queues.publish(priority, job_ids, hops=hops)
            raise RelayKilled

    with pytest.raises(RelayKilled):
        relay_batch(database, Dying(), clock=read_utc_now, deadline=make_deadline())
    assert relay() == 0, "the lease still holds"
    records.age_job(job, "61 seconds")
    assert relay() == 1
    assert queues.published["normal"] == [job] * (2 if published else 1)


def test_a_message_that_sqs_lost_is_published_again(
    relay: Callable[[], int], records: RecordFixtures, queues: FakeJobQueues
) -> None:
    """The job is published again after a quarter of an hour without a worker."""
    job = records.add_identity(records.add_member())
    relay()
    records.age_job(job, "14 minutes")
    assert relay() == 0
    records.age_job(job, "2 minutes")
    assert relay() == 1
    assert queues.published["normal"] == [job, job]


def test_relays_side_by_side_publish_each_job_once(
    fresh_database: FreshDatabase, records: RecordFixtures, queues: FakeJobQueues
) -> None:
    """FOR UPDATE SKIP LOCKED: nobody waits, and nobody takes what another has."""
    someone = records.add_member()
    jobs = [records.add_identity(someone) for _ in range(4 * CLAIM_BATCH)]
    relays = [fresh_database.make_database() for _ in range(4)]
    together = threading.Barrier(len(relays))

    def run(database: Database) -> int:
        database.run(lambda tx: tx.fetch_one(Query("SELECT 1")), make_deadline())  # connected before the others begin
        together.wait()
        return repeat_until_empty(
            lambda: relay_batch(database, queues, clock=read_utc_now, deadline=make_deadline()), make_deadline()
        )

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run, relays)) == len(jobs)
    assert sorted(queues.published["normal"]) == sorted(jobs)


def test_a_mail_whose_worker_died_is_uncertain_and_is_not_sent_again(
    relay: Callable[[], int], records: RecordFixtures, queues: FakeJobQueues
) -> None:
    """It may have left, so a person decides."""
    someone = records.add_member()
    job = records.add_mail("member-welcome", someone, to=someone, state="running", leased_until=read_utc_now())
    assert relay() == 0
    assert (records.read_job(job)["state"], records.read_job(job)["last_error"]) == ("uncertain", "abandoned")
    assert not queues.published


@pytest.mark.parametrize(("attempts", "state"), [(9, "queued"), (10, "failed")])
def test_an_identity_whose_worker_died_is_made_again_until_its_attempts_are_used_up(
    relay: Callable[[], int], records: RecordFixtures, attempts: int, state: str
) -> None:
    """It is safe to make again, but what kills every worker must end."""
    job = records.add_identity(records.add_member(), state="running", leased_until=read_utc_now(), attempts=attempts)
    relay()
    assert records.read_job(job)["state"] == state


def test_a_job_that_a_worker_holds_is_left_alone(relay: Callable[[], int], records: RecordFixtures) -> None:
    """Its lease has not run out."""
    someone = records.add_member()
    job = records.add_mail("member-welcome", someone, to=someone, state="running", leased_until=read_utc_now())
    records.age_job(job, "-1 minute")
    assert relay() == 0
    assert records.read_job(job)["state"] == "running"


def test_the_loop_ends_with_the_work_or_the_time() -> None:
    """It ends with whichever comes first."""
    rounds = iter([3, 2, 0, 9])
    assert repeat_until_empty(lambda: next(rounds), make_deadline()) == 5
    assert repeat_until_empty(lambda: 1, Deadline.from_seconds(0, read_monotonic)) == 0


class CommitBetweenLooks:
    """The pauses between the relay's looks: a job commits after a given number; `pauses` are those made."""

    def __init__(self, commit: Callable[[], object], after: int) -> None:
        self.pauses: list[float] = []
        self._commit = commit
        self._after = after

    def sleep(self, seconds: float) -> None:
        """Pause, and commit if it is time."""
        if seconds == 0:  # before the first look
            return
        self.pauses.append(seconds)
        if len(self.pauses) == self._after:
            self._commit()


def name_jobs(*jobs: UUID) -> dict[str, Any]:
    """The event of a wake-up that names jobs."""
    return {"Records": [{"body": json.dumps({"hops": 0, "jobs": [str(job) for job in jobs]})}]}


@pytest.mark.parametrize("after", [1, len(EARLY_LOOKS_S)])
def test_a_relay_that_comes_before_the_commit_looks_again(
    database: Database, records: RecordFixtures, queues: FakeJobQueues, after: int
) -> None:
    """It publishes the job right after it has committed, and another that is due at once."""
    someone = records.add_member()
    due = records.add_mail("member-welcome", someone, to=someone)
    coming = uuid4()
    between = CommitBetweenLooks(lambda: records.add_mail("member-welcome", someone, to=someone, id=coming), after)
    published = relay_due_jobs(
        name_jobs(coming), database, queues, clock=read_utc_now, deadline=make_deadline(), sleep=between.sleep
    )
    assert published == 2
    assert [job for jobs in queues.published.values() for job in jobs] == [due, coming]
    assert between.pauses == list(EARLY_LOOKS_S[:after])


def test_a_relay_gives_up_a_job_that_does_not_come(database: Database, queues: FakeJobQueues) -> None:
    """Its transaction was refused, or takes long: then another wake-up follows, or the schedule finds it."""
    between = CommitBetweenLooks(lambda: None, 0)
    event = name_jobs(uuid4())
    assert (
        relay_due_jobs(event, database, queues, clock=read_utc_now, deadline=make_deadline(), sleep=between.sleep) == 0
    )
    assert between.pauses == [*EARLY_LOOKS_S]


def test_a_relay_makes_no_pause_that_outlasts_its_time(
    database: Database, queues: FakeJobQueues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda would end it in the middle."""
    monkeypatch.setattr(relay_app, "EARLY_LOOKS_S", (0.1, 60.0, 0.1))
    between = CommitBetweenLooks(lambda: None, 0)
    event = name_jobs(uuid4())
    relay_due_jobs(event, database, queues, clock=read_utc_now, deadline=make_deadline(), sleep=between.sleep)
    assert between.pauses == [0.1]


def test_a_relay_waits_for_no_job_that_is_there(
    database: Database, records: RecordFixtures, queues: FakeJobQueues
) -> None:
    """It doesn't wait for a job that another relay has published either."""
    someone = records.add_member()
    job = records.add_mail("member-welcome", someone, to=someone)
    between = CommitBetweenLooks(lambda: None, 0)
    for published in (1, 0):
        found = relay_due_jobs(
            name_jobs(job), database, queues, clock=read_utc_now, deadline=make_deadline(), sleep=between.sleep
        )
        assert found == published
    assert between.pauses == []


class TransactionCounter:
    """A database that counts its transactions."""

    def __init__(self, database: Database) -> None:
        self.transactions = 0
        self._database = database

    def run(self, use_case: Any, deadline: Deadline) -> Any:
        """Count one, and run it."""
        self.transactions += 1
        return self._database.run(use_case, deadline)


def test_a_look_is_one_transaction(database: Database, records: RecordFixtures, queues: FakeJobQueues) -> None:
    """A refused call costs eight. A job that is there costs three: claimed, marked, and nothing more found."""
    someone = records.add_member()
    job = records.add_mail("member-welcome", someone, to=someone)
    for expected, transactions in ((job, 3), (uuid4(), 1 + len(EARLY_LOOKS_S))):
        counted: Any = TransactionCounter(database)
        relay_due_jobs(
            name_jobs(expected), counted, queues, clock=read_utc_now, deadline=make_deadline(), sleep=lambda _s: None
        )
        assert counted.transactions == transactions
    assert queues.published == {"normal": [job]}


def test_the_jobs_of_others_wait_for_no_more_than_a_pause(
    database: Database, records: RecordFixtures, queues: FakeJobQueues
) -> None:
    """Only two relays run at once: their own wake-up may be behind the calls whose jobs do not come."""
    someone = records.add_member()
    seen: list[int] = []
    between = CommitBetweenLooks(lambda: records.add_mail("member-welcome", someone, to=someone), 1)

    def pause(seconds: float) -> None:
        between.sleep(seconds)
        seen.append(sum(map(len, queues.published.values())))

    relay_due_jobs(name_jobs(uuid4()), database, queues, clock=read_utc_now, deadline=make_deadline(), sleep=pause)
    assert seen == [0, 0] + [1] * (len(EARLY_LOOKS_S) - 1)
