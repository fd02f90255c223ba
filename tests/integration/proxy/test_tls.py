"""The stand-in for RDS Proxy over TLS: it refuses plain clients as RDS Proxy does, and has the same faults."""

import socket
import ssl
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from local.database_proxy import framing
from local.database_proxy.proxy import Proxy
from shared.database.connection import ROOTS
from tests.databases import PostgresHandle, make_certificates, run_tls_proxy
from tests.integration.proxy.test_proxy import connect, fetch_value, wait_until

SSL_REQUEST = struct.pack("!II", 8, framing.SSL_REQUEST)
LONG_S = 20.0


@pytest.fixture
def proxy(postgres: PostgresHandle) -> Iterator[Proxy]:
    """Yield two server connections, and a second to wait for one."""
    with run_tls_proxy(postgres.server.port, max_connections=2, borrow_timeout_s=1) as running:
        yield running
        assert running.crashes == []


def connect_verified(proxy: Proxy) -> psycopg.Connection[tuple[Any, ...]]:
    """Return a client that trusts the authority of these tests alone."""
    return connect(proxy, sslmode="verify-full", sslrootcert=str(make_certificates().authority))


def test_a_session_is_encrypted_from_its_first_word(proxy: Proxy) -> None:
    """The client's name for the database, the statement and its answer."""
    with connect_verified(proxy) as client:
        assert client.pgconn.ssl_in_use
        assert fetch_value(client, "SELECT repeat('x', 1000000)") == "x" * 1_000_000


def test_many_at_once_get_their_own_sessions(proxy: Proxy) -> None:
    """Messages sent right behind the handshake are neither lost nor answered in the clear."""

    def query_number(number: int) -> bool:
        with connect_verified(proxy) as client:
            return bool(fetch_value(client, f"SELECT {number}") == number)

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(query_number, range(200)))


def test_who_comes_without_tls_is_refused(proxy: Proxy) -> None:
    """The refusal has RDS Proxy's words."""
    with pytest.raises(psycopg.OperationalError, match="This RDS Proxy requires TLS connections"):
        connect(proxy, sslmode="disable")


def test_what_is_sent_before_the_handshake_is_not_taken_for_encrypted(proxy: Proxy) -> None:
    """A statement in the clear, put before the client's by whoever stands between: the line is closed."""
    with socket.create_connection(("127.0.0.1", proxy.port), LONG_S) as line:
        line.sendall(SSL_REQUEST + framing.build_startup({"user": "postgres"}))
        assert line.recv(1024) == b""


def test_a_client_that_trusts_another_authority_leaves_nothing_behind(proxy: Proxy) -> None:
    """It hangs up during the handshake."""
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        connect(proxy, sslmode="verify-full", sslrootcert=str(ROOTS / "rds-proxy.pem"))
    assert wait_until(lambda: proxy.counts.clients == 0)


def begin_handshake(proxy: Proxy) -> socket.socket:
    """Return a line on which a client has asked for TLS and begun the handshake, which waits for its next words."""
    line = socket.create_connection(("127.0.0.1", proxy.port), LONG_S)
    line.sendall(SSL_REQUEST)
    assert line.recv(1) == b"S"
    sent = ssl.MemoryBIO()
    tls = ssl.create_default_context(cafile=str(make_certificates().authority))
    with pytest.raises(ssl.SSLWantReadError):
        tls.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="127.0.0.1").do_handshake()
    line.sendall(sent.read())
    assert line.recv(1, socket.MSG_PEEK)
    return line


def test_a_client_that_resets_the_connection_during_the_handshake_leaves_nothing_behind(proxy: Proxy) -> None:
    """A client whose time is over closes with the server's words unread, which resets the connection."""
    begin_handshake(proxy).close()
    assert wait_until(lambda: proxy.counts.clients == 0)


def test_a_client_that_is_cut_during_the_handshake_leaves_nothing_behind(proxy: Proxy) -> None:
    """It was not connected yet when the cut came."""
    with begin_handshake(proxy):
        assert proxy.cut_all() == 1
        assert wait_until(lambda: proxy.counts.clients == 0)


def test_a_cut_is_seen_by_the_client_at_once(proxy: Proxy) -> None:
    """An idle client sees it too, without sending anything."""
    with connect_verified(proxy) as client:
        fetch_value(client, "SELECT 1")
        assert proxy.cut_all() == 1
        with pytest.raises(psycopg.OperationalError):
            fetch_value(client, "SELECT 1")
    assert wait_until(lambda: proxy.counts.clients == 0)


def test_a_connection_that_is_cut_in_the_middle_of_an_answer_gives_no_answer(proxy: Proxy) -> None:
    """Counted in the bytes of the protocol, as without TLS."""
    with connect_verified(proxy) as client:
        fetch_value(client, "SELECT 1")
        with proxy.faults.cut("to_client", 30) as cut, pytest.raises(psycopg.OperationalError):
            fetch_value(client, "SELECT repeat('x', 1000)")
        assert cut.done == 1


def test_the_context_speaks_no_old_tls() -> None:
    """RDS Proxy takes 1.2 and 1.3."""
    assert make_certificates().build_server_context().minimum_version == ssl.TLSVersion.TLSv1_2
