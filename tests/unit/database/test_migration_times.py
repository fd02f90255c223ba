"""The waits of a run of the migrations: for its turn, for locks, for the server, and for a connection."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors as pg

from shared.database.migrate import migrate
from shared.database.migration_errors import (
    DatabaseNotReached,
    MigrationTimedOut,
    StatementFailed,
)
from tests.unit.database.fake_watchdog import FakeWatchdog
from tests.unit.database.migration_server import (
    LOCK_LEDGER,
    START,
    FakeRows,
    FakeServer,
    make_limits,
)

LOST = psycopg.OperationalError("server closed the connection unexpectedly")


@pytest.mark.parametrize(
    ("within_s", "turn", "work"),
    [
        (840.0, ("838000ms", "838000ms"), ("838000ms", "5000ms")),
        (6.0, ("4000ms", "4000ms"), ("4000ms", "4000ms")),
        (2.0, ("1ms", "1ms"), ("1ms", "1ms")),
    ],
)
def test_a_transaction_waits_for_its_turn_but_for_no_table(
    server: FakeServer,
    folder: Path,
    watchdog: FakeWatchdog,
    within_s: float,
    turn: tuple[str, str],
    work: tuple[str, str],
) -> None:
    """The server ends it two seconds before the time is up, and the watchdog the connection at its end."""
    (folder / "0002_b.sql").unlink()
    migrate("host=x", folder, within_s=within_s)
    assert server.limits == [make_limits(*turn), make_limits(*work)]
    [(socket, seconds)] = watchdog.watched
    assert (socket.connection, seconds, socket.closed) == (server, within_s, 1)


def test_a_run_without_a_limit_has_fourteen_minutes(server: FakeServer, tmp_path: Path, watchdog: FakeWatchdog) -> None:
    """A Lambda function may run for fifteen; the last one is for its answer."""
    migrate("host=x", tmp_path)
    assert watchdog.watched[0][1] == 840.0


def test_a_lock_that_is_not_free_is_tried_again_after_others_had_their_turn(server: FakeServer, folder: Path) -> None:
    """In a new transaction, after two seconds each time."""
    server.errors["CREATE TABLE ë"] = [pg.LockNotAvailable(), pg.LockNotAvailable()]
    assert migrate("host=x", folder) == ["0001_a", "0002_b"]
    assert server.slept == [2.0, 2.0]
    assert server.steps.count("ROLLBACK") == 2


@pytest.mark.parametrize(("within_s", "waits"), [(9.0, 1), (8.999, 0)])
def test_a_lock_is_given_up_when_another_wait_would_be_cut_short(
    server: FakeServer, folder: Path, within_s: float, waits: int
) -> None:
    """A wait takes five seconds, and two before and after it."""
    server.errors["CREATE TABLE ë"] = [pg.LockNotAvailable() for _ in range(3)]
    with pytest.raises(
        MigrationTimedOut,
        match=r"^migration 0001_a failed, and nothing of it stays: LockNotAvailable \(SQLSTATE 55P03\): None; "
        r"whoever held the lock did not end in time$",
    ) as given_up:
        migrate("host=x", folder, within_s=within_s)
    assert isinstance(given_up.value.__cause__, pg.LockNotAvailable)
    assert server.slept == [2.0] * waits


@pytest.mark.parametrize("kind", [pg.LockNotAvailable, pg.QueryCanceled])
def test_a_run_whose_turn_does_not_come_says_what_holds_it_up(
    server: FakeServer, folder: Path, kind: type[psycopg.Error]
) -> None:
    """Another run, by the lock on the ledger; it is not tried again."""
    server.errors[LOCK_LEDGER] = [kind()]
    with pytest.raises(
        MigrationTimedOut,
        match=r"^another run of the migrations did not end in time: it holds the lock on the table schema_migrations$",
    ):
        migrate("host=x", folder)
    assert server.slept == []


def test_a_statement_that_takes_too_long_is_a_matter_of_time(server: FakeServer, folder: Path) -> None:
    """The server ends it, and rolls it back."""
    server.errors["CREATE TABLE ë"] = [pg.QueryCanceled()]
    with pytest.raises(
        MigrationTimedOut, match=r"^migration 0001_a: the time is up, and nothing of it stays: QueryCanceled \(SQLSTATE"
    ):
        migrate("host=x", folder)


@pytest.mark.parametrize(
    ("late_s", "kind", "words"),
    [
        (10.0, MigrationTimedOut, "migration 0001_a: the time is up, and nothing of it stays: OperationalError"),
        (
            9.999,
            StatementFailed,
            "migration 0001_a: the connection was lost, a repetition finds what stays: Operational",
        ),
    ],
)
def test_a_connection_that_is_lost_at_the_end_of_the_time_was_cut_by_us(
    server: FakeServer, folder: Path, monkeypatch: pytest.MonkeyPatch, late_s: float, kind: type[Exception], words: str
) -> None:
    """Before, somebody else has ended it."""

    def lose(query: Any, params: Sequence[Any] = ()) -> FakeRows:
        if query == "CREATE TABLE ë ();":
            server.now = START + late_s
            raise LOST
        return FakeServer.execute(server, query, params)

    monkeypatch.setattr(server, "execute", lose)
    with pytest.raises(kind, match=f"^{words}"):
        migrate("host=x", folder, within_s=10.0)


# ---- connecting ------------------------------------------------------------------------------------------------------
REFUSED = "FATAL:  password authentication failed, p4ss"


@pytest.mark.parametrize(
    ("message", "connect_within_s", "within_s", "attempts"),
    [
        ("no route", 0.0, 840.0, 1),
        ("no route", 4.999, 840.0, 1),
        ("no route", 5.0, 840.0, 2),
        ("no route", 100.0, 840.0, 21),
        ("no route", 100.0, 10.0, 3),
        (REFUSED, 100.0, 840.0, 13),  # for a minute at most
        (REFUSED, 10.0, 840.0, 3),
    ],
)
def test_a_connection_is_tried_every_five_seconds_for_as_long_as_it_may_take(
    server: FakeServer, tmp_path: Path, message: str, connect_within_s: float, within_s: float, attempts: int
) -> None:
    """Then the reason is told, without the password."""
    server.connect_errors = [psycopg.OperationalError(message) for _ in range(50)]
    told: list[tuple[str, object]] = []
    reason = message.replace("p4ss", "***").replace("  ", " ")
    with pytest.raises(DatabaseNotReached, match=rf"^no connection to the database: {reason.replace('*', '.')}$"):
        migrate(
            "host=x",
            tmp_path,
            within_s=within_s,
            connect_within_s=connect_within_s,
            observer=lambda event, facts: told.append((event, facts["reason"])),
            password="p4ss",
        )
    assert len(server.connects) == attempts
    assert server.slept == [5.0] * (attempts - 1)
    assert told == [("database_connect_failed", message.replace("p4ss", "***"))] * attempts


def test_a_connection_that_comes_late_is_used(server: FakeServer, folder: Path) -> None:
    """The run goes on as if it had come at once."""
    server.connect_errors = [psycopg.OperationalError("no route")]
    assert migrate("host=x", folder, connect_within_s=5.0) == ["0001_a", "0002_b"]


def test_an_error_of_the_callers_own_is_raised_as_it_is(server: FakeServer, tmp_path: Path) -> None:
    """Only a server that is not reached is tried again."""
    server.connect_errors = [psycopg.ProgrammingError("no such option")]  # type: ignore[list-item]
    with pytest.raises(psycopg.ProgrammingError):
        migrate("host=x", tmp_path, connect_within_s=60.0)
    assert len(server.connects) == 1
