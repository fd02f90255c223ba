"""A writer and its synchronous standby, with ways to end the one and promote the other."""

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import psycopg

from local import postgres as launcher
from local import standby
from local.postgres import OWNER
from local.processes import read_start_time
from shared.database.migrate import migrate
from tests.databases import MIGRATIONS, READY_S, TEMPLATE, PostgresHandle, start_postgres
from tests.services import find_free_port

GONE_S = 10.0
PROBE_EVERY_S = 0.003
# Between the first that die and the rest.
APART_S = 0.05

_serial = itertools.count(1)


def start_writer(folder: Path) -> PostgresHandle:
    """Return a migrated server whose commits wait for a standby as soon as it is given one.

    fsync stays off: no machine dies here, only processes, and what a process has written the kernel keeps.
    """
    writer = start_postgres(folder, synchronous_commit="on")
    writer.execute(f"CREATE DATABASE {TEMPLATE} OWNER {OWNER}")
    migrate(writer.build_conninfo(dbname=TEMPLATE), MIGRATIONS)
    return writer


def start_follower(writer: PostgresHandle, folder: Path) -> PostgresHandle:
    """Return a server that follows another, which waits for nobody yet; end it with `.child.stop()`."""
    runner, n = writer.server.user_switch, next(_serial)
    server = launcher.PostgresServer(
        runner.folder / f"standby-{n}", find_free_port(), folder / f"standby-{n}.log", runner
    )
    child = standby.start(writer.server, server, fsync="off")
    child.wait_until(launcher.make_ready_check(server, child), READY_S)
    return PostgresHandle(server, child)


def synchronise(writer: PostgresHandle) -> None:
    """Make the writer acknowledge a commit only once its standby has written it too."""
    standby.synchronise(writer.server)
    wait_until(lambda: standby.is_synchronous(writer.server), "no synchronous standby")


def wait_until_followed(writer: PostgresHandle, follower: PostgresHandle) -> None:
    """Return when the follower shows all that the writer has written: confirmed is not yet replayed."""
    written = look(writer, "SELECT pg_current_wal_lsn()::text")
    replayed = f"SELECT pg_last_wal_replay_lsn() >= '{written}'"
    wait_until(lambda: look(follower, replayed) is True, "the follower does not follow")


def configure(server: PostgresHandle, setting: str) -> None:
    """Change a server's setting while it runs."""
    server.execute(f"ALTER SYSTEM SET {setting}")
    server.execute("SELECT pg_reload_conf()")


def look(server: PostgresHandle, query: str) -> object:
    """Return the first value of a query's first row; None where there is no row."""
    with psycopg.connect(server.build_conninfo(user="postgres", dbname="postgres"), autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None


def wait_until(true: Callable[[], bool], otherwise: str, *, within_s: float = READY_S) -> None:
    """Return when it is true. Raises AssertionError saying what was `otherwise`."""
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until, otherwise
        time.sleep(0.01)


def kill(server: PostgresHandle, *, first: tuple[int, ...] = ()) -> None:
    """SIGKILL for the server and each of its processes, none of which can answer anybody any more; `first` die sooner.

    Each backend leads a process group of its own, so the group of the postmaster is not enough. That one is held
    meanwhile: what it can't fork can't escape.
    """
    postmaster = server.child.process.pid
    os.kill(postmaster, signal.SIGSTOP)
    wait_until(lambda: _read_stat(postmaster)[0] == "T", "the postmaster was not held", within_s=GONE_S)
    for pid in first:
        os.kill(pid, signal.SIGKILL)
        time.sleep(APART_S)
    backends = list_children(postmaster)
    for pid in (*backends, postmaster):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.child.process.wait(GONE_S)
    wait_until(lambda: not any(map(read_start_time, backends)), "a backend outlived its server", within_s=GONE_S)


def find_sender(server: PostgresHandle) -> int:
    """Return the process that sends to the standby."""
    pid = look(server, "SELECT pid FROM pg_stat_replication")
    assert isinstance(pid, int), "no standby"
    return pid


def list_children(pid: int) -> list[int]:
    """Return the processes that a process has started and not lost."""
    running = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [other for other in running if _read_stat(other)[1] == str(pid)]


def _read_stat(pid: int) -> tuple[str, str]:
    """Return a process's state and its parent; empty where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", ""
    return fields[0], fields[1]


def promote(follower: PostgresHandle) -> None:
    """Have the standby take over; returns before it has."""
    follower.execute("SELECT pg_promote(wait => false)")


class WriteProbe:
    """Asks a server every few milliseconds to write, on a connection of its own that nothing of ours has touched.

    `then` is called as soon as the first write was accepted.
    """

    def __init__(self, server: PostgresHandle, then: Callable[[], object] = lambda: None) -> None:
        self.writable_at = 0.0  # epoch seconds
        self._server = server
        self._then = then
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="prober", daemon=True)

    def _ask(self) -> None:
        with psycopg.connect(self._server.build_conninfo(), autocommit=True) as connection:
            while not self._over.is_set() and not self.writable_at:
                with suppress(psycopg.errors.ReadOnlySqlTransaction):
                    connection.execute("CREATE TABLE IF NOT EXISTS probes (at timestamptz)")
                    connection.execute("INSERT INTO probes VALUES (now())")
                    self.writable_at = time.time()
                    self._then()
                time.sleep(PROBE_EVERY_S)

    def wait(self) -> float:
        """Return when the first write was accepted, in epoch seconds."""
        wait_until(lambda: self.writable_at > 0, "the standby never took a write")
        return self.writable_at

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@contextmanager
def run_writer_and_follower(folder: Path) -> Iterator[tuple[PostgresHandle, PostgresHandle]]:
    """Run a writer whose commits wait for its follower, and the follower; end those that still run with the block."""
    writer = start_writer(folder)
    try:
        follower = start_follower(writer, folder)
        try:
            synchronise(writer)
            yield writer, follower
        finally:
            follower.child.stop()
    finally:
        writer.child.stop()
