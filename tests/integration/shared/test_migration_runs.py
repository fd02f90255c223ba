"""Runs of the migrations that meet each other, that die, that have to wait, and what they say when they fail."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from local.postgres import OWNER
from shared.database import migrate as module
from shared.database.migrate import migrate, read_migrations
from shared.database.migration_errors import (
    DatabaseNotReached,
    MigrationTimedOut,
    StatementFailed,
)
from tests.databases import MIGRATIONS, PostgresHandle
from tests.packages import PACKAGES
from tests.services import find_free_port

PATIENCE_S = 60.0
ADDRESS = "besa@example.test"
A_TABLE = "CREATE TABLE a (id int);"


@pytest.fixture
def empty(postgres: PostgresHandle, request: pytest.FixtureRequest) -> Iterator[str]:
    """The owner's way to a database without a schema."""
    name = f"runs_{abs(hash(request.node.name)):x}"
    postgres.execute(f"CREATE DATABASE {name} OWNER {OWNER}")
    yield postgres.build_conninfo(dbname=name)
    postgres.drop_limits()


def write_migrations(folder: Path, *texts: str) -> Path:
    """Write a folder of migrations, 0001_a and so on."""
    folder.mkdir(exist_ok=True)
    for number, text in enumerate(texts):
        (folder / f"{number + 1:04}_{chr(ord('a') + number)}.sql").write_text(text)
    return folder


def start_run(conninfo: str, directory: Path) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    command = [sys.executable, "-m", "shared.database.migrate", str(directory), conninfo, "50"]
    environment = {"PYTHONPATH": os.pathsep.join(map(str, PACKAGES)), "PATH": os.environ["PATH"]}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read_applied(run: subprocess.Popen[str]) -> list[str]:
    """Wait for the end of a run, and return what it applied."""
    out, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, err
    return [line.removeprefix("applied ") for line in out.splitlines()]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@contextmanager
def hold(conninfo: str, statement: str) -> Iterator[None]:
    """Keep a transaction of another session open within the block."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(statement.encode())
        yield


def count_waiting(conninfo: str) -> int:
    """Return how many sessions of the database wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(conninfo) as connection:
        [(count,)] = connection.execute(query.encode()).fetchall()
    return int(count)


def is_asleep(conninfo: str) -> bool:
    """Return whether a migration of the database sleeps."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    with psycopg.connect(conninfo) as connection:
        return connection.execute(query.encode()).fetchone() == (1,)


def test_two_processes_at_once_apply_each_migration_once(empty: str) -> None:
    """On an empty database, where even the ledger is missing."""
    first, second = start_run(empty, MIGRATIONS), start_run(empty, MIGRATIONS)
    applied = read_applied(first) + read_applied(second)
    assert sorted(applied) == [m.version for m in read_migrations(MIGRATIONS)]


def test_a_run_goes_on_where_another_one_was_killed_in_the_middle(empty: str, tmp_path: Path) -> None:
    """It waits for its turn, gets it as soon as the server has noticed, and applies what the other one has not."""
    sleeping = write_migrations(tmp_path / "sleeping", A_TABLE, "CREATE TABLE b (id int); SELECT pg_sleep(600);")
    awake = write_migrations(tmp_path / "awake", A_TABLE, "CREATE TABLE b (id int);")
    killed = start_run(empty, sleeping)
    wait_until(lambda: is_asleep(empty))
    waiting = start_run(empty, awake)
    wait_until(lambda: count_waiting(empty) == 1)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert read_applied(waiting) == ["0002_b"]


def test_a_run_that_waits_too_long_for_another_one_says_so(empty: str, tmp_path: Path) -> None:
    """It has done nothing, and can be repeated."""
    folder = write_migrations(tmp_path / "few", A_TABLE)
    migrate(empty, write_migrations(tmp_path / "none"))
    with (
        hold(empty, "LOCK TABLE schema_migrations IN EXCLUSIVE MODE"),
        pytest.raises(MigrationTimedOut, match="another run of the migrations did not end in time"),
    ):
        migrate(empty, folder, within_s=3)
    assert migrate(empty, folder) == ["0001_a"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for a lock for a short time, and again soon."""
    monkeypatch.setattr(module, "LOCK_WAIT_S", 0.3)
    monkeypatch.setattr(module, "LOCK_PAUSE_S", 0.1)


@pytest.mark.usefixtures("impatient")
def test_a_migration_that_waits_for_a_table_lets_others_use_it(empty: str, tmp_path: Path) -> None:
    """A long transaction holds the table: others read on, and the migration comes when that one has ended."""
    migrate(empty, write_migrations(tmp_path / "few", A_TABLE))
    more = write_migrations(tmp_path / "more", A_TABLE, "ALTER TABLE a ADD COLUMN name text;")
    with ThreadPoolExecutor(1) as pool:
        with hold(empty, "SELECT FROM a"):
            run: Future[list[str]] = pool.submit(migrate, empty, more, within_s=PATIENCE_S)
            wait_until(lambda: count_waiting(empty) == 1)
            with psycopg.connect(empty) as reader:
                reader.execute("SELECT FROM a")  # behind the migration in the table's queue, until that one gives way
            assert not run.done()
        assert run.result() == ["0002_b"]


@pytest.mark.usefixtures("impatient")
def test_a_migration_gives_up_when_its_time_is_used_up_by_waiting(empty: str, tmp_path: Path) -> None:
    """The error names the migration."""
    folder = write_migrations(tmp_path / "few", A_TABLE, "ALTER TABLE a ADD COLUMN name text;")
    migrate(empty, write_migrations(tmp_path / "one", A_TABLE))
    with (
        hold(empty, "SELECT FROM a"),
        pytest.raises(MigrationTimedOut, match=r"migration 0002_b failed.*LockNotAvailable.*did not end in time"),
    ):
        migrate(empty, folder, within_s=2)


@pytest.mark.parametrize("statements", ["SELECT pg_sleep(600);", "SELECT pg_sleep(0.7);" * 100])
def test_a_migration_that_takes_too_long_is_ended(empty: str, tmp_path: Path, statements: str) -> None:
    """The server rolls it back, whether one statement takes too long or all of them together."""
    folder = write_migrations(tmp_path / "slow", f"{A_TABLE} {statements}")
    with pytest.raises(MigrationTimedOut, match="migration 0001_a: the time is up, and nothing of it stays"):
        migrate(empty, folder, within_s=4)
    assert migrate(empty, write_migrations(tmp_path / "quick", A_TABLE)) == ["0001_a"]


PEOPLE = f"CREATE TABLE people (email text); INSERT INTO people VALUES ('{ADDRESS}'), ('{ADDRESS}');"


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        ("CREATE UNIQUE INDEX ON people (email);", "UniqueViolation (SQLSTATE 23505, table people"),
        ("ALTER TABLE people ALTER email TYPE int USING email::int;", "InvalidTextRepresentation (SQLSTATE 22P02)"),
        ("ALTER TABLE people DROP COLUMN emial;", "column \"emial\" of relation \"people\" does not exist"),
        ("SELEKT 1;", "syntax error at or near \"SELEKT\""),
    ],
)  # fmt: skip
def test_a_failure_names_the_migration_and_no_row(empty: str, tmp_path: Path, failing: str, reason: str) -> None:
    """The database's message about a constraint or a value quotes the row."""
    folder = write_migrations(tmp_path / "failing", PEOPLE, failing)
    with pytest.raises(StatementFailed) as caught:
        migrate(empty, folder)
    assert str(caught.value).startswith("migration 0002_b failed, and nothing of it stays: ")
    assert reason in str(caught.value)
    assert ADDRESS not in str(caught.value)


def test_an_owner_without_the_right_to_make_tables_is_told_so(empty: str, tmp_path: Path) -> None:
    """A database that was made for somebody else."""
    conninfo = empty.replace(f"user={OWNER}", "user=interdomestik_app")
    with pytest.raises(StatementFailed, match=r"schema_migrations failed.*permission denied for schema public"):
        migrate(conninfo, write_migrations(tmp_path / "few", A_TABLE))


def test_an_earlier_release_has_nothing_to_do_on_a_later_schema(empty: str, tmp_path: Path) -> None:
    """So it can be deployed again, and a deployment can be rolled back."""
    earlier, later = write_migrations(tmp_path / "e", A_TABLE), write_migrations(tmp_path / "l", A_TABLE, "SELECT 1;")
    assert migrate(empty, later) == ["0001_a", "0002_b"]
    assert migrate(empty, earlier, connection_limit=50) == []


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The error has libpq's words, without the password."""
    conninfo = f"host=127.0.0.1 port={find_free_port()}"
    with pytest.raises(DatabaseNotReached, match="no connection to the database: connection failed") as caught:
        migrate(conninfo, tmp_path, password="p4ss-w0rd")
    assert "p4ss-w0rd" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "attempts"),
    [("connection refused", 61), ("FATAL: PAM authentication failed for user", 13)],
)
def test_a_connection_is_tried_again_for_a_while(monkeypatch: pytest.MonkeyPatch, words: str, attempts: int) -> None:
    """Longer where the server may still come than where it refuses."""
    now, tries = [0.0], []

    def connect() -> psycopg.Connection[object]:
        tries.append(now[0])
        raise psycopg.OperationalError(words)

    monkeypatch.setattr(module, "read_monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    with pytest.raises(DatabaseNotReached, match=words):
        module._connect_patiently(connect, 300.0, redact=None)
    assert len(tries) == attempts


def test_a_connection_that_comes_late_is_used(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy of a new database has found its targets."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    refusals = [psycopg.OperationalError("refused"), psycopg.OperationalError("refused")]

    def connect() -> psycopg.Connection[object]:
        if refusals:
            raise refusals.pop()
        return psycopg.connect(empty)

    with module._connect_patiently(connect, 300.0, redact=None) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_command_says_why_it_failed(empty: str, tmp_path: Path) -> None:
    """It prints one line without a traceback to its error output."""
    run = start_run(empty, write_migrations(tmp_path / "failing", "SELECT 1 / 0;"))
    _, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 1
    assert err.startswith("migration 0001_a failed, and nothing of it stays: DivisionByZero")
    assert len(err.splitlines()) == 1
