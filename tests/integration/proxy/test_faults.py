"""Each fault of a connection to the proxy strikes exactly where it was asked for."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import psycopg
import pytest

from local.database_proxy import framing
from local.database_proxy.faults import Direction
from local.database_proxy.proxy import Proxy, run_proxy
from tests.databases import PostgresHandle

SILENCE_S = 0.3
LONG_S = 10.0


@pytest.fixture
def proxy(postgres: PostgresHandle) -> Iterator[Proxy]:
    with run_proxy(postgres.server.port, max_connections=2, borrow_timeout_s=LONG_S) as running:
        yield running
        assert running.crashes == []


def open_line(proxy: Proxy) -> socket.socket:
    """Return a client's bare line, signed in."""
    client = socket.create_connection(("127.0.0.1", proxy.port), LONG_S)
    client.sendall(framing.build_startup({"user": "postgres", "database": "postgres"}))
    answer(client)
    return client


def answer(client: socket.socket) -> bytes:
    """Return all that comes until ReadyForQuery, or until the end of the line."""
    received = b""
    while not received.endswith(framing.IDLE):
        piece = client.recv(65536)
        if not piece:
            break
        received += piece
    return received


ASK = framing.build_query("SELECT 1")


@pytest.fixture
def whole(proxy: Proxy) -> bytes:
    """Return the whole answer to a question."""
    client = open_line(proxy)
    client.sendall(ASK)
    return answer(client)


@pytest.mark.parametrize("after", [0, 1, 5, 17])
def test_an_answer_is_cut_after_the_byte_that_was_named(proxy: Proxy, whole: bytes, after: int) -> None:
    """Counted from the moment it was asked for; one line only, and the next is whole."""
    client, other = open_line(proxy), open_line(proxy)
    with proxy.faults.cut("to_client", after) as cut:
        client.sendall(ASK)
        assert (answer(client), cut.done) == (whole[:after], 1)
        other.sendall(ASK)
        assert (answer(other), cut.done) == (whole, 1)


def test_an_answer_may_be_cut_after_its_last_byte(proxy: Proxy, whole: bytes) -> None:
    """The client has all of it, and finds the line closed when it asks again."""
    client = open_line(proxy)
    with proxy.faults.cut("to_client", len(whole)):
        client.sendall(ASK)
        assert (answer(client), client.recv(1)) == (whole, b"")


@pytest.mark.parametrize(("after", "asked"), [(0, 0), (len(ASK) - 1, 0), (len(ASK), 1)])
def test_a_question_is_cut_after_the_byte_that_was_named(proxy: Proxy, after: int, asked: int) -> None:
    """The server does what arrived whole, and nothing else."""
    client = open_line(proxy)
    with proxy.faults.cut("to_server", after) as cut:
        client.sendall(ASK)
        assert (answer(client), cut.done, proxy.counts.round_trips) == (b"", 1, asked)


def test_every_connection_may_be_cut(proxy: Proxy) -> None:
    """The fault cuts any number of connections."""
    clients = [open_line(proxy) for _ in range(3)]
    with proxy.faults.cut("to_server", 0, connections=None) as cut:
        for client in clients:
            client.sendall(ASK)
            assert answer(client) == b""
        assert cut.done == 3


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_a_delay_keeps_the_order_and_loses_nothing(proxy: Proxy, whole: bytes, direction: Direction) -> None:
    """This holds for what is sent after the delay has ended, and for an error before the connection's end."""
    client = open_line(proxy)
    began = monotonic()
    with proxy.faults.delay_data(SILENCE_S, direction):
        for _ in range(3):
            client.sendall(ASK)
            assert answer(client) == whole
        assert monotonic() - began >= 3 * SILENCE_S
        with pytest.raises(psycopg.OperationalError, match="Feature not supported"):
            psycopg.connect(f"host=127.0.0.1 port={proxy.port} user=postgres options=-cjit=off")
    client.sendall(ASK)
    assert answer(client) == whole


def test_a_black_hole_silences_open_and_new_connections(proxy: Proxy, whole: bytes) -> None:
    """They are accepted and acknowledged, and hear nothing, also after it; new ones are served then."""
    client = open_line(proxy)
    with proxy.faults.discard_data():
        client.sendall(ASK)
        late = socket.create_connection(("127.0.0.1", proxy.port))
        late.sendall(framing.build_startup({"user": "postgres"}))
        for silent in (client, late):
            silent.settimeout(SILENCE_S)
            with pytest.raises(TimeoutError):
                silent.recv(1)
    client.sendall(ASK)
    with pytest.raises(TimeoutError):
        client.recv(1)
    fresh = open_line(proxy)
    fresh.sendall(ASK)
    assert answer(fresh) == whole


def test_a_black_hole_for_answers_lets_the_work_be_done(proxy: Proxy) -> None:
    """The server connection is given back; only the client does not learn of it."""
    client = open_line(proxy)
    with proxy.faults.discard_data("to_client"):
        client.sendall(ASK)
        client.settimeout(SILENCE_S)
        with pytest.raises(TimeoutError):
            client.recv(1)
    assert (proxy.counts.transactions, proxy.counts.borrowed) == (1, 0)


def test_who_connects_may_be_refused(proxy: Proxy) -> None:
    """The kernel refuses them, as on a port without a server; connected clients stay. Afterwards it listens again."""
    client = open_line(proxy)
    with proxy.refuse_connections():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", proxy.port))
        client.sendall(ASK)
        assert answer(client) != b""
    open_line(proxy)


def test_all_connections_may_be_cut_at_once(proxy: Proxy, postgres: PostgresHandle) -> None:
    """The fault cuts the connections to one database or all of them, in the middle of their work."""
    client, other = open_line(proxy), open_line(proxy)
    assert proxy.cut_all("no_such_database") == 0
    with ThreadPoolExecutor(1) as pool:
        client.sendall(framing.build_query("SELECT pg_sleep(60)"))
        waiting = pool.submit(answer, client)
        assert proxy.cut_all("postgres") == 2
        assert (waiting.result(LONG_S), other.recv(1)) == (b"", b"")
    postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'")


def test_traffic_is_seen_by_type_and_length_alone(proxy: Proxy, whole: bytes) -> None:
    """A test can therefore cut between two messages, or in one."""
    client = open_line(proxy)
    with proxy.watch_traffic() as traffic:
        client.sendall(ASK)
        answer(client)
    assert traffic.to_server == [("Q", len(ASK))]
    assert "".join(kind for kind, _ in traffic.to_client) == "TDCZ"
    assert sum(length for _, length in traffic.to_client) == len(whole)
