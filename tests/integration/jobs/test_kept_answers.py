"""The relay's keeping of answers, on real PostgreSQL: each is kept, wherever a relay is killed, and no mail waits."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.events.embedded_metrics import read_metrics
from relay import answers as relay_answers
from relay.answers import KEEP_BATCH, KEEP_TIME_S, MARK_TIME_S, keep_answers
from relay.app import relay_due_jobs
from shared.admission.ports import KeyUse, UnkeptAnswer
from shared.clock import read_utc_now
from shared.database.pipeline import Database
from shared.deadline import Deadline
from shared.errors import DependencyFailed
from shared.sql import Query
from tests.databases import FreshDatabase, make_deadline
from tests.fakes.queues import FakeJobQueues
from tests.integration.jobs.records import RecordFixtures

WRITE = Query("SELECT jsonb_build_object('name', %(name)s::text) AS facts")
UNKEPT = "SELECT holder FROM idempotency_keys WHERE holder IS NOT NULL ORDER BY holder"


class KeeperKilled(BaseException):
    """The process ends here."""


class NotingKeeper:
    """A keeper that notes the answers; what `before` raises or returns decides on each."""

    def __init__(self, before: Callable[[UnkeptAnswer], object] = lambda _answer: True) -> None:
        self.kept: list[UnkeptAnswer] = []
        self._before = before

    @property
    def holders(self) -> list[str]:
        """The tokens of the answers that were kept."""
        return [answer.holder for answer in self.kept]

    def keep(self, answer: UnkeptAnswer) -> bool:
        """Note an answer."""
        is_kept = self._before(answer) is not False
        self.kept += [answer] if is_kept else []
        return is_kept


def write(database: Database, name: str, *, holder: str | None = None) -> None:
    """Make a keyed write whose record has a token, by which answers are read."""
    use = KeyUse("scope", name, "asked")
    database.run_once(use, lambda tx: tx.fetch_answer(WRITE, name=name), make_deadline(), holder=holder)


@pytest.fixture
def owner(fresh_database: FreshDatabase) -> Database:
    """The database, as whoever makes keyed writes."""
    return fresh_database.make_database()


def test_an_answer_is_kept_once_as_its_row_has_it(
    owner: Database, database: Database, fresh_database: FreshDatabase
) -> None:
    """The answer of a call without a record is not kept: it has no client who would ask."""
    write(owner, "first", holder="token-1")
    write(owner, "without a record")
    keeper = NotingKeeper()
    assert [keep_answers(database, keeper, make_deadline()) for _ in range(2)] == [1, 0]
    [row] = fresh_database.query_rows("SELECT created_at FROM idempotency_keys WHERE key = 'first'")
    assert keeper.kept == [UnkeptAnswer("scope", "first", "token-1", '{"name": "first"}', row["created_at"])]
    assert fresh_database.query_rows(UNKEPT) == []
    found = owner.find_committed(KeyUse("scope", "first", "asked"), make_deadline())
    assert found is not None
    assert found.value == {"name": "first"}


def test_nothing_is_kept_of_a_refused_call(owner: Database, database: Database) -> None:
    """It leaves no row."""

    def refuse(tx: Any) -> Any:
        tx.add("SELECT require(false, 'claim-closed')")
        return tx.fetch_answer("SELECT 1 AS facts")

    with pytest.raises(Exception, match="claim-closed"):
        owner.run_once(KeyUse("scope", "key", "asked"), refuse, make_deadline(), holder="token")
    assert keep_answers(database, NotingKeeper(), make_deadline()) == 0


def test_a_pass_is_bounded_and_due_jobs_come_before_and_between(
    owner: Database, database: Database, records: RecordFixtures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many answers wait after an outage, a mail waits for one batch."""
    monkeypatch.setattr(relay_answers, "KEEP_TIME_S", 60.0)
    someone = records.add_member()
    first = records.add_mail("member-welcome", someone, to=someone)
    for n in range(2 * KEEP_BATCH + 1):
        write(owner, f"key-{n}", holder=f"token-{n:03}")
    queues, seen = FakeJobQueues(), []

    def note(_answer: UnkeptAnswer) -> None:
        published = [job for jobs in queues.published.values() for job in jobs]
        seen.append(len(published))
        if len(seen) == KEEP_BATCH:
            records.add_mail("member-welcome", someone, to=someone)

    keeper = NotingKeeper(note)
    deadline = make_deadline()
    published = relay_due_jobs(
        {}, database, queues, clock=read_utc_now, deadline=deadline,
        keep=lambda: keep_answers(database, keeper, deadline),
    )  # fmt: skip
    assert published == 2
    assert first in queues.published["normal"]
    assert seen == [1] * KEEP_BATCH + [2] * (KEEP_BATCH + 1)
    assert sorted(keeper.holders) == [f"token-{n:03}" for n in range(2 * KEEP_BATCH + 1)]


def test_a_mail_does_not_wait_for_a_slow_table(owner: Database, database: Database, records: RecordFixtures) -> None:
    """It is published after the write that is under way, and the other answers follow in the same run."""
    someone = records.add_member()
    for n in range(4):
        write(owner, f"key-{n}", holder=f"token-{n}")
    now, queues, seen = [0.0], FakeJobQueues(), []

    def note(_answer: UnkeptAnswer) -> None:
        seen.append(sum(map(len, queues.published.values())))
        if len(seen) == 1:
            records.add_mail("member-welcome", someone, to=someone)
        now[0] += KEEP_TIME_S + 0.1

    keeper = NotingKeeper(note)
    deadline = Deadline(at=30.0, clock=lambda: now[0])
    relay_due_jobs(
        {}, database, queues, clock=read_utc_now, deadline=deadline,
        keep=lambda: keep_answers(database, keeper, deadline),
    )  # fmt: skip
    assert seen == [0, 1, 1, 1]
    assert len(keeper.holders) == 4


@pytest.mark.parametrize("nth", [0, 1, 2])
def test_what_a_killed_relay_has_kept_is_kept_again_and_the_rest_too(
    owner: Database, database: Database, fresh_database: FreshDatabase, nth: int
) -> None:
    """Killed before, between and after the writes, and before it marks: nothing is marked that is not kept."""
    for n in range(2):
        write(owner, f"key-{n}", holder=f"token-{n}")
    killed = NotingKeeper()

    def die(_answer: UnkeptAnswer) -> None:
        if len(killed.kept) == nth:
            raise KeeperKilled

    killed._before = die
    if nth < 2:
        with pytest.raises(KeeperKilled):
            keep_answers(database, killed, make_deadline())
    else:
        rows = database.run(lambda tx: tx.fetch_all(relay_answers.SQL["unkept_answers"], count=9), make_deadline())
        relay_answers._keep_each(killed, rows.value, make_deadline())
    assert len(killed.kept) == nth
    assert len(fresh_database.query_rows(UNKEPT)) == 2
    keeper = NotingKeeper()
    assert keep_answers(fresh_database.make_database(), keeper, make_deadline()) == 2
    assert (keeper.holders, fresh_database.query_rows(UNKEPT)) == (["token-0", "token-1"], [])


def test_two_relays_at_once_keep_all_and_wait_for_nobody(
    owner: Database, fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both read the same answers; each skips those that the other is marking."""
    monkeypatch.setattr(relay_answers, "KEEP_TIME_S", 60.0)
    for n in range(KEEP_BATCH):
        write(owner, f"key-{n}", holder=f"token-{n:02}")
    gate = threading.Barrier(2, timeout=20)
    keepers = [NotingKeeper(lambda _answer: gate.wait() and None) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        kept = list(
            pool.map(lambda keeper: keep_answers(fresh_database.make_database(), keeper, make_deadline(30)), keepers)
        )
    assert kept == [KEEP_BATCH, KEEP_BATCH]
    assert keepers[0].holders == keepers[1].holders
    assert fresh_database.query_rows(UNKEPT) == []


def test_an_answer_that_has_to_be_tried_again_is_in_nobodys_way(
    owner: Database, database: Database, fresh_database: FreshDatabase
) -> None:
    """Its repeat is admitted right now; a client who repeats for ever holds up his own answer alone."""
    for n in range(3):
        write(owner, f"key-{n}", holder=f"token-{n}")
    keeper = NotingKeeper(lambda answer: answer.holder != "token-0")
    assert keep_answers(database, keeper, make_deadline()) == 2
    assert fresh_database.query_rows(UNKEPT) == [{"holder": "token-0"}]


def test_a_table_out_of_reach_is_left_alone_until_the_next_run(
    owner: Database,
    database: Database,
    fresh_database: FreshDatabase,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was kept before is marked; one failure is enough to know, and is counted for the alarm."""
    for n in range(4):
        write(owner, f"key-{n}", holder=f"token-{n}")
    asked = []

    def fail_from_the_second(answer: UnkeptAnswer) -> None:
        asked.append(answer)
        if len(asked) > 1:
            raise DependencyFailed("Throttled")

    assert keep_answers(database, NotingKeeper(fail_from_the_second), make_deadline()) == 1
    assert len(asked) == 2
    assert [row["holder"] for row in fresh_database.query_rows(UNKEPT)] == ["token-1", "token-2", "token-3"]
    assert [record.getMessage() for record in caplog.records] == ["answers_not_kept"]
    counted = read_metrics(capsys.readouterr().out.encode())
    assert [(datum.name, datum.values) for datum in counted] == [("AnswersNotKept", (1.0,))]


def test_no_write_is_begun_that_could_not_be_marked(owner: Database, database: Database) -> None:
    """Lambda would end the relay in the middle, and its run would count as failed."""
    write(owner, "key", holder="token")
    keeper = NotingKeeper()
    assert keep_answers(database, keeper, make_deadline(MARK_TIME_S - 0.1)) == 0
    assert keeper.kept == []


def test_the_answers_to_keep_are_found_by_their_index(owner: Database, fresh_database: FreshDatabase) -> None:
    """Among all the keys of a day; the relay asks each time that it runs."""
    for n in range(50):
        write(owner, f"key-{n}")
    fresh_database.query_rows(
        "INSERT INTO idempotency_keys (scope, key, fingerprint) "
        "SELECT 'other', n::text, '' FROM generate_series(1, 9999) n"
    )
    fresh_database.query_rows("ANALYZE idempotency_keys")
    query = relay_answers.SQL["unkept_answers"].replace("%(count)s", str(KEEP_BATCH))
    plan = "\n".join(str(row) for row in fresh_database.query_rows("EXPLAIN " + query))
    assert "idempotency_keys_unkept" in plan
    assert "Seq Scan" not in plan
