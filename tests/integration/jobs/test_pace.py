"""Mails leave no faster than SES takes them: all workers together, however many wait, and each is sent once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

import pytest

from jobs.pace import LINE_S, pace
from jobs.relay import drain, relay_once
from jobs.work import Worker
from shared.aws.mail import Mail
from shared.aws.state import DynamoDbStateStore
from shared.clock import utc_now
from shared.resilience.admission import StateStore
from shared.resilience.not_now import NotNow
from tests.contract.state_table import client_of, ignore, new_table
from tests.databases import Blank, soon
from tests.fakes.clock import ManualClock
from tests.fakes.identities import FakeIdentities
from tests.fakes.mailer import FakeMailer
from tests.fakes.queues import FakeQueues
from tests.fakes.state import InMemoryStateStore
from tests.figures import record
from tests.integration.jobs.records import Records
from tests.integration.jobs.test_work import OFFICE
from tests.services import Emulator

RATE = 5.0
WORKERS = 10
MAILS = 50


@dataclass
class Fleet:
    """Workers with a connection and a limiter of their own, on one clock that stands still until it is moved."""

    blank: Blank
    emulator: Emulator
    clock: ManualClock = field(default_factory=ManualClock)
    sent: list[tuple[float, str]] = field(default_factory=list)
    tries: int = 0

    def __post_init__(self) -> None:
        self.table = new_table(client_of(self.emulator.url))
        self.queues = FakeQueues()
        self.workers = [self.worker() for _ in range(WORKERS)]
        self.start = self.clock()

    def worker(self) -> Worker:
        """Another execution environment."""
        state = DynamoDbStateStore(client_of(self.emulator.url), self.table, observer=ignore, now=self.clock)
        turn = pace(state, rate=RATE, burst=1)
        mailer = FakeMailer(self.keep)
        database = self.blank.database()
        return Worker(database, mailer, FakeIdentities(), self.queues, OFFICE, utc_now, pace=self.counted(turn))

    def counted(self, turn: Callable[[], None]) -> Callable[[], None]:
        def take() -> None:
            self.tries += 1
            turn()

        return take

    def keep(self, mail: Mail) -> None:
        self.sent.append(((self.clock() - self.start).total_seconds(), mail.to))

    def round(self) -> None:
        """What is due is relayed, and done by all workers at once."""
        relay = self.workers[0].database
        drain(lambda: relay_once(relay, self.queues, clock=utc_now, deadline=soon()), soon())
        due, self.queues.published["normal"] = self.queues.published["normal"], []
        shares = [(worker, due[n::WORKERS]) for n, worker in enumerate(self.workers)]
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(lambda share: [share[0].work(job, soon(60)) for job in share[1]], shares))

    def advance(self, seconds: float) -> None:
        """The clock moves on, and for the jobs as well."""
        self.clock.advance(seconds)
        self.blank.rows("UPDATE outbox SET available_at = available_at - %s", timedelta(seconds=seconds))


@pytest.fixture
def fleet(blank: Blank, emulator: Emulator) -> Fleet:
    """Ten workers and their table."""
    return Fleet(blank, emulator)


def welcomes(records: Records, count: int) -> list[UUID]:
    """So many mails, each to somebody else."""
    people = [records.member() for _ in range(count)]
    return [records.mail("member-welcome", person, to=person) for person in people]


def test_fifty_mails_at_once_leave_at_the_rate_and_each_once(fleet: Fleet, records: Records) -> None:
    """In no window do more leave than the rate allows, and the rate is used: nobody waits long past their turn."""
    jobs = welcomes(records, MAILS)
    rounds = 0
    while len(fleet.sent) < MAILS and rounds < 3 * MAILS:
        fleet.round()
        fleet.advance(1 / RATE)
        rounds += 1
    times = [time for time, _ in fleet.sent]
    assert len({to for _, to in fleet.sent}) == len(times) == MAILS
    assert all(round(later - earlier, 6) >= 1 / RATE for earlier, later in pairwise(times)), times
    assert {records.at(job)["state"] for job in jobs} == {"done"}
    assert {records.at(job)["attempts"] for job in jobs} == {1}, "a mail that waited for its turn was not tried"
    assert times[-1] <= 2 * MAILS / RATE
    assert fleet.tries <= 5 * MAILS, "who waits is given a moment of their own"
    closest = min(later - earlier for earlier, later in pairwise(times))
    record("mail_pace", mails=len(times), rate=RATE, seconds=times[-1], tries=fleet.tries, closest_s=round(closest, 6))


def test_a_place_in_the_line_is_the_next_free_moment() -> None:
    """Ten at once at two a second: one goes, the others half a second apart."""
    turn = pace(InMemoryStateStore(ManualClock()), rate=2.0, burst=1)
    turn()
    waits = [_wait(turn) for _ in range(9)]
    assert waits == [0.5 * n for n in range(1, 10)]


def test_the_line_has_an_end() -> None:
    """Nobody is sent further away than a nudge can be delayed."""
    turn = pace(InMemoryStateStore(ManualClock()), rate=0.01, burst=1)
    turn()
    assert max(_wait(turn) for _ in range(20)) == LINE_S + 100


def test_a_burst_goes_at_once_after_a_pause() -> None:
    """Where the account allows it."""
    turn = pace(InMemoryStateStore(ManualClock()), rate=1.0, burst=3)
    for _ in range(3):
        turn()
    assert _wait(turn) == 1.0


def test_without_the_table_all_mails_go(emulator: Emulator) -> None:
    """SES throttles by itself, and its refusal is waited out."""
    state: StateStore = DynamoDbStateStore(client_of(emulator.url), "no-such-table", observer=ignore)
    turn = pace(state, rate=0.01, burst=1)
    for _ in range(5):
        turn()


def _wait(turn: Callable[[], None]) -> float:
    with pytest.raises(NotNow) as not_now:
        turn()
    return not_now.value.delay_s
