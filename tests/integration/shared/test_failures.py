"""Transactions that fail, on a real server: what each error is taken for, and what a call does.

Every error of the database that we know of is made here or beside: test_failures_of_sessions, test_failures_to_connect.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
import pytest

from members.app import api
from shared.database.errors import KeyConflict, convert_to_answer, is_connection_lost, is_retryable
from shared.errors import Refusal, Unavailable
from tests.api_client import STAFF
from tests.databases import FreshDatabase
from tests.integration.function_client import make_client
from tests.integration.shared.failure_cases import (
    BUMP,
    COUNTS,
    GATE,
    LONG_S,
    CountedDatabase,
    catch_error,
    classify,
    connect,
    list_waiting,
    make_barrier,
    open_competing_session,
    wait_until,
)
from tests.sample_people import make_person

T = TypeVar("T")


def test_40001_at_commit_is_tried_again_and_ends_in_a_serial_order(
    contended_rows: FreshDatabase, counted_database: CountedDatabase
) -> None:
    """Write skew: every statement succeeds, and the COMMIT that our Sync implies does not.

    psycopg can't end a pipeline then: the error comes as that, with the SQLSTATE behind it, and the connection is left.
    """
    contended_rows.change_role("default_transaction_isolation = 'serializable'")
    with lose_race(contended_rows, lambda: catch_error(lambda: run_pipeline(contended_rows, *SKEWED))) as ending:
        error = ending()
    assert classify(error) == (None, True, True)
    assert isinstance(error.__context__, psycopg.errors.SerializationFailure)
    assert "commit attempt" in str(error.__context__.diag.message_detail)
    with lose_race(contended_rows, lambda: counted_database.run(*SKEWED)) as ending:
        ending()
    assert (len(counted_database.retried), counted_database.made) == (1, 2)
    assert contended_rows.query_rows(COUNTS) == [{"name": "a", "n": 2}, {"name": "b", "n": 1}]


def test_40001_at_an_explicit_commit_keeps_its_state_and_its_connection(contended_rows: FreshDatabase) -> None:
    """Outside a pipeline, where the COMMIT is a statement like any other."""

    def raise_explicit() -> psycopg.Error:
        with connect(contended_rows.direct) as connection:
            for statement in ("BEGIN ISOLATION LEVEL SERIALIZABLE", *SKEWED):
                connection.execute(statement.encode())
            return catch_error(lambda: connection.execute("COMMIT"))

    with lose_race(contended_rows, raise_explicit) as ending:
        assert classify(ending()) == ("40001", True, False)


def test_nothing_is_checked_at_commit_that_is_an_answer(contended_rows: FreshDatabase) -> None:
    """An error at COMMIT arrives without its name, so a deferred constraint would look like an outage."""
    deferred = "SELECT conname FROM pg_constraint WHERE condeferrable"
    assert contended_rows.query_rows(f"{deferred} UNION SELECT tgname FROM pg_trigger WHERE tgdeferrable") == []


SKEWED = ("SELECT sum(n) FROM samples", BUMP.format("b"), GATE)


@contextmanager
def lose_race(fresh_database: FreshDatabase, losing: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Yield a call that ends ours: another transaction reads and writes in the middle of ours, which runs SKEWED."""
    with (
        make_barrier(fresh_database) as open_gate,
        open_competing_session(fresh_database) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        running = pool.submit(losing)
        wait_until(lambda: list_waiting(fresh_database, "advisory"))
        commit_other(other)

        def end() -> T:
            open_gate()
            return running.result(LONG_S)

        yield end


def run_pipeline(fresh_database: FreshDatabase, *statements: str) -> None:
    """The statements as one round trip, on a bare connection."""
    with connect(fresh_database.direct) as connection, connection.pipeline():
        for statement in statements:
            connection.execute(statement.encode())


def commit_other(other: "psycopg.Connection[Any]") -> None:
    other.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    other.execute("SELECT sum(n) FROM samples")
    other.execute(BUMP.format("a").encode())
    other.commit()


def test_40001_of_a_statement_is_tried_again(contended_rows: FreshDatabase, counted_database: CountedDatabase) -> None:
    """Repeatable read: a row that was changed by another since we looked."""
    contended_rows.change_role("default_transaction_isolation = 'repeatable read'")
    with (
        make_barrier(contended_rows) as open_gate,
        open_competing_session(contended_rows) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        running = pool.submit(counted_database.run, "SELECT n FROM samples", GATE, BUMP.format("a"))
        wait_until(lambda: list_waiting(contended_rows, "advisory"))
        other.execute(BUMP.format("a").encode())
        other.commit()
        open_gate()
        running.result(LONG_S)
    assert (counted_database.retried, contended_rows.query_rows(COUNTS)[0]["n"]) == (["40001"], 2)


def test_40p01_is_tried_again_and_both_are_done(
    contended_rows: FreshDatabase, counted_database: CountedDatabase
) -> None:
    """A real deadlock: each has the row that the other wants, and ours is the one that is chosen."""
    contended_rows.change_role("deadlock_timeout = '10ms'")
    with (
        make_barrier(contended_rows) as open_gate,
        open_competing_session(contended_rows) as other,
        ThreadPoolExecutor(2) as pool,
    ):
        other.execute("SET deadlock_timeout = '1min'")
        other.execute(BUMP.format("a").encode())
        running = pool.submit(counted_database.run, BUMP.format("b"), GATE, BUMP.format("a"))
        wait_until(lambda: list_waiting(contended_rows, "advisory"))
        theirs = pool.submit(other.execute, BUMP.format("b").encode())
        wait_until(lambda: list_waiting(contended_rows, "transactionid"))
        open_gate()
        theirs.result(LONG_S)
        other.commit()
        running.result(LONG_S)
    assert (set(counted_database.retried), counted_database.made) == (
        {"40P01"},
        1,
    )  # once more where ours is back before theirs wakes
    assert [row["n"] for row in contended_rows.query_rows(COUNTS)] == [2, 2]


def test_55p03_is_tried_again(contended_rows: FreshDatabase, counted_database: CountedDatabase) -> None:
    """It comes from lock_timeout, while another holds the lock, and from NOWAIT."""
    with open_competing_session(contended_rows) as other:
        other.execute(BUMP.format("a").encode())
        with connect(contended_rows.direct) as connection:
            error = catch_error(lambda: connection.execute("SELECT FROM samples WHERE name = 'a' FOR UPDATE NOWAIT"))
        assert classify(error) == ("55P03", True, False)
        contended_rows.change_role("lock_timeout = '20ms'")
        counted_database.on_retry = other.commit
        counted_database.run(BUMP.format("a"))
    assert (counted_database.retried, counted_database.made, contended_rows.query_rows(COUNTS)[0]["n"]) == (
        ["55P03"],
        1,
        2,
    )


def test_57014_is_an_answer_and_not_tried_again(
    contended_rows: FreshDatabase, counted_database: CountedDatabase
) -> None:
    """A statement over its time: unavailable, once; what came before it is undone, and the connection goes on."""
    contended_rows.change_role("statement_timeout = '50ms'")
    with connect(contended_rows.direct) as connection:
        error = catch_error(lambda: connection.execute("SELECT pg_sleep(5)"))
    assert (error.sqlstate, is_retryable(error), is_connection_lost(error)) == ("57014", False, False)
    assert isinstance(convert_to_answer(error), Unavailable)
    with pytest.raises(Unavailable):
        counted_database.run(BUMP.format("a"), "SELECT pg_sleep(5)")
    assert (counted_database.retried, counted_database.run(COUNTS)[0]["n"], counted_database.made) == ([], 0, 1)


def test_a_statement_timeout_is_503_and_the_repeat_succeeds(contended_rows: FreshDatabase) -> None:
    """Through the API: with Retry-After, nothing done, and the key free for the next try."""
    contended_rows.change_role("statement_timeout = '200ms'")
    client, body = make_client(api, contended_rows), make_person()
    with open_competing_session(contended_rows) as other:
        other.execute("LOCK TABLE members")
        refused = client.call("POST", "/members", body, key="slow")
        read = client.sign_in_as(STAFF).call("GET", "/members")
    assert [(reply.status, reply.problem) for reply in (refused, read)] == [(503, "unavailable")] * 2
    assert int(refused.headers["Retry-After"]) >= 1
    assert contended_rows.query_rows("SELECT FROM accounts WHERE email = %s", body["email"]) == []
    assert client.call("POST", "/members", body, key="slow").status == 201


def test_a_unique_violation_that_has_a_name_is_an_answer(
    contended_rows: FreshDatabase, counted_database: CountedDatabase
) -> None:
    """A taken address gives its problem, and a taken key a conflict to look into. Neither is tried again."""
    account = (
        "INSERT INTO accounts (id, role, email, full_name, language)"
        " VALUES (gen_random_uuid(), 'member', 'twice@example.test', 'X', 'en')"
    )
    key = "INSERT INTO idempotency_keys (scope, key, fingerprint) VALUES ('s', 'k', 'f')"
    counted_database.run(account + " RETURNING id")
    with pytest.raises(Refusal, match="email-taken"):
        counted_database.run(account + " RETURNING id")
    with pytest.raises(KeyConflict):
        counted_database.run(key, key + " RETURNING key")
    assert (counted_database.retried, counted_database.made) == ([], 1)


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("INSERT INTO samples VALUES ('a', 1)", "23505"),  # unique, of a constraint that no problem is named for
        ("INSERT INTO samples VALUES ('c', 1000)", "23514"),  # check
        ("INSERT INTO samples VALUES ('c', NULL)", "23502"),  # not null
        ("INSERT INTO members (id, country) VALUES (gen_random_uuid(), 'XK')", "23503"),  # foreign key
        ("DELETE FROM audit", "42501"),  # not granted
        ("SELECT 1 / 0", "22012"),
        ("SELECT no_such_column FROM samples", "42703"),
    ],
)
def test_what_is_our_own_mistake_is_raised_as_it_is(
    contended_rows: FreshDatabase, counted_database: CountedDatabase, statement: str, state: str
) -> None:
    """No answer and no retry: the API says `internal`, and the log has the SQLSTATE. The connection is kept."""
    error = catch_error(lambda: counted_database.run(statement))
    assert classify(error) == (state, False, False)
    assert (counted_database.run(COUNTS)[0]["n"], counted_database.retried, counted_database.made) == (0, [], 1)
