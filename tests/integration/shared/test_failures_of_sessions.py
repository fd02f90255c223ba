"""Sessions that a real server ends, one by one or all at once: by hand, by time, shut down, crashed, demoted."""

import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from local import postgres as launcher
from local.database_proxy import framing
from shared.errors import Unavailable
from shared.settings import Settings
from tests.databases import FreshDatabase, PostgresHandle
from tests.integration.health.dependencies import start_standby
from tests.integration.shared.failure_cases import (
    APP,
    BUMP,
    COUNTS,
    GATE,
    LONG_S,
    CountedDatabase,
    catch_error,
    classify,
    connect,
    find_connection_error,
    has_ended,
    list_waiting,
    make_barrier,
    wait_until,
)


def test_57p01_of_a_killed_session_is_tried_again_on_a_new_one(contended_rows: FreshDatabase) -> None:
    """pg_terminate_backend, between two transactions and in the middle of one.

    In a pipeline the last words of a session come without their SQLSTATE, as a lost line does.
    """
    with connect(contended_rows.direct) as connection:
        contended_rows.cut_connections()
        assert classify(catch_error(lambda: connection.execute("SELECT 1"))) == ("57P01", True, True)
    runner = CountedDatabase(contended_rows.direct)
    runner.run("SELECT 1")
    contended_rows.cut_connections()
    runner.run(BUMP.format("a"))
    assert (len(runner.retried), runner.made) == (1, 2)
    with make_barrier(contended_rows) as open_gate, ThreadPoolExecutor(1) as pool:
        running = pool.submit(runner.run, BUMP.format("a"), GATE)
        wait_until(lambda: list_waiting(contended_rows, "advisory"))
        (session,) = list_waiting(contended_rows, "advisory")
        contended_rows.postgres.execute(f"SELECT pg_terminate_backend({session})")
        wait_until(lambda: runner.made == 3)
        open_gate()
        running.result(LONG_S)
    assert (len(runner.retried), contended_rows.query_rows(COUNTS)[0]["n"]) == (2, 2)


def test_57p05_of_a_session_that_was_idle_too_long_is_tried_again(contended_rows: FreshDatabase) -> None:
    """A frozen environment finds it when it wakes."""
    contended_rows.change_role("idle_session_timeout = '20ms'")
    with connect(contended_rows.direct) as connection:
        wait_until(
            lambda: (
                contended_rows.query_rows("SELECT 1 FROM pg_stat_activity WHERE pid = %s", connection.info.backend_pid)
                == []
            )
        )
        error = catch_error(lambda: connection.execute("SELECT 1"))
    assert classify(error) == ("57P05", True, True)


def test_25006_is_tried_again_on_another_connection_each_time(contended_rows: FreshDatabase) -> None:
    """A writer that has become a reader: its connection would stay open for ever, so it is left at once."""
    contended_rows.change_role("default_transaction_read_only = on")
    runner = CountedDatabase(contended_rows.direct)
    runner.on_retry = lambda: contended_rows.reset_role() if runner.made == 2 else None
    runner.run(BUMP.format("a"))
    assert (runner.retried, runner.made) == (["25006", "25006"], 3)
    contended_rows.change_role("default_transaction_read_only = on")
    runner = CountedDatabase(contended_rows.direct)
    with pytest.raises(Unavailable):
        runner.run(BUMP.format("a"))
    assert (runner.retried, runner.made) == (["25006"] * 3, 4)


def test_a_standby_is_no_writer_to_anybody(server: PostgresHandle, tmp_path: Path) -> None:
    """25006 for who writes, no read-write host for who asks for one, 57P04 for who is in a database that is dropped."""
    bare = server.make_fresh_database().direct
    with start_standby(server, tmp_path) as standby:
        there = bare.model_copy(update={"db_port": standby.server.port})
        with connect(there) as connection:
            written = catch_error(lambda: connection.execute("CREATE TABLE t (id int)"))
        refused = catch_error(lambda: connect(there, target_session_attrs="read-write"))
        with connect(there) as connection:
            server.proxy.refresh()
            server.execute(f"DROP DATABASE {bare.db_name}")
            wait_until(lambda: has_ended(connection))
            dropped = catch_error(lambda: connection.execute("SELECT 1"))
        wait_until(lambda: "does not exist" in str(find_connection_error(there)))
        gone = catch_error(lambda: connect(there))
    assert classify(written) == ("25006", True, True)
    assert "read-only" in str(refused)
    assert classify(refused) == (None, True, True)
    assert classify(dropped) == ("57P04", True, True)
    assert classify(gone) == (None, False, True), gone


def test_a_server_that_shuts_down_ends_its_sessions_and_takes_no_new_ones(server: PostgresHandle) -> None:
    """57P03 while it waits for its clients, 57P01 when it waits no longer, refused when it is gone."""
    bare = server.make_fresh_database().direct
    with connect(bare) as connection:
        server.child.process.send_signal(signal.SIGTERM)  # smart: until the last client has left
        wait_until(lambda: "shutting down" in str(find_connection_error(bare)))
        late = catch_error(lambda: connect(bare))
        server.child.process.send_signal(signal.SIGINT)  # fast
        wait_until(lambda: has_ended(connection))
        ours = catch_error(lambda: connection.execute("SELECT 1"))
    server.child.process.wait(LONG_S)
    refused = catch_error(lambda: connect(bare))
    assert classify(late) == (None, True, True)
    assert classify(ours) == ("57P01", True, True)
    assert "refused" in str(refused)
    assert classify(refused) == (None, True, True)


def open_session(settings: Settings) -> socket.socket:
    """Return a session without a driver."""
    line = socket.create_connection(("127.0.0.1", settings.db_port), LONG_S)
    line.sendall(framing.build_startup({"user": APP, "database": settings.db_name}))
    while not line.recv(65536).endswith(framing.IDLE):
        pass
    return line


def count_idle_sessions(postgres: PostgresHandle, settings: Settings) -> int:
    """Return how many sessions of a database wait for their client."""
    where = f"datname = '{settings.db_name}' AND wait_event = 'ClientRead'"
    with psycopg.connect(postgres.build_conninfo(user="postgres", dbname="postgres")) as look:
        return len(look.execute(f"SELECT FROM pg_stat_activity WHERE {where}".encode()).fetchall())


def read_last_error(line: socket.socket) -> tuple[str, str]:
    """Severity and SQLSTATE of what the server says before it closes the line."""
    with line:
        (message,) = framing.MessageReader().feed(b"".join(iter(lambda: line.recv(65536), b"")))
    fields = framing.read_fields(message.body)
    return fields["S"], fields["C"]


def test_a_server_that_crashes_takes_its_sessions_along_and_recovers(server: PostgresHandle) -> None:
    """57P02 is sent as a warning before the line is closed, so what we see is a lost line; then 57P03, then it is well.

    The postmaster waits for a stopped session before it recovers, which keeps it in that state for a while.
    """
    bare = server.make_fresh_database().direct
    with connect(bare) as victim, connect(bare) as stopped, connect(bare) as witness:
        bystander = open_session(bare)
        wait_until(lambda: count_idle_sessions(server, bare) == 4)  # in the middle of sending nothing more can be said
        os.kill(stopped.info.backend_pid, signal.SIGSTOP)
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        lost = catch_error(lambda: witness.execute("SELECT pg_sleep(20)"))
        recovering = catch_error(lambda: connect(bare))
        os.kill(stopped.info.backend_pid, signal.SIGKILL)
    assert classify(lost) == (None, True, True)
    assert read_last_error(bystander) == ("WARNING", "57P02")
    assert "recovery mode" in str(recovering)
    assert classify(recovering) == (None, True, True)
    wait_until(lambda: find_connection_error(bare) is None)


def test_a_server_that_was_stopped_at_once_is_a_lost_connection_and_one_that_starts_lets_nobody_in_yet(
    server: PostgresHandle,
) -> None:
    """Immediate shutdown; and 57P03 while it recovers, here from an archive that takes its time."""
    bare = server.make_fresh_database().direct
    with connect(bare) as connection:
        server.child.process.send_signal(signal.SIGQUIT)
        lost = catch_error(lambda: connection.execute("SELECT pg_sleep(20)"))
    server.child.process.wait(LONG_S)
    (server.server.data / "recovery.signal").touch()
    again = launcher.start(server.server, fsync="off", restore_command="sleep 1; false")
    try:
        wait_until(lambda: "starting up" in str(find_connection_error(bare)))
        starting = catch_error(lambda: connect(bare))
    finally:
        again.stop()
    assert classify(lost) == (None, True, True)
    assert classify(starting) == (None, True, True)
