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
from tests.databases import Blank, Postgres
from tests.integration.health.surroundings import standby_of
from tests.integration.shared.fights import (
    APP,
    BUMP,
    COUNTS,
    GATE,
    LONG_S,
    Runner,
    caught,
    caught_or_none,
    connected,
    ended,
    gate,
    meaning,
    until,
    waiting,
)


def test_57p01_of_a_killed_session_is_tried_again_on_a_new_one(scene: Blank) -> None:
    """pg_terminate_backend, between two transactions and in the middle of one.

    In a pipeline the last words of a session come without their SQLSTATE, as a lost line does.
    """
    with connected(scene.direct) as connection:
        scene.cut_connections()
        assert meaning(caught(lambda: connection.execute("SELECT 1"))) == ("57P01", True, True)
    runner = Runner(scene.direct)
    runner.run("SELECT 1")
    scene.cut_connections()
    runner.run(BUMP.format("a"))
    assert (len(runner.retried), runner.made) == (1, 2)
    with gate(scene) as open_gate, ThreadPoolExecutor(1) as pool:
        running = pool.submit(runner.run, BUMP.format("a"), GATE)
        until(lambda: waiting(scene, "advisory"))
        (session,) = waiting(scene, "advisory")
        scene.postgres.execute(f"SELECT pg_terminate_backend({session})")
        until(lambda: runner.made == 3)
        open_gate()
        running.result(LONG_S)
    assert (len(runner.retried), scene.rows(COUNTS)[0]["n"]) == (2, 2)


def test_57p05_of_a_session_that_was_idle_too_long_is_tried_again(scene: Blank) -> None:
    """As a frozen environment finds it when it wakes."""
    scene.alter_role("idle_session_timeout = '20ms'")
    with connected(scene.direct) as connection:
        until(lambda: scene.rows("SELECT 1 FROM pg_stat_activity WHERE pid = %s", connection.info.backend_pid) == [])
        error = caught(lambda: connection.execute("SELECT 1"))
    assert meaning(error) == ("57P05", True, True)


def test_25006_is_tried_again_on_another_connection_each_time(scene: Blank) -> None:
    """A writer that has become a reader: its connection would stay open for ever, so it is left at once."""
    scene.alter_role("default_transaction_read_only = on")
    runner = Runner(scene.direct)
    runner.on_retry = lambda: scene.reset_role() if runner.made == 2 else None
    runner.run(BUMP.format("a"))
    assert (runner.retried, runner.made) == (["25006", "25006"], 3)
    scene.alter_role("default_transaction_read_only = on")
    runner = Runner(scene.direct)
    with pytest.raises(Unavailable):
        runner.run(BUMP.format("a"))
    assert (runner.retried, runner.made) == (["25006"] * 3, 4)


def test_a_standby_is_no_writer_to_anybody(own: Postgres, tmp_path: Path) -> None:
    """25006 for who writes, no read-write host for who asks for one, 57P04 for who is in a database that is dropped."""
    bare = own.fresh().direct
    with standby_of(own, tmp_path) as standby:
        there = bare.model_copy(update={"db_port": standby.server.port})
        with connected(there) as connection:
            written = caught(lambda: connection.execute("CREATE TABLE t (id int)"))
        refused = caught(lambda: connected(there, target_session_attrs="read-write"))
        with connected(there) as connection:
            own.proxy.refresh()
            own.execute(f"DROP DATABASE {bare.db_name}")
            until(lambda: ended(connection))
            dropped = caught(lambda: connection.execute("SELECT 1"))
        until(lambda: "does not exist" in str(caught_or_none(there)))
        gone = caught(lambda: connected(there))
    assert meaning(written) == ("25006", True, True)
    assert "read-only" in str(refused)
    assert meaning(refused) == (None, True, True)
    assert meaning(dropped) == ("57P04", True, True)
    assert meaning(gone) == (None, False, True), gone


def test_a_server_that_shuts_down_ends_its_sessions_and_takes_no_new_ones(own: Postgres) -> None:
    """57P03 while it waits for its clients, 57P01 when it waits no longer, refused when it is gone."""
    bare = own.fresh().direct
    with connected(bare) as connection:
        own.child.process.send_signal(signal.SIGTERM)  # smart: until the last client has left
        until(lambda: "shutting down" in str(caught_or_none(bare)))
        late = caught(lambda: connected(bare))
        own.child.process.send_signal(signal.SIGINT)  # fast
        until(lambda: ended(connection))
        ours = caught(lambda: connection.execute("SELECT 1"))
    own.child.process.wait(LONG_S)
    refused = caught(lambda: connected(bare))
    assert meaning(late) == (None, True, True)
    assert meaning(ours) == ("57P01", True, True)
    assert "refused" in str(refused)
    assert meaning(refused) == (None, True, True)


def bare_line(settings: Settings) -> socket.socket:
    """A session without a driver."""
    line = socket.create_connection(("127.0.0.1", settings.db_port), LONG_S)
    line.sendall(framing.build_startup({"user": APP, "database": settings.db_name}))
    while not line.recv(65536).endswith(framing.IDLE):
        pass
    return line


def at_rest(postgres: Postgres, settings: Settings) -> int:
    """How many sessions of a database wait for their client."""
    where = f"datname = '{settings.db_name}' AND wait_event = 'ClientRead'"
    with psycopg.connect(postgres.conninfo(user="postgres", dbname="postgres")) as look:
        return len(look.execute(f"SELECT FROM pg_stat_activity WHERE {where}".encode()).fetchall())


def last_words(line: socket.socket) -> tuple[str, str]:
    """Severity and SQLSTATE of what the server says before it closes the line."""
    with line:
        (message,) = framing.MessageReader().feed(b"".join(iter(lambda: line.recv(65536), b"")))
    fields = framing.read_fields(message.body)
    return fields["S"], fields["C"]


def test_a_server_that_crashes_takes_its_sessions_along_and_recovers(own: Postgres) -> None:
    """57P02 is sent as a warning before the line is closed, so what we see is a lost line; then 57P03, then it is well.

    The postmaster waits for a stopped session before it recovers, which keeps it in that state for a while.
    """
    bare = own.fresh().direct
    with connected(bare) as victim, connected(bare) as stopped, connected(bare) as witness:
        bystander = bare_line(bare)
        until(lambda: at_rest(own, bare) == 4)  # in the middle of sending nothing more can be said
        os.kill(stopped.info.backend_pid, signal.SIGSTOP)
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        lost = caught(lambda: witness.execute("SELECT pg_sleep(20)"))
        recovering = caught(lambda: connected(bare))
        os.kill(stopped.info.backend_pid, signal.SIGKILL)
    assert meaning(lost) == (None, True, True)
    assert last_words(bystander) == ("WARNING", "57P02")
    assert "recovery mode" in str(recovering)
    assert meaning(recovering) == (None, True, True)
    until(lambda: caught_or_none(bare) is None)


def test_a_server_that_was_stopped_at_once_is_a_lost_line_and_one_that_starts_lets_nobody_in_yet(
    own: Postgres,
) -> None:
    """Immediate shutdown; and 57P03 while it recovers, here from an archive that takes its time."""
    bare = own.fresh().direct
    with connected(bare) as connection:
        own.child.process.send_signal(signal.SIGQUIT)
        lost = caught(lambda: connection.execute("SELECT pg_sleep(20)"))
    own.child.process.wait(LONG_S)
    (own.server.data / "recovery.signal").touch()
    again = launcher.start(own.server, fsync="off", restore_command="sleep 1; false")
    try:
        until(lambda: "starting up" in str(caught_or_none(bare)))
        starting = caught(lambda: connected(bare))
    finally:
        again.stop()
    assert meaning(lost) == (None, True, True)
    assert meaning(starting) == (None, True, True)
