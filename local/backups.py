"""A base backup of the local database with its archived WAL, and a server restored from both to a moment.

As Aurora does with a cluster: the restored server runs beside the damaged one, which stays as it is, and the proxy's
clients are then redirected to it.
"""

import shutil
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from local import postgres
from local.postgres import PostgresServer
from local.processes import POLL_SECONDS, ChildProcess

ARCHIVED_SECONDS = 30.0
RECOVERED_SECONDS = 60.0


class BackupMissing(Exception):
    """There is nothing to restore from; the message says what to do."""


class RestoreFailed(Exception):
    """The backup could not be taken or restored; the message says why."""


def build_archive_settings(server: PostgresServer) -> dict[str, str]:
    """Return the settings of a server that keeps all of its WAL, and create the folder that it is kept in."""
    server.user_switch.give_ownership(find_archive(server))
    return {"archive_mode": "on", "archive_command": "cp %p ../archive/%f"}


def find_archive(server: PostgresServer) -> Path:
    """Return the folder of the archived WAL."""
    return server.folder / "archive"


def find_backup(server: PostgresServer) -> Path:
    """Return the folder of the base backup."""
    return server.folder / "backup"


def back_up(server: PostgresServer) -> None:
    """Take a base backup of a running server, in place of the former one. Raise BackupMissing, RestoreFailed."""
    if _read_value(server, "SHOW archive_mode") != "on":
        raise BackupMissing("the database keeps no WAL: start the local cloud with --archive")
    shutil.rmtree(find_backup(server), ignore_errors=True)
    program = str(server.user_switch.binaries / "pg_basebackup")
    command = [program, "-D", str(find_backup(server)), "-d", server.build_dsn("postgres", "postgres")]
    _run_program(server, [*command, "-c", "fast", "--no-sync"])


def restore(server: PostgresServer, restored: PostgresServer, to: datetime) -> ChildProcess:
    """Start a server with what was committed until a moment; return when it takes writes.

    Raise BackupMissing, RestoreFailed, ProcessCrashed.
    """
    if not find_backup(server).exists():
        raise BackupMissing("there is no backup: python -m local backup, before the moment to restore to")
    _archive_all(server)
    shutil.rmtree(restored.folder, ignore_errors=True)
    restored.user_switch.give_ownership(restored.folder)
    _run_program(server, ["cp", "-R", str(find_backup(server)), str(restored.data)])
    (restored.data / "recovery.signal").touch()
    child = postgres.start(
        restored,
        restore_command="cp ../../archive/%f %p",  # seen from the data of a server whose folder is in the former one's
        recovery_target_time=to.isoformat(),
        recovery_target_action="promote",
    )
    child.wait_until(postgres.make_ready_check(restored, child), postgres.READY_SECONDS)
    _wait_until(lambda: _read_value(restored, "SELECT pg_is_in_recovery()") is False, RECOVERED_SECONDS, "recovered")
    return child


def _archive_all(server: PostgresServer) -> None:
    """Return when all WAL that was written so far is in the archive."""
    _read_value(server, "SELECT pg_create_restore_point('restore')")  # a segment without a record is not switched
    segment = str(_read_value(server, "SELECT pg_walfile_name(pg_switch_wal())"))
    _wait_until((find_archive(server) / segment).exists, ARCHIVED_SECONDS, "archived")


def _run_program(server: PostgresServer, command: list[str]) -> None:
    """Run a program as the server's user. Raise RestoreFailed."""
    done = postgres.run_program(server, command)
    if done.returncode != 0:
        raise RestoreFailed(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def _read_value(server: PostgresServer, query: str) -> Any:
    with psycopg.connect(server.build_dsn("postgres", "postgres"), autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None


def _wait_until(is_done: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > deadline:
            raise RestoreFailed(f"not {what} within {seconds:.0f} s")
        time.sleep(POLL_SECONDS)
