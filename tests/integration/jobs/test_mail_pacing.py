"""Mails leave no faster than SES takes them, high ones first: all workers together, and each is sent once."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from threading import Thread
from uuid import UUID

import pytest

from relay.app import relay_batch
from shared.background import repeat_until_empty
from shared.clock import read_epoch_micros, read_utc_now
from shared.deadline import Deadline
from shared.units import SECOND, convert_to_epoch_micros
from tests.contract.dynamodb_clients import make_client, make_table
from tests.databases import FreshDatabase, make_deadline
from tests.fakes.clock import ManualClock
from tests.fakes.identities import FakeIdentityProvider
from tests.fakes.mailer import FakeMailer
from tests.fakes.pacing import InMemoryPacingStore
from tests.fakes.queues import FakeJobQueues
from tests.integration.jobs.records import RecordFixtures
from tests.integration.jobs.test_job_runner import OFFICE
from tests.measurements import record
from tests.services import EmulatorHandle
from worker.dynamodb_mail_pacing import DynamoDbPacingStore
from worker.job_runner import JOB_TIME_S, JobRunner
from worker.mail_pacing import AWAKE_S, UNAVAILABLE_PAUSE_S, MailRateLimiter
from worker.priority_pacing import PacingRules, PacingState, StoreReply
from worker.retry_later import RetryLater
from worker.ses import Mail

RATE = 5.0
WORKERS = 10
MAILS = 50
# Too little for a worker to sleep: whoever has to wait is handed back.
NO_SLEEP_S = (JOB_TIME_S + AWAKE_S) / 2


class RecordingPacingStore(DynamoDbPacingStore):
    """Notes the moment of each mail that is let through."""

    moments: list[int]

    def write(self, seen: PacingState, to: PacingState) -> StoreReply:
        """See PacingStore.write."""
        stored = super().write(seen, to)
        if stored.written and to.tat > seen.tat:
            self.moments.append(max(to.served))
        return stored


@dataclass
class PacedWorkers:
    """Workers with a connection and a limiter of their own, on one clock that only the test advances."""

    fresh_database: FreshDatabase
    emulator: EmulatorHandle
    clock: ManualClock = field(default_factory=ManualClock)
    sent: list[tuple[float, str]] = field(default_factory=list)
    tries: int = 0

    def __post_init__(self) -> None:
        self.table = make_table(make_client(self.emulator.url))
        self.queues = FakeJobQueues()
        self.workers = [self.make_worker() for _ in range(WORKERS)]
        self.start = self.clock()

    def make_worker(self) -> JobRunner:
        """Return another execution environment."""
        store = DynamoDbPacingStore(make_client(self.emulator.url), self.table)
        pace = MailRateLimiter(
            store, PacingRules.from_rate(RATE, 1), clock=lambda: convert_to_epoch_micros(self.clock()), sleep=fail
        )
        mailer = FakeMailer(self.keep)
        return JobRunner(
            self.fresh_database.make_database(),
            mailer,
            FakeIdentityProvider(),
            self.queues,
            OFFICE,
            read_utc_now,
            wait_for_slot=self.count_turns(pace.wait_for_slot),
        )

    def count_turns(self, turn: Callable[[str, Deadline], None]) -> Callable[[str, Deadline], None]:
        def take(priority: str, deadline: Deadline) -> None:
            self.tries += 1
            turn(priority, deadline)

        return take

    def keep(self, mail: Mail) -> None:
        self.sent.append(((self.clock() - self.start).total_seconds(), mail.to))

    def round(self) -> None:
        """Relay all due jobs, and let all workers do them at once."""
        relay = self.workers[0].database
        repeat_until_empty(
            lambda: relay_batch(relay, self.queues, clock=read_utc_now, deadline=make_deadline()), make_deadline()
        )
        due, self.queues.published["normal"] = self.queues.published["normal"], []
        shares = [(worker, due[n::WORKERS]) for n, worker in enumerate(self.workers)]
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(lambda share: [share[0].run_job(job, make_deadline(NO_SLEEP_S)) for job in share[1]], shares))

    def advance(self, seconds: float) -> None:
        """Advance the clock, and the jobs with it."""
        self.clock.advance(seconds)
        self.fresh_database.query_rows("UPDATE outbox SET available_at = available_at - %s", timedelta(seconds=seconds))


def fail(_seconds: float) -> None:
    """Stand in for sleeping where nobody may."""
    raise AssertionError("slept")


@pytest.fixture
def paced_workers(fresh_database: FreshDatabase, emulator: EmulatorHandle) -> PacedWorkers:
    """Ten workers and their table."""
    return PacedWorkers(fresh_database, emulator)


def add_welcomes(records: RecordFixtures, count: int, priority: str = "normal") -> list[UUID]:
    """Return `count` welcome mails, each to somebody else."""
    people = [records.add_member() for _ in range(count)]
    return [records.add_mail("member-welcome", person, to=person, priority=priority) for person in people]


def test_fifty_mails_at_once_leave_at_the_rate_and_each_once(
    paced_workers: PacedWorkers, records: RecordFixtures
) -> None:
    """No window has more than the rate allows, and the rate is used: nobody waits long past their turn."""
    jobs = add_welcomes(records, MAILS)
    rounds = 0
    while len(paced_workers.sent) < MAILS and rounds < 3 * MAILS:
        paced_workers.round()
        paced_workers.advance(1 / RATE)
        rounds += 1
    times = [time for time, _ in paced_workers.sent]
    assert len({to for _, to in paced_workers.sent}) == len(times) == MAILS
    assert all(round(later - earlier, 6) >= 1 / RATE for earlier, later in pairwise(times)), times
    assert {records.read_job(job)["state"] for job in jobs} == {"done"}
    assert {records.read_job(job)["attempts"] for job in jobs} == {1}, "a mail that waited for its turn was not tried"
    assert times[-1] <= 2 * MAILS / RATE
    assert paced_workers.tries <= 5 * MAILS, "who waits is given a moment of their own"
    closest = min(later - earlier for earlier, later in pairwise(times))
    record(
        "mail_pace",
        mails=len(times),
        rate=RATE,
        seconds=times[-1],
        tries=paced_workers.tries,
        closest_s=round(closest, 6),
    )


FLOOD = 60
URGENT = 8
REAL_RATE = 14.0
# As the template's mappings: workers of each queue.
SHARES = {"high": 4, "normal": 2, "low": 2}


@pytest.mark.timed
def test_high_mails_pass_a_flood_of_low_ones_which_still_leave_at_the_rate(
    fresh_database: FreshDatabase, emulator: EmulatorHandle, records: RecordFixtures
) -> None:
    """Fourteen a second, on the real clock, the real database and the table; the workers sleep until their turn."""
    table = make_table(make_client(emulator.url))
    store = RecordingPacingStore(make_client(emulator.url), table)
    store.moments = []
    low = add_welcomes(records, FLOOD, "low")
    normal = add_welcomes(records, URGENT, "normal")
    left: dict[str, float] = {}
    asked: dict[UUID, float] = {}

    def keep(mail: Mail) -> None:
        left[mail.to] = time.monotonic()

    def make_environment() -> JobRunner:
        pace = MailRateLimiter(store, PacingRules.from_rate(REAL_RATE, 1), sleep=time.sleep)
        worker = (FakeMailer(keep), FakeIdentityProvider(), FakeJobQueues(), OFFICE, read_utc_now)
        return JobRunner(fresh_database.make_database(), *worker, wait_for_slot=pace.wait_for_slot)

    def work(worker: JobRunner, jobs: Iterable[UUID]) -> None:
        for job in jobs:
            asked[job] = time.monotonic()
            assert worker.run_job(job, make_deadline(60)) == "done"

    flood = [Thread(target=work, args=(make_environment(), low[n::2])) for n in range(SHARES["low"])]
    flood += [Thread(target=work, args=(make_environment(), normal[n::2])) for n in range(SHARES["normal"])]
    urgent = [make_environment() for _ in range(SHARES["high"])]
    people = [records.add_member() for _ in range(URGENT)]
    for thread in flood:
        thread.start()
    waits = []
    for n, person in enumerate(people):
        time.sleep(0.11)
        job = records.add_mail("member-welcome", person, to=person, priority="high")
        work(urgent[n % len(urgent)], [job])
        waits.append(left[read_address(records, person)] - asked[job])
    for thread in flood:
        thread.join()
    moments = sorted(store.moments)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert len(moments) == len(left) == FLOOD + 2 * URGENT, "each once"
    assert min(gaps) >= PacingRules.from_rate(REAL_RATE, 1).interval
    assert {records.read_job(job)["attempts"] for job in low + normal} == {1}
    assert max(waits) <= 2 / REAL_RATE + 0.15, "one interval, and the way"
    last_high = max(left[read_address(records, person)] for person in people)
    assert max(left.values()) > last_high, "the flood was there to the end"
    used = (len(moments) - 1) / ((moments[-1] - moments[0]) / SECOND) / REAL_RATE
    assert used >= 0.9
    record("mail_pace_used", rate=REAL_RATE, used=round(used, 3), high_ms=round(max(waits) * 1000))


def read_address(records: RecordFixtures, account_id: UUID) -> str:
    """Return the mail address of an account."""
    return str(records.fresh_database.query_rows("SELECT email FROM accounts WHERE id = %s", account_id)[0]["email"])


def test_a_worker_does_not_sleep_longer_than_its_time_allows() -> None:
    """The mail that it sleeps for is still sent in time, and the rest of its batch handed back."""
    store, slept = InMemoryPacingStore(), list[float]()
    clock = [read_epoch_micros()]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += round(seconds * SECOND)

    pace = MailRateLimiter(store, PacingRules.from_rate(0.01, 1), clock=lambda: clock[0], sleep=sleep)
    pace.wait_for_slot("low", make_deadline(60))
    with pytest.raises(RetryLater) as handed_back:
        pace.wait_for_slot("low", make_deadline(60))
    assert sum(slept) == 0
    assert handed_back.value.delay_s == pytest.approx(100, abs=1)


def test_without_the_table_all_mails_go() -> None:
    """SES throttles by itself, and its refusal is waited out. For 5 s the table is not asked again."""
    store, clock = InMemoryPacingStore(reachable=False), ManualClock()
    pace = MailRateLimiter(
        store, PacingRules.from_rate(0.01, 1), clock=lambda: convert_to_epoch_micros(clock()), sleep=fail
    )
    for _ in range(5):
        pace.wait_for_slot("low", make_deadline(60))
    store.reachable = True
    pace.wait_for_slot("low", make_deadline(60))
    assert store.state == PacingState()
    clock.advance(UNAVAILABLE_PAUSE_S)
    pace.wait_for_slot("low", make_deadline(60))
    assert store.state.version == 1
