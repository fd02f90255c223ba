"""The proxy on a real PostgreSQL: what it lends, to whom, for how long, and what it refuses."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest

from local.database_proxy.proxy import Proxy, run_proxy
from tests.databases import FreshDatabase, PostgresHandle
from tests.services import find_free_port

Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def proxy(postgres: PostgresHandle) -> Iterator[Proxy]:
    """Yield two server connections, and a second to wait for one."""
    with run_proxy(postgres.server.port, max_connections=2, borrow_timeout_s=1) as running:
        yield running
        assert running.crashes == []


def build_conninfo(proxy: Proxy, **more: str) -> str:
    settings: dict[str, str | int] = {
        "host": "127.0.0.1",
        "port": proxy.port,
        "user": "postgres",
        "dbname": "postgres",
        **more,
    }
    return psycopg.conninfo.make_conninfo("", **settings)


def connect(proxy: Proxy, **more: str) -> Connection:
    return psycopg.connect(build_conninfo(proxy, **more), autocommit=True, prepare_threshold=None)


def fetch_value(connection: Connection, statement: str) -> Any:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def wait_until(look: Callable[[], bool], within_s: float = 5.0) -> bool:
    """Return whether a condition comes true in time."""
    until = monotonic() + within_s
    while not (seen := look()) and monotonic() < until:
        sleep(0.005)
    return seen


def test_a_client_sees_the_servers_settings(proxy: Proxy, postgres: PostgresHandle) -> None:
    """PostgreSQL reports them unasked; the client sees the same ones."""
    with (
        connect(proxy, sslmode="prefer") as through,
        psycopg.connect(postgres.build_conninfo(user="postgres")) as direct,
    ):
        for name in ("server_version", "server_encoding", "TimeZone", "integer_datetimes", "in_hot_standby"):
            assert through.info.parameter_status(name) == direct.info.parameter_status(name) != None  # noqa: E711


def test_many_clients_share_few_server_connections(proxy: Proxy) -> None:
    """Twenty clients stay connected; no more than two server connections are ever borrowed, and all are returned."""
    with contextlib.ExitStack() as open_clients, ThreadPoolExecutor(20) as pool:
        clients = [open_clients.enter_context(connect(proxy)) for _ in range(20)]
        seen = set(pool.map(lambda c: [fetch_value(c, "SELECT pg_backend_pid()") for _ in range(20)][-1], clients))
    assert len(seen) <= 2
    counts = proxy.counts
    assert (counts.transactions, counts.round_trips, counts.borrowed_max, counts.borrowed) == (400, 400, 2, 0)
    assert counts.waiting_max > 0


def test_who_needs_another_session_gets_the_place_of_the_one_idle_longest(
    proxy: Proxy, fresh_database: FreshDatabase
) -> None:
    """The session that was opened first may be busier than all others."""
    busy, seldom, other = (connect(proxy, dbname=name) for name in ("postgres", "template1", fresh_database.name))
    with busy, seldom, other:
        first, second = (fetch_value(client, "SELECT pg_backend_pid()") for client in (busy, seldom))
        assert fetch_value(busy, "SELECT pg_backend_pid()") == first
        fetch_value(other, "SELECT 1")
        assert fetch_value(busy, "SELECT pg_backend_pid()") == first
        assert fetch_value(seldom, "SELECT pg_backend_pid()") != second


def test_a_transaction_keeps_its_server_connection_to_its_end(proxy: Proxy) -> None:
    """Its statements meet one session, and others do not get it in between."""
    with connect(proxy) as one, connect(proxy) as other:
        with one.transaction():
            mine = [fetch_value(one, "SELECT pg_backend_pid()") for _ in range(3)]
            assert proxy.counts.borrowed == 1
            assert fetch_value(other, "SELECT pg_backend_pid()") != mine[0]
        assert len(set(mine)) == 1
        assert proxy.counts.borrowed == 0


def test_a_pipeline_is_one_round_trip_and_several_syncs_are_several(proxy: Proxy) -> None:
    """The connection goes back when the last of them has been answered."""
    with connect(proxy) as client:
        with client.pipeline():
            for _ in range(5):
                client.execute("SELECT 1")
        assert (proxy.counts.round_trips, proxy.counts.transactions) == (1, 1)
        with client.pipeline() as pipeline:
            for _ in range(3):
                client.execute("SELECT 1")
                pipeline.sync()
        assert proxy.counts.borrowed == 0
        assert proxy.counts.round_trips == proxy.counts.transactions >= 4


def test_a_copy_gives_its_connection_back(proxy: Proxy) -> None:
    """Its data is no statement that a Sync would have to follow."""
    with connect(proxy) as client:
        with client.transaction(force_rollback=True):
            client.execute("CREATE TABLE copied (n int)")
            with client.cursor().copy("COPY copied FROM STDIN") as copy:
                copy.write_row((1,))
        assert (proxy.counts.borrowed, fetch_value(client, "SELECT 1"), proxy.counts.borrowed) == (0, 1, 0)


def test_a_client_that_waits_too_long_gets_an_error_and_is_disconnected(proxy: Proxy) -> None:
    """08000, in RDS Proxy's words; once there is a connection again the next client gets it."""
    with connect(proxy) as one, connect(proxy) as two, connect(proxy) as third:
        with one.transaction(), two.transaction():
            one.execute("SELECT 1")
            two.execute("SELECT 1")
            with pytest.raises(psycopg.OperationalError, match="Timed-out waiting to acquire database") as caught:
                third.execute("SELECT 1")
            assert (caught.value.sqlstate, proxy.counts.borrow_timeouts) == ("08000", 1)
            assert third.closed
        with connect(proxy) as fourth:
            assert fetch_value(fourth, "SELECT 1") == 1
    assert proxy.counts.waiting == 0


def test_waiting_clients_are_served_in_the_order_of_coming(proxy: Proxy) -> None:
    """First come, first served, so nobody waits for ever."""
    served: list[int] = []

    def wait(n: int) -> None:
        with connect(proxy) as client, client.transaction():
            client.execute("SELECT 1")
            served.append(n)  # before the next is served: there is one connection for all

    with connect(proxy) as one, connect(proxy) as two, one.transaction():
        one.execute("SELECT 1")
        with two.transaction():
            two.execute("SELECT 1")
            threads = [threading.Thread(target=wait, args=(n,)) for n in range(5)]
            for n, thread in enumerate(threads):
                thread.start()
                assert wait_until(lambda n=n: proxy.counts.waiting == n + 1)  # type: ignore[misc]
        for thread in threads:
            thread.join()
    assert served == sorted(served)


def test_a_client_that_gives_up_waiting_leaves_the_queue(proxy: Proxy) -> None:
    """No connection is given to a client that has gone."""
    with connect(proxy) as one, connect(proxy) as two, one.transaction(), two.transaction():
        one.execute("SELECT 1")
        two.execute("SELECT 1")
        third = connect(proxy)
        third.pgconn.send_query(b"SELECT 1")
        assert wait_until(lambda: proxy.counts.waiting == 1)
        third.close()
        assert wait_until(lambda: proxy.counts.waiting == 0)


@pytest.mark.parametrize(
    "setting", [{"options": "-c statement_timeout=5"}, {"replication": "database"}, {"max_protocol_version": "latest"}]
)
def test_what_would_set_a_session_apart_is_refused_at_startup(proxy: Proxy, setting: dict[str, str]) -> None:
    """0A000: session settings belong to the role."""
    with pytest.raises(psycopg.OperationalError, match="Feature not supported"):
        connect(proxy, **setting)


def test_the_refusal_of_options_is_0a000(proxy: Proxy) -> None:
    """libpq does not report this code while it connects."""
    with socket.create_connection(("127.0.0.1", proxy.port)) as line:
        line.sendall(build_startup_with_options())
        answer = b"".join(iter(lambda: line.recv(4096), b""))
    assert b"C0A000\0" in answer
    assert b"SFATAL\0" in answer


def build_startup_with_options() -> bytes:
    from local.database_proxy.framing import build_startup

    return build_startup({"user": "postgres", "options": "-c work_mem=1MB"})


@pytest.mark.parametrize("unknown", [{"dbname": "no_such_database"}, {"user": "nobody_here"}])
def test_what_the_server_refuses_reaches_the_client(proxy: Proxy, unknown: dict[str, str]) -> None:
    """The client gets the server's own message."""
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        connect(proxy, **unknown)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [("SET work_mem = '1MB'", "SET"), ("SELECT set_config('work_mem', '1MB', false)", "set_config()"),
     ("CREATE TEMP TABLE t (id int)", "temporary object"), ("SELECT pg_advisory_lock(7)", "pg_advisory_lock()")],
)  # fmt: skip
def test_a_pinned_session_keeps_its_server_connection_until_it_leaves(
    proxy: Proxy, statement: str, reason: str
) -> None:
    """It is counted once with its reason, and what it has set is nobody else's."""
    with connect(proxy) as client:
        assert proxy.counts.borrowed == 0
        client.execute(statement.encode())
        client.execute(statement.encode().replace(b"TABLE t", b"TABLE u"))
        assert (dict(proxy.counts.pins), proxy.counts.borrowed) == ({reason: 1}, 1)
        assert proxy.read_statistics()["pinned"] == 1
    assert wait_until(lambda: proxy.counts.borrowed == 0)
    assert proxy.read_statistics()["pinned"] == 0
    assert proxy.read_session_state() == []


def test_statements_that_psycopg_prepares_pin(proxy: Proxy) -> None:
    """psycopg's default threshold of five would pin every environment."""
    with psycopg.connect(build_conninfo(proxy), autocommit=True, prepare_threshold=2) as client:
        for _ in range(5):
            client.execute("SELECT 1")
        assert dict(proxy.counts.pins) == {"named statement": 1}


def test_state_that_no_statement_shows_is_found(proxy: Proxy, postgres: PostgresHandle) -> None:
    """A function may set what the statement that calls it does not name: in what the server reports, and in a look."""
    postgres.execute(
        "CREATE OR REPLACE FUNCTION hidden() RETURNS void LANGUAGE sql"
        " BEGIN ATOMIC SELECT set_config('TimeZone', 'Asia/Tokyo', false), set_config('work_mem', '1MB', false); END"
    )
    with connect(proxy) as client:
        client.execute("SELECT hidden()")
    assert dict(proxy.counts.pins) == {}
    assert dict(proxy.counts.changed_settings) == {"TimeZone": 1}
    assert sorted(proxy.read_session_state()) == ["setting TimeZone", "setting work_mem"]


def test_a_transaction_whose_client_hangs_up_is_undone(proxy: Proxy, postgres: PostgresHandle) -> None:
    """Its server connection is nobody's any more."""
    postgres.execute("CREATE TABLE IF NOT EXISTS left_open (n int)")
    client = connect(proxy)
    client.execute("BEGIN")
    client.execute("INSERT INTO left_open VALUES (1)")
    client.close()
    assert wait_until(lambda: proxy.counts.borrowed == 0)
    with connect(proxy) as other:
        assert fetch_value(other, "SELECT count(*) FROM left_open") == 0


def test_a_cancel_request_reaches_the_statement_under_way(proxy: Proxy) -> None:
    """It is led to the session that the client has at that moment."""
    with connect(proxy) as client, ThreadPoolExecutor(1) as pool:
        sleeping = pool.submit(client.execute, "SELECT pg_sleep(60)")
        assert wait_until(lambda: proxy.counts.round_trips == 1)
        while not sleeping.done():
            client.cancel_safe()
            sleep(0.05)
        with pytest.raises(psycopg.errors.QueryCanceled):
            sleeping.result()


def test_a_session_that_the_server_ends_ends_the_clients_transaction(proxy: Proxy, postgres: PostgresHandle) -> None:
    """The client gets the server's own words, 57P01, and others go on."""
    with connect(proxy) as client, connect(proxy) as other:
        client.execute("BEGIN")
        pid = fetch_value(client, "SELECT pg_backend_pid()")
        postgres.execute(f"SELECT pg_terminate_backend({pid}, 5000)")
        with pytest.raises(psycopg.errors.AdminShutdown):
            client.execute("SELECT 1")
        assert fetch_value(other, "SELECT 1") == 1


def test_a_server_that_is_away_is_waited_for(postgres: PostgresHandle) -> None:
    """Clients stay connected and are served when it is there; past the borrow timeout they get an error."""
    with run_proxy(postgres.server.port, borrow_timeout_s=1) as proxy, connect(proxy) as client:
        assert fetch_value(client, "SELECT 1") == 1
        proxy.target = find_free_port()
        with pytest.raises(psycopg.OperationalError) as caught:
            client.execute("SELECT 1")
        assert caught.value.sqlstate == "08000"
    with run_proxy(find_free_port(), borrow_timeout_s=10) as proxy, ThreadPoolExecutor(1) as pool:
        connecting = pool.submit(connect, proxy)
        sleep(0.1)
        assert not connecting.done()
        proxy.target = postgres.server.port
        with connecting.result() as client:
            assert fetch_value(client, "SELECT 1") == 1


def test_another_target_is_for_everyone_at_once(proxy: Proxy, postgres: PostgresHandle) -> None:
    """Clients in a transaction are cut off; others notice nothing."""
    with connect(proxy) as idle, connect(proxy) as busy:
        before = fetch_value(idle, "SELECT pg_backend_pid()")
        busy.execute("BEGIN")
        proxy.target = postgres.server.port
        with pytest.raises(psycopg.OperationalError):
            busy.execute("SELECT 1")
        assert fetch_value(idle, "SELECT pg_backend_pid()") != before
