"""Transactions in one round trip, done once, on a connection that is left when it must be."""

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest

from shared.admission.ports import KeyUse
from shared.database.pipeline import Database
from shared.database.transaction import Pending, Row, Transaction, UseCase
from shared.errors import DeadlineExceeded, Refusal, Unavailable
from shared.outbox.audit import Actor, record_audit
from shared.retry.backoff import Backoff
from shared.sql import Query
from tests.databases import FreshDatabase, make_deadline, make_deployed_connector
from tests.roles import RoleConnector

SUBJECT = UUID(int=1)
FACTS = Query("SELECT jsonb_build_object('n', count(*)) AS facts FROM audit WHERE action = %(action)s")


def make_writing(action: str) -> UseCase[Row]:
    """Return a use case that writes an audit entry and answers how many there are of its action."""

    def use_case(tx: Transaction) -> Pending[Row]:
        record_audit(tx, Actor(None, "r"), action, SUBJECT)
        return tx.fetch_answer(FACTS, action=action)

    return use_case


def use(key: str, fingerprint: str = "f") -> KeyUse:
    return KeyUse("scope", key, fingerprint)


def test_a_key_is_done_once_and_answers_with_the_first_facts(fresh_database: FreshDatabase) -> None:
    """The answer stays the same after later changes."""
    database = fresh_database.make_database()
    first = database.run_once(use("a"), make_writing("a"), make_deadline())
    database.run(make_writing("a"), make_deadline())
    again = database.run_once(use("a"), make_writing("a"), make_deadline())
    assert (first.value, first.replayed) == ({"n": 1}, False)
    assert (again.value, again.replayed) == ({"n": 1}, True)


def test_a_write_that_has_nothing_to_answer_with_leaves_nothing(fresh_database: FreshDatabase) -> None:
    """Its call is refused, so neither its work nor its key is committed: the same key can be used again."""
    database = fresh_database.make_database()

    def write_for_nobody(tx: Transaction) -> Pending[Row]:
        record_audit(tx, Actor(None, "r"), "gone", SUBJECT)
        return tx.fetch_answer(Query("SELECT NULL::jsonb AS facts WHERE false"))

    with pytest.raises(Refusal) as caught:
        database.run_once(use("gone"), write_for_nobody, make_deadline())
    assert caught.value.name == "not-found"
    committed = database.run_once(use("gone"), make_writing("gone"), make_deadline())
    assert (committed.value, committed.replayed) == ({"n": 1}, False)


def test_a_key_used_for_something_else_is_refused(fresh_database: FreshDatabase) -> None:
    """The row in the database is the truth where the quick store was lost."""
    database = fresh_database.make_database()
    database.run_once(use("b"), make_writing("b"), make_deadline())
    with pytest.raises(Refusal) as caught:
        database.run_once(use("b", "other"), make_writing("b"), make_deadline())
    assert caught.value.name == "idempotency-key-reused"


def test_twenty_at_once_with_one_key_do_it_once(fresh_database: FreshDatabase) -> None:
    """The other nineteen wait for the first one's commit, and answer with its facts."""
    with ThreadPoolExecutor(20) as pool:
        committed = list(
            pool.map(
                lambda _: fresh_database.make_database().run_once(use("c"), make_writing("c"), make_deadline()),
                range(20),
            )
        )
    assert [one.value for one in committed] == [{"n": 1}] * 20
    assert [one.replayed for one in committed].count(False) == 1


def test_the_first_statement_that_fails_undoes_them_all(fresh_database: FreshDatabase) -> None:
    """The key's row is undone too, so that a repeat is a new try; the connection stays in use."""
    database = fresh_database.make_database()

    def queue_refused(tx: Transaction) -> Pending[Row]:
        record_audit(tx, Actor(None, "r"), "d", SUBJECT)
        tx.add(Query("SELECT require(false, 'stale-version')"))
        return tx.fetch_answer(FACTS, action="d")

    with pytest.raises(Refusal) as caught:
        database.run_once(use("d"), queue_refused, make_deadline())
    assert caught.value.name == "stale-version"
    assert database.run_once(use("d"), make_writing("d"), make_deadline()).value == {"n": 1}


@pytest.mark.parametrize("pipeline", [True, False])
def test_a_use_case_that_raises_in_the_middle_commits_nothing(fresh_database: FreshDatabase, *, pipeline: bool) -> None:
    """Its queued statements are lost, and so is the key's row, with which a repeat would never find an answer."""
    database = Database(RoleConnector(fresh_database.settings), pipeline=pipeline)

    def broken(tx: Transaction) -> Pending[Row]:
        record_audit(tx, Actor(None, "r"), f"broken {pipeline}", SUBJECT)
        raise LookupError

    with pytest.raises(LookupError):
        database.run_once(use(f"broken {pipeline}"), broken, make_deadline())
    writing = make_writing(f"broken {pipeline}")
    again = database.run_once(use(f"broken {pipeline}"), writing, make_deadline())
    assert (again.value, again.replayed) == ({"n": 1}, False)


def test_a_killed_session_is_replaced_and_the_write_still_done_once(fresh_database: FreshDatabase) -> None:
    """The server ends the connection between two calls."""
    database = fresh_database.make_database()
    database.run(make_writing("e"), make_deadline())
    fresh_database.cut_connections()
    assert database.run_once(use("e"), make_writing("e"), make_deadline()).value == {"n": 2}


def test_a_lost_answer_after_the_commit_is_found_by_the_retry(fresh_database: FreshDatabase) -> None:
    """The connection breaks after the commit: whoever tries again must find that it was done."""
    database = fresh_database.make_database()
    broken = threading.Event()

    def queue_breaking(tx: Transaction) -> Pending[Row]:
        answer = make_writing("f")(tx)

        def lose_connection(row: Row) -> Row:
            if not broken.is_set():
                broken.set()
                raise psycopg.OperationalError("connection lost")
            return row

        return answer.map(lose_connection)

    committed = database.run_once(use("f"), queue_breaking, make_deadline())
    assert (committed.value, committed.replayed) == ({"n": 1}, True)
    assert fresh_database.query_rows("SELECT count(*) AS n FROM audit WHERE action = 'f'") == [{"n": 1}]


def make_refusing_database() -> Database:
    tried: list[float] = []

    def connect(_within_s: float) -> psycopg.Connection[Row]:
        tried.append(1)
        raise psycopg.OperationalError("connection refused")

    connector = make_deployed_connector(connect, clock=lambda: 0.0)
    database = Database(connector, backoff=Backoff(retries=3, base_s=0.001), sleep=lambda _: None)
    database.__dict__["tried"] = tried
    return database


def test_a_database_out_of_reach_is_unavailable_and_hardly_called_more_often_than_asked() -> None:
    """It is no internal error and not final; without successes only one retry had been saved."""
    database = make_refusing_database()
    for _ in range(20):
        with pytest.raises(Unavailable):
            database.run(lambda tx: tx.fetch_all(Query("SELECT 1")), make_deadline())
    assert len(database.__dict__["tried"]) == 21


def test_nothing_is_begun_after_the_deadline(fresh_database: FreshDatabase) -> None:
    """The caller has gone: what is done now nobody learns of."""
    with pytest.raises(DeadlineExceeded):
        fresh_database.make_database().run(make_writing("g"), make_deadline(0))
    assert fresh_database.query_rows("SELECT count(*) AS n FROM audit WHERE action = 'g'") == [{"n": 0}]


class ClockedConnector:
    """A connector on a clock that the test sets, counting its connections."""

    def __init__(self, fresh_database: FreshDatabase) -> None:
        self.now = 0.0
        self.made = 0
        self._fresh_database = fresh_database
        self.connector = make_deployed_connector(self._connect, clock=lambda: self.now, uniform=lambda _a, b: b)

    def _connect(self, _within_s: float) -> psycopg.Connection[Row]:
        from shared.database.connection import build_connect_arguments

        self.made += 1
        return psycopg.connect(**build_connect_arguments(self._fresh_database.settings, None))

    def count_connections_at(self, now: float) -> int:
        """Return how many connections were made when one was borrowed at that time."""
        self.now = now
        self.connector.borrow(10.0)
        self.connector.return_connection()
        return self.made


def test_a_connection_is_kept_while_it_is_used_and_dropped_idle_or_old(fresh_database: FreshDatabase) -> None:
    """Idle timeout 20 s, lifetime an hour: each replaced when it is next wanted, not before."""
    clocked = ClockedConnector(fresh_database)
    assert [clocked.count_connections_at(t) for t in (0, 1, 20, 39.9)] == [1, 1, 1, 1]
    assert clocked.count_connections_at(59.9) == 2  # idle for 20 s
    assert {clocked.count_connections_at(59.9 + 19 * n) for n in range(190)} == {2}
    assert clocked.count_connections_at(59.9 + 3599.9) == 2
    assert clocked.count_connections_at(59.9 + 3600) == 3  # an hour old


def test_a_connection_found_dead_after_a_pause_is_replaced(fresh_database: FreshDatabase) -> None:
    """A frozen environment wakes on a connection that the server has closed."""
    clocked = ClockedConnector(fresh_database)
    clocked.count_connections_at(0)
    fresh_database.cut_connections()
    assert clocked.count_connections_at(5) == 2
