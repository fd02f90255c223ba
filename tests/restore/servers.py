"""A PostgreSQL server whose WAL is archived, base backups of it, and servers restored from both to a point in time."""

import itertools
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from local import postgres as launcher
from local.postgres import OWNER
from shared.database.migrate import migrate
from tests.databases import MIGRATIONS, READY_S, SEEDED, TEMPLATE, PostgresHandle, start_postgres
from tests.failover.servers import kill, look, wait_until
from tests.services import find_free_port

_serial = itertools.count(1)


@dataclass(frozen=True)
class ArchivedServer:
    """A running server, the folder of its archived WAL, and the folder of its base backup."""

    postgres: PostgresHandle
    archive: Path
    backup: Path

    def back_up(self) -> None:
        """Take the base backup."""
        server = self.postgres.server
        command = [str(server.user_switch.binaries / "pg_basebackup"), "-D", str(self.backup)]
        command += ["-d", server.build_dsn("postgres", "postgres"), "-c", "fast", "--no-sync"]
        done = launcher.run_program(server, command)
        assert done.returncode == 0, done.stderr

    def archive_all(self) -> None:
        """Return when all WAL that was written so far is in the archive."""
        segment = look(self.postgres, "SELECT pg_walfile_name(pg_switch_wal())")
        wait_until(lambda: (self.archive / str(segment)).exists(), "the WAL was not archived")

    def destroy(self) -> None:
        """Kill the server and delete its data: only the backup and the archive are left."""
        kill(self.postgres)
        shutil.rmtree(self.postgres.server.data)

    def restore(self, to: datetime) -> PostgresHandle:
        """Return a new server with what was committed until a moment, ready for writes; end it with `.stop()`."""
        old, n = self.postgres.server, next(_serial)
        folder = old.folder / f"restored-{n}"
        server = launcher.PostgresServer(
            folder, find_free_port(), old.log.with_name(f"restored-{n}.log"), old.user_switch
        )
        old.user_switch.give_ownership(folder)
        self.backup.rename(server.data)
        (server.data / "recovery.signal").touch()
        child = launcher.start(
            server,
            fsync="off",
            restore_command=f"cp {self.archive}/%f %p",
            recovery_target_time=to.isoformat(),
            recovery_target_action="promote",
        )
        child.wait_until(launcher.make_ready_check(server, child), READY_S)
        restored = PostgresHandle(server, child)
        wait_until(lambda: look(restored, "SELECT pg_is_in_recovery()") is False, "the recovery did not end")
        return restored


def start_archived_server(folder: Path) -> ArchivedServer:
    """Return a migrated server that archives its WAL; end it with `.postgres.stop()` or `.destroy()`.

    fsync stays off: what a process has written the kernel keeps, and no machine dies here.
    """
    postgres = start_postgres(folder, synchronous_commit="on", archive_mode="on", archive_command="cp %p ../archive/%f")
    archive = postgres.server.folder / "archive"
    postgres.server.user_switch.give_ownership(archive)
    postgres.execute(f"CREATE DATABASE {TEMPLATE} OWNER {OWNER}")
    migrate(postgres.build_conninfo(dbname=TEMPLATE), MIGRATIONS)
    postgres.execute(SEEDED, dbname=TEMPLATE)
    return ArchivedServer(postgres, archive, postgres.server.folder / "backup")
