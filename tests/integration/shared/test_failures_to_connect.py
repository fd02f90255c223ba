"""Failures to connect to a real server, and lost connections: full, away, silent, cut off, or login refused."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import postgres as launcher
from members.app import api
from shared.errors import Unavailable
from shared.settings import Settings
from tests.databases import TEMPLATE, FreshDatabase, PostgresHandle, run_tls_proxy, start_postgres
from tests.integration.function_client import make_client
from tests.integration.shared.failure_cases import (
    BUMP,
    COUNTS,
    CountedDatabase,
    catch_error,
    classify,
    connect,
    find_connection_error,
    wait_until,
)
from tests.sample_people import make_person
from tests.services import find_free_port


@contextmanager
def hold_sessions(settings: Settings, count: int) -> Iterator[None]:
    """Hold `count` sessions; a server with no place for more still has those that are on their way out."""
    with ExitStack() as held:

        def hold_one_more() -> bool:
            try:
                held.enter_context(connect(settings))
            except psycopg.OperationalError:
                return False
            return True

        for _ in range(count):
            wait_until(hold_one_more)
        yield


def test_a_server_that_is_full_is_tried_again(tmp_path: Path) -> None:
    """53300, which libpq keeps to itself while it connects."""
    full = start_postgres(tmp_path, max_connections="3", superuser_reserved_connections="0", max_wal_senders="0")
    try:
        settings = Settings(db_port=full.server.port, db_name="postgres", db_user="postgres", db_sslmode="disable")
        with hold_sessions(settings, 3):
            error = catch_error(lambda: connect(settings))
    finally:
        full.child.stop()
    assert "too many clients" in str(error)
    assert classify(error) == (None, True, True)


def test_too_many_sessions_of_a_database_or_a_role_are_tried_again(contended_rows: FreshDatabase) -> None:
    """The same state, by limits of their own."""
    contended_rows.postgres.execute(f"ALTER DATABASE {contended_rows.name} CONNECTION LIMIT 0")
    of_database = catch_error(lambda: connect(contended_rows.direct))
    contended_rows.postgres.execute(f"ALTER DATABASE {contended_rows.name} CONNECTION LIMIT -1")
    contended_rows.postgres.execute("CREATE ROLE lone LOGIN CONNECTION LIMIT 0")
    of_role = catch_error(lambda: connect(contended_rows.direct, user="lone"))
    contended_rows.postgres.execute("DROP ROLE lone")
    for error in (of_database, of_role):
        assert "too many connections" in str(error)
        assert classify(error) == (None, True, True)


def test_nobody_there_is_unavailable_after_three_retries(contended_rows: FreshDatabase) -> None:
    """Every connection is refused."""
    runner = CountedDatabase(contended_rows.direct.model_copy(update={"db_port": find_free_port()}))
    with pytest.raises(Unavailable):
        runner.run("SELECT 1")
    assert (runner.retried, runner.made) == ([None] * 3, 4)


def test_an_answer_that_never_comes_is_tried_again(contended_rows: FreshDatabase) -> None:
    """A server that accepts and says nothing: libpq gives up after its least timeout, two seconds."""
    with run_tls_proxy(contended_rows.postgres.server.port) as proxy, proxy.faults.discard_data():
        settings = contended_rows.settings.model_copy(update={"db_port": proxy.port, "db_connect_timeout": 2})
        error = catch_error(lambda: connect(settings))
    assert isinstance(error, psycopg.errors.ConnectionTimeout)
    assert classify(error) == (None, True, True)


def test_08000_of_a_proxy_that_has_no_connection_is_tried_again(contended_rows: FreshDatabase) -> None:
    """It comes in a session and while connecting; the connection is closed, so it is left."""
    with run_tls_proxy(contended_rows.postgres.server.port, max_connections=1, borrow_timeout_s=0.2) as proxy:
        settings = contended_rows.settings.model_copy(update={"db_port": proxy.port})
        with connect(settings) as held, connect(settings) as connection:
            held.execute("BEGIN")
            in_session = catch_error(lambda: connection.execute("SELECT 1"))
            elsewhere = settings.model_copy(update={"db_name": TEMPLATE})
            connecting = catch_error(lambda: connect(elsewhere))
        runner = CountedDatabase(settings)
        holder = connect(settings)
        holder.execute("BEGIN")
        runner.on_retry = holder.close
        runner.run(BUMP.format("a"))
    assert classify(in_session) == ("08000", True, True)
    assert "Timed-out waiting to acquire database connection" in str(connecting)
    assert classify(connecting) == (None, True, True)
    assert (len(runner.retried), runner.made) == (1, 2)


@pytest.mark.parametrize(("direction", "after"), [("to_server", 0), ("to_server", 30), ("to_client", 0),
                                                  ("to_client", 1), ("to_client", 30)])  # fmt: skip
def test_a_connection_that_is_cut_is_tried_again(contended_rows: FreshDatabase, direction: Any, after: int) -> None:
    """Nobody knows whether the transaction was done, so the second try must find its first one."""
    with run_tls_proxy(contended_rows.postgres.server.port) as proxy:
        runner = CountedDatabase(contended_rows.settings.model_copy(update={"db_port": proxy.port}))
        runner.run("SELECT 1")
        with proxy.faults.cut(direction, after) as cut:
            runner.run(BUMP.format("a"))
        assert (cut.done, runner.retried, runner.made) == (1, [None], 2)
    assert contended_rows.query_rows(COUNTS)[0]["n"] == (1 if direction == "to_server" else 2)


def test_who_will_never_be_let_in_does_not_try_again(server: PostgresHandle) -> None:
    """A wrong password, role, database, right or pg_hba.conf is a misconfiguration, as the message shows, no outage."""
    bare = server.make_fresh_database().direct
    for statement in (
        "CREATE ROLE secret LOGIN PASSWORD 'right'",
        "CREATE ROLE rejected LOGIN",
        "CREATE ROLE nologin NOLOGIN",
        "CREATE DATABASE closed",
        "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
    ):
        server.execute(statement)
    rules = "host all secret all scram-sha-256\nhost all rejected all reject\n"
    (server.server.data / "pg_hba.conf").write_text(rules + launcher.HBA)
    server.execute("SELECT pg_reload_conf()")
    wait_until(lambda: "pg_hba.conf" in str(find_connection_error(bare.model_copy(update={"db_user": "rejected"}))))
    refusals: list[dict[str, str]] = [
        {"user": "secret", "password": "wrong"},
        {"user": "secret"},
        {"user": "rejected"},
        {"user": "nologin"},
        {"user": "no_such_role"},
        {"dbname": "no_such_database"},
        {"dbname": "closed"},
        {"sslmode": "require"},
    ]
    for refusal in refusals:
        error = catch_error(partial(connect, bare, **refusal))
        assert classify(error) == (None, False, True), (refusal, error)


def test_a_startup_option_is_refused_by_the_proxy_and_not_tried_again(contended_rows: FreshDatabase) -> None:
    """A retry would be refused too."""
    error = catch_error(lambda: connect(contended_rows.settings, options="-c statement_timeout=1s"))
    assert classify(error) == (None, False, True)


def test_a_wrong_name_of_the_database_is_reported_at_once(contended_rows: FreshDatabase) -> None:
    """One connection is tried, and the API says `internal`: a retry would help nobody."""
    runner = CountedDatabase(contended_rows.settings.model_copy(update={"db_name": "no_such_database"}))
    reply = make_client(api, contended_rows, database=runner.database).call(
        "POST", "/members", make_person(), key="nowhere"
    )
    assert (reply.status, reply.problem, runner.made, runner.retried) == (500, "internal", 1, [])
