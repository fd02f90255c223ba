"""Who does not get to a real server, or loses the line to it: full, away, silent, queued, cut, or never let in."""

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
from tests.databases import TEMPLATE, Blank, Postgres, running_proxy, started_postgres
from tests.integration.room import room
from tests.integration.shared.fights import (
    BUMP,
    COUNTS,
    Runner,
    caught,
    caught_or_none,
    connected,
    meaning,
    until,
)
from tests.people import person
from tests.services import free_port


@contextmanager
def sessions_held(settings: Settings, count: int) -> Iterator[None]:
    """Hold so many sessions; a server with no place for more still has those that are on their way out."""
    with ExitStack() as held:

        def hold_one_more() -> bool:
            try:
                held.enter_context(connected(settings))
            except psycopg.OperationalError:
                return False
            return True

        for _ in range(count):
            until(hold_one_more)
        yield


def test_a_server_that_is_full_is_tried_again(tmp_path: Path) -> None:
    """53300, which libpq keeps to itself while it connects."""
    full = started_postgres(tmp_path, max_connections="3", superuser_reserved_connections="0", max_wal_senders="0")
    try:
        settings = Settings(db_port=full.server.port, db_name="postgres", db_user="postgres", db_sslmode="disable")
        with sessions_held(settings, 3):
            error = caught(lambda: connected(settings))
    finally:
        full.child.stop()
    assert "too many clients" in str(error)
    assert meaning(error) == (None, True, True)


def test_too_many_sessions_of_a_database_or_a_role_are_tried_again(scene: Blank) -> None:
    """The same state, by limits of their own."""
    scene.postgres.execute(f"ALTER DATABASE {scene.name} CONNECTION LIMIT 0")
    of_database = caught(lambda: connected(scene.direct))
    scene.postgres.execute(f"ALTER DATABASE {scene.name} CONNECTION LIMIT -1")
    scene.postgres.execute("CREATE ROLE lone LOGIN CONNECTION LIMIT 0")
    of_role = caught(lambda: connected(scene.direct, user="lone"))
    scene.postgres.execute("DROP ROLE lone")
    for error in (of_database, of_role):
        assert "too many connections" in str(error)
        assert meaning(error) == (None, True, True)


def test_nobody_there_is_unavailable_after_three_retries(scene: Blank) -> None:
    """Refused, whoever is asked."""
    runner = Runner(scene.direct.model_copy(update={"db_port": free_port()}))
    with pytest.raises(Unavailable):
        runner.run("SELECT 1")
    assert (runner.retried, runner.made) == ([None] * 3, 4)


def test_an_answer_that_never_comes_is_tried_again(scene: Blank) -> None:
    """A server that accepts and says nothing: libpq gives up after its least timeout, two seconds."""
    with running_proxy(scene.postgres.server.port) as proxy, proxy.faults.discard_data():
        settings = scene.settings.model_copy(update={"db_port": proxy.port, "db_connect_timeout": 2})
        error = caught(lambda: connected(settings))
    assert isinstance(error, psycopg.errors.ConnectionTimeout)
    assert meaning(error) == (None, True, True)


def test_08000_of_a_proxy_that_has_no_connection_is_tried_again(scene: Blank) -> None:
    """In a session and while connecting: the line is closed, so it is left."""
    with running_proxy(scene.postgres.server.port, max_connections=1, borrow_timeout_s=0.2) as proxy:
        settings = scene.settings.model_copy(update={"db_port": proxy.port})
        with connected(settings) as held, connected(settings) as connection:
            held.execute("BEGIN")
            in_session = caught(lambda: connection.execute("SELECT 1"))
            elsewhere = settings.model_copy(update={"db_name": TEMPLATE})
            connecting = caught(lambda: connected(elsewhere))
        runner = Runner(settings)
        holder = connected(settings)
        holder.execute("BEGIN")
        runner.on_retry = holder.close
        runner.run(BUMP.format("a"))
    assert meaning(in_session) == ("08000", True, True)
    assert "Timed-out waiting to acquire database connection" in str(connecting)
    assert meaning(connecting) == (None, True, True)
    assert (len(runner.retried), runner.made) == (1, 2)


@pytest.mark.parametrize(("direction", "after"), [("to_server", 0), ("to_server", 30), ("to_client", 0),
                                                  ("to_client", 1), ("to_client", 30)])  # fmt: skip
def test_a_line_that_is_cut_is_tried_again(scene: Blank, direction: Any, after: int) -> None:
    """Whether the transaction was done nobody knows; which is why what is tried again must find its first try."""
    with running_proxy(scene.postgres.server.port) as proxy:
        runner = Runner(scene.settings.model_copy(update={"db_port": proxy.port}))
        runner.run("SELECT 1")
        with proxy.faults.cut(direction, after) as cut:
            runner.run(BUMP.format("a"))
        assert (cut.done, runner.retried, runner.made) == (1, [None], 2)
    assert scene.rows(COUNTS)[0]["n"] == (1 if direction == "to_server" else 2)


def test_who_will_never_be_let_in_does_not_try_again(own: Postgres) -> None:
    """Password, role, database, rights, pg_hba.conf: an operator's business, told from outages by the message."""
    bare = own.fresh().direct
    for statement in (
        "CREATE ROLE secret LOGIN PASSWORD 'right'",
        "CREATE ROLE rejected LOGIN",
        "CREATE ROLE nologin NOLOGIN",
        "CREATE DATABASE closed",
        "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
    ):
        own.execute(statement)
    rules = "host all secret all scram-sha-256\nhost all rejected all reject\n"
    (own.server.data / "pg_hba.conf").write_text(rules + launcher.HBA)
    own.execute("SELECT pg_reload_conf()")
    until(lambda: "pg_hba.conf" in str(caught_or_none(bare.model_copy(update={"db_user": "rejected"}))))
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
        error = caught(partial(connected, bare, **refusal))
        assert meaning(error) == (None, False, True), (refusal, error)


def test_a_startup_option_is_refused_by_the_proxy_and_not_tried_again(scene: Blank) -> None:
    """It would be refused for ever."""
    error = caught(lambda: connected(scene.settings, options="-c statement_timeout=1s"))
    assert meaning(error) == (None, False, True)


def test_a_wrong_name_of_the_database_is_told_at_once(scene: Blank) -> None:
    """One connection is tried, and the API says `internal`: a retry would be of no use to anybody."""
    runner = Runner(scene.settings.model_copy(update={"db_name": "no_such_database"}))
    reply = room(api, scene, database=runner.database).call("POST", "/members", person(), key="nowhere")
    assert (reply.status, reply.problem, runner.made, runner.retried) == (500, "internal", 1, [])
