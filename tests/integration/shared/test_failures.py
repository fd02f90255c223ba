"""Every error that the database can meet us with, made on a real server: what it is taken for, and what a call does."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar

import psycopg
import pytest

from local import postgres as launcher
from members.app import api
from shared.errors import Refusal, Unavailable
from shared.postgres.connection import Connection, Connector, connect_arguments
from shared.postgres.database import Database, UseCase
from shared.postgres.failures import KeyConflict, as_answer, is_retryable, must_drop
from shared.settings import Settings
from shared.sql import Query
from tests.databases import TEMPLATE, Blank, Postgres, soon, started_postgres
from tests.harness import STAFF
from tests.integration.health.surroundings import standby_of
from tests.integration.room import room
from tests.people import person
from tests.proxy import framing
from tests.proxy.handle import running_proxy
from tests.services import free_port

T = TypeVar("T")

LONG_S = 20.0
APP = "interdomestik_app"


def caught(failing: Callable[[], object]) -> psycopg.Error:
    """The error that a call ends in."""
    with pytest.raises(psycopg.Error) as info:
        failing()
    return info.value


def meaning(error: psycopg.Error) -> tuple[str | None, bool, bool]:
    """Its SQLSTATE, whether it is tried again, and whether the connection is left; it is no answer."""
    assert as_answer(error) is None
    return error.sqlstate, is_retryable(error), must_drop(error)


def connected(settings: Settings, **more: Any) -> Connection:
    """A connection as a function makes it."""
    connection: Connection = psycopg.connect(**{**connect_arguments(settings, None), **more})
    return connection


def until(look: Callable[[], object]) -> None:
    """Return when it comes true."""
    limit = monotonic() + LONG_S
    while not look():
        assert monotonic() < limit
        sleep(0.01)


@dataclass
class Runner:
    """An environment's database whose connections and retries are counted."""

    settings: Settings

    def __post_init__(self) -> None:
        self.made = 0
        self.retried: list[object] = []
        self.on_retry: Callable[[], None] = lambda: None
        connector = Connector(self._connect, idle_timeout_s=60, max_lifetime_s=3600, clock=monotonic)
        self.database = Database(connector, observer=self._observe, sleep=lambda _: None)

    def _connect(self, _within_s: float) -> Connection:
        self.made += 1
        return connected(self.settings)

    def _observe(self, _event: str, facts: Any) -> None:
        self.retried.append(facts["sqlstate"])
        self.on_retry()

    def run(self, *statements: str) -> list[dict[str, Any]]:
        """One transaction of such statements; the rows of the last."""

        def use_case(tx: Any) -> Any:
            for statement in statements[:-1]:
                tx.add(Query(statement))
            return tx.all(Query(statements[-1]))

        rows: UseCase[list[dict[str, Any]]] = use_case
        return self.database.run(rows, soon(LONG_S)).value


@pytest.fixture
def scene(blank: Blank) -> Iterator[Blank]:
    """Two rows that transactions can fight over; settings of the role are taken back."""
    blank.rows("CREATE TABLE scene (name text PRIMARY KEY, n int NOT NULL CHECK (n < 1000))")
    blank.rows("INSERT INTO scene VALUES ('a', 0), ('b', 0)")
    blank.rows(f"GRANT ALL ON scene TO {APP}")
    yield blank
    blank.rows("DROP TABLE scene")
    blank.reset_role()


@pytest.fixture
def runner(scene: Blank) -> Runner:
    return Runner(scene.settings)


def rival(blank: Blank) -> "psycopg.Connection[Any]":
    """Somebody else's session, who may do anything."""
    return psycopg.connect(blank.postgres.conninfo(user="postgres", dbname=blank.name))


def waiting(blank: Blank, kind: str) -> list[int]:
    """The sessions that wait for a lock of a kind."""
    where = f"datname = '{blank.name}' AND wait_event_type = 'Lock' AND wait_event = '{kind}'"
    with rival(blank) as look:
        return [pid for (pid,) in look.execute(f"SELECT pid FROM pg_stat_activity WHERE {where}".encode())]


BUMP = "UPDATE scene SET n = n + 1 WHERE name = '{}' RETURNING n"
GATE = "SELECT pg_advisory_xact_lock(1)"  # where a transaction waits for the test
COUNTS = "SELECT name, n FROM scene ORDER BY name"


@contextmanager
def gate(blank: Blank) -> Iterator[Callable[[], None]]:
    """A lock that GATE waits for, and the call that opens it."""
    with rival(blank) as keeper:
        keeper.execute("SELECT pg_advisory_xact_lock(1)")
        yield keeper.commit


# ---- transactions that lose to others -------------------------------------------------------------------------------


def test_40001_at_commit_is_tried_again_and_ends_in_a_serial_order(scene: Blank, runner: Runner) -> None:
    """Write skew: every statement succeeds, and the COMMIT that our Sync implies does not.

    psycopg can't end a pipeline then: the error comes as that, with the SQLSTATE behind it, and the connection is left.
    """
    scene.alter_role("default_transaction_isolation = 'serializable'")
    with lost_race(scene, lambda: caught(lambda: pipelined(scene, *SKEWED))) as ending:
        error = ending()
    assert meaning(error) == (None, True, True)
    assert isinstance(error.__context__, psycopg.errors.SerializationFailure)
    assert "commit attempt" in str(error.__context__.diag.message_detail)
    with lost_race(scene, lambda: runner.run(*SKEWED)) as ending:
        ending()
    assert (len(runner.retried), runner.made) == (1, 2)
    assert scene.rows(COUNTS) == [{"name": "a", "n": 2}, {"name": "b", "n": 1}]


def test_40001_at_an_explicit_commit_keeps_its_state_and_its_connection(scene: Blank) -> None:
    """Outside a pipeline, where the COMMIT is a statement like any other."""

    def explicit() -> psycopg.Error:
        with connected(scene.direct) as connection:
            for statement in ("BEGIN ISOLATION LEVEL SERIALIZABLE", *SKEWED):
                connection.execute(statement.encode())
            return caught(lambda: connection.execute("COMMIT"))

    with lost_race(scene, explicit) as ending:
        assert meaning(ending()) == ("40001", True, False)


def test_nothing_is_checked_at_commit_that_is_an_answer(scene: Blank) -> None:
    """An error at COMMIT arrives without its name, so a deferred constraint could not be told from an outage."""
    deferred = "SELECT conname FROM pg_constraint WHERE condeferrable"
    assert scene.rows(f"{deferred} UNION SELECT tgname FROM pg_trigger WHERE tgdeferrable") == []


SKEWED = ("SELECT sum(n) FROM scene", BUMP.format("b"), GATE)


@contextmanager
def lost_race(blank: Blank, losing: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Another transaction reads and writes while ours, which runs SKEWED, is in its middle; the call ends ours."""
    with gate(blank) as open_gate, rival(blank) as other, ThreadPoolExecutor(1) as pool:
        running = pool.submit(losing)
        until(lambda: waiting(blank, "advisory"))
        skew(other)

        def end() -> T:
            open_gate()
            return running.result(LONG_S)

        yield end


def pipelined(blank: Blank, *statements: str) -> None:
    """The statements as one flight, on a bare connection."""
    with connected(blank.direct) as connection, connection.pipeline():
        for statement in statements:
            connection.execute(statement.encode())


def skew(other: "psycopg.Connection[Any]") -> None:
    other.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    other.execute("SELECT sum(n) FROM scene")
    other.execute(BUMP.format("a").encode())
    other.commit()


def test_40001_of_a_statement_is_tried_again(scene: Blank, runner: Runner) -> None:
    """Repeatable read: a row that was changed by another since we looked."""
    scene.alter_role("default_transaction_isolation = 'repeatable read'")
    with gate(scene) as open_gate, rival(scene) as other, ThreadPoolExecutor(1) as pool:
        running = pool.submit(runner.run, "SELECT n FROM scene", GATE, BUMP.format("a"))
        until(lambda: waiting(scene, "advisory"))
        other.execute(BUMP.format("a").encode())
        other.commit()
        open_gate()
        running.result(LONG_S)
    assert (runner.retried, scene.rows(COUNTS)[0]["n"]) == (["40001"], 2)


def test_40p01_is_tried_again_and_both_are_done(scene: Blank, runner: Runner) -> None:
    """A real deadlock: each has the row that the other wants, and ours is the one that is chosen."""
    scene.alter_role("deadlock_timeout = '10ms'")
    with gate(scene) as open_gate, rival(scene) as other, ThreadPoolExecutor(2) as pool:
        other.execute("SET deadlock_timeout = '1min'")
        other.execute(BUMP.format("a").encode())
        running = pool.submit(runner.run, BUMP.format("b"), GATE, BUMP.format("a"))
        until(lambda: waiting(scene, "advisory"))
        theirs = pool.submit(other.execute, BUMP.format("b").encode())
        until(lambda: waiting(scene, "transactionid"))
        open_gate()
        theirs.result(LONG_S)
        other.commit()
        running.result(LONG_S)
    assert (set(runner.retried), runner.made) == ({"40P01"}, 1)  # once more where ours is back before theirs wakes
    assert [row["n"] for row in scene.rows(COUNTS)] == [2, 2]


def test_55p03_is_tried_again(scene: Blank, runner: Runner) -> None:
    """By lock_timeout, until the other lets go; by NOWAIT the same."""
    with rival(scene) as other:
        other.execute(BUMP.format("a").encode())
        with connected(scene.direct) as connection:
            error = caught(lambda: connection.execute("SELECT FROM scene WHERE name = 'a' FOR UPDATE NOWAIT"))
        assert meaning(error) == ("55P03", True, False)
        scene.alter_role("lock_timeout = '20ms'")
        runner.on_retry = other.commit
        runner.run(BUMP.format("a"))
    assert (runner.retried, runner.made, scene.rows(COUNTS)[0]["n"]) == (["55P03"], 1, 2)


def test_57014_is_an_answer_and_not_tried_again(scene: Blank, runner: Runner) -> None:
    """A statement over its time: unavailable, once; what came before it is undone, and the connection goes on."""
    scene.alter_role("statement_timeout = '50ms'")
    with connected(scene.direct) as connection:
        error = caught(lambda: connection.execute("SELECT pg_sleep(5)"))
    assert (error.sqlstate, is_retryable(error), must_drop(error)) == ("57014", False, False)
    assert isinstance(as_answer(error), Unavailable)
    with pytest.raises(Unavailable):
        runner.run(BUMP.format("a"), "SELECT pg_sleep(5)")
    assert (runner.retried, runner.run(COUNTS)[0]["n"], runner.made) == ([], 0, 1)


def test_a_statement_timeout_is_503_and_the_repeat_succeeds(scene: Blank) -> None:
    """Through the API: with Retry-After, nothing done, and the key free for the next try."""
    scene.alter_role("statement_timeout = '200ms'")
    client, body = room(api, scene), person()
    with rival(scene) as other:
        other.execute("LOCK TABLE members")
        refused = client.call("POST", "/members", body, key="slow")
        read = client.as_(STAFF).call("GET", "/members")
    assert [(reply.status, reply.problem) for reply in (refused, read)] == [(503, "unavailable")] * 2
    assert int(refused.headers["Retry-After"]) >= 1
    assert scene.rows("SELECT FROM accounts WHERE email = %s", body["email"]) == []
    assert client.call("POST", "/members", body, key="slow").status == 201


# ---- answers of constraints ----------------------------------------------------------------------------------------


def test_a_unique_violation_that_has_a_name_is_an_answer(scene: Blank, runner: Runner) -> None:
    """Of an address, by its problem; of the key, as a conflict to look into. Neither is tried again."""
    account = (
        "INSERT INTO accounts (id, role, email, full_name, language)"
        " VALUES (gen_random_uuid(), 'member', 'twice@example.test', 'X', 'en')"
    )
    key = "INSERT INTO idempotency_keys (scope, key, fingerprint) VALUES ('s', 'k', 'f')"
    runner.run(account + " RETURNING id")
    with pytest.raises(Refusal, match="email-taken"):
        runner.run(account + " RETURNING id")
    with pytest.raises(KeyConflict):
        runner.run(key, key + " RETURNING key")
    assert (runner.retried, runner.made) == ([], 1)


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("INSERT INTO scene VALUES ('a', 1)", "23505"),  # unique, of a constraint that no problem is named for
        ("INSERT INTO scene VALUES ('c', 1000)", "23514"),  # check
        ("INSERT INTO scene VALUES ('c', NULL)", "23502"),  # not null
        ("INSERT INTO members (id, country) VALUES (gen_random_uuid(), 'XK')", "23503"),  # foreign key
        ("DELETE FROM audit", "42501"),  # not granted
        ("SELECT 1 / 0", "22012"),
        ("SELECT no_such_column FROM scene", "42703"),
    ],
)
def test_what_is_our_own_mistake_is_raised_as_it_is(scene: Blank, runner: Runner, statement: str, state: str) -> None:
    """No answer and no retry: the API says `internal`, and the log has the SQLSTATE. The connection is kept."""
    error = caught(lambda: runner.run(statement))
    assert meaning(error) == (state, False, False)
    assert (runner.run(COUNTS)[0]["n"], runner.retried, runner.made) == (0, [], 1)


# ---- sessions that the server ends ---------------------------------------------------------------------------------


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


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Postgres]:
    """A server that a test may end, with a database that nobody made a schema in."""
    running = started_postgres(tmp_path, deadlock_timeout="10ms")
    try:
        running.execute(f"CREATE DATABASE {TEMPLATE}")
        running.execute(f"CREATE ROLE {APP} LOGIN")
        yield running
    finally:
        running.child.stop()


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


def ended(connection: Connection) -> bool:
    """Whether the server has said something to an idle session, which can only be its end."""
    import select

    return bool(select.select([connection.fileno()], [], [], 0)[0])


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


def caught_or_none(settings: Settings) -> psycopg.Error | None:
    try:
        connected(settings).close()
    except psycopg.Error as error:
        return error
    return None


def bare_line(settings: Settings) -> socket.socket:
    """A session without a driver."""
    line = socket.create_connection(("127.0.0.1", settings.db_port), LONG_S)
    line.sendall(framing.startup({"user": APP, "database": settings.db_name}))
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
        (message,) = framing.Framer().feed(b"".join(iter(lambda: line.recv(65536), b"")))
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


def test_a_server_that_is_full_is_tried_again(tmp_path: Path) -> None:
    """53300, which libpq keeps to itself while it connects."""
    full = started_postgres(tmp_path, max_connections="3", superuser_reserved_connections="0", max_wal_senders="0")
    try:
        settings = Settings(db_port=full.server.port, db_name="postgres", db_user="postgres", db_sslmode="disable")
        with connected(settings), connected(settings), connected(settings):
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


# ---- the way there -------------------------------------------------------------------------------------------------


def test_nobody_there_is_unavailable_after_three_retries(scene: Blank) -> None:
    """Refused, whoever is asked."""
    runner = Runner(scene.direct.model_copy(update={"db_port": free_port()}))
    with pytest.raises(Unavailable):
        runner.run("SELECT 1")
    assert (runner.retried, runner.made) == ([None] * 3, 4)


def test_an_answer_that_never_comes_is_tried_again(scene: Blank) -> None:
    """A server that accepts and says nothing: libpq gives up after its least timeout, two seconds."""
    with running_proxy(scene.postgres.server.port) as proxy, proxy.faults.black_hole():
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


# ---- who is not let in ---------------------------------------------------------------------------------------------


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
