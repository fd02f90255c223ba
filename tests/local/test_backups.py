"""A backup of the local database with its archived WAL becomes a server of any moment since, beside the present one."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from local import backups, postgres, unprivileged
from local.processes import ChildProcess
from tests.services import find_free_port


def start_server(folder: Path, *, archive: bool) -> tuple[postgres.PostgresServer, ChildProcess]:
    """Return a running server, which keeps its WAL or not."""
    user_switch = unprivileged.choose_user_switch(postgres.find_binaries(), folder)
    server = postgres.PostgresServer(user_switch.folder, find_free_port(), folder.parent / "postgres.log", user_switch)
    user_switch.give_ownership(server.folder)
    settings = backups.build_archive_settings(server) if archive else {}
    child = postgres.start(server, fsync="off", **settings)
    child.wait_until(postgres.make_ready_check(server, child), postgres.READY_SECONDS)
    return server, child


@pytest.fixture
def archived(tmp_path: Path) -> Iterator[postgres.PostgresServer]:
    """Yield a server that keeps its WAL."""
    server, child = start_server(tmp_path / "postgres", archive=True)
    yield server
    child.stop()


def make_restored(server: postgres.PostgresServer, name: str) -> postgres.PostgresServer:
    """Return the place of a restored server; it is not started."""
    return postgres.PostgresServer(
        server.folder / name, find_free_port(), server.log.with_name(f"{name}.log"), server.user_switch
    )


def add_note(server: postgres.PostgresServer, note: str) -> datetime:
    """Add a note; return a time after it by the server's own clock."""
    with psycopg.connect(server.build_dsn("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS notes (note text)")
        connection.execute("INSERT INTO notes VALUES (%s)", (note,))
        row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


def list_notes(server: postgres.PostgresServer) -> list[str]:
    """Return the notes that a server has."""
    with psycopg.connect(server.build_dsn("postgres")) as connection:
        return [row[0] for row in connection.execute("SELECT note FROM notes ORDER BY note")]


def test_a_backup_is_restored_to_a_moment_and_the_present_server_goes_on(archived: postgres.PostgresServer) -> None:
    """Two restores from one backup have what was committed until their moments, and take writes."""
    backups.back_up(archived)
    first = add_note(archived, "a")
    second = add_note(archived, "b")
    add_note(archived, "c")
    for name, moment, expected in (("one", first, ["a"]), ("two", second, ["a", "b"])):
        restored = make_restored(archived, name)
        child = backups.restore(archived, restored, moment)
        try:
            assert list_notes(restored) == expected
            add_note(restored, "d")
        finally:
            child.stop()
    assert list_notes(archived) == ["a", "b", "c"]


def test_without_a_backup_or_wal_there_is_nothing_to_restore(archived: postgres.PostgresServer, tmp_path: Path) -> None:
    """Each says what to do."""
    with pytest.raises(backups.BackupMissing, match="python -m local backup"):
        backups.restore(archived, make_restored(archived, "none"), add_note(archived, "a"))
    plain, child = start_server(tmp_path / "plain/postgres", archive=False)
    try:
        with pytest.raises(backups.BackupMissing, match="--archive"):
            backups.back_up(plain)
    finally:
        child.stop()
