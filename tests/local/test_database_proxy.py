"""The proxy as a process of its own: what its control port reports, and what each lever does to real clients."""

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest

from local.processes import ChildProcess, spawn
from tests.databases import PostgresHandle, start_postgres
from tests.services import ROOT, find_free_port

LISTENING = re.compile(r"listening (\d+) control (http://127\.0\.0\.1:\d+)\n")
READY_S = 30.0
LIMIT = 4
BORROW_TIMEOUT_S = 0.5
DELAY_S = 0.3
Connection = psycopg.Connection[tuple[Any, ...]]


class ProxyProcess:
    """The process, with its target's clients."""

    def __init__(self, target: int, folder: Path, *more: str) -> None:
        self.log = folder / "proxy.log"
        options = ["--port", "0", "--control", "0", "--target", str(target)]
        limits = ["--max-connections", str(LIMIT), "--borrow-timeout", str(BORROW_TIMEOUT_S)]
        command = [str(ROOT / ".venvs/local/bin/python"), "-m", "local.database_proxy", *options, *limits, *more]
        self.child: ChildProcess = spawn("proxy", command, log=self.log, cwd=ROOT, env={"PATH": "/usr/bin:/bin"})
        self.child.wait_until(lambda: LISTENING.fullmatch(self.log.read_text()) is not None, READY_S)
        found = LISTENING.fullmatch(self.log.read_text())
        assert found
        self.port, self.control = int(found[1]), found[2]

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
        """Ask the control port and return its answer. Raise HTTPError."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.control}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def request_status(self, method: str, path: str, body: object = None, **headers: str) -> int:
        """Ask the control port and return the status alone."""
        try:
            self.ask(method, path, body, **headers)
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    @property
    def counts(self) -> dict[str, Any]:
        """The figures."""
        return self.ask("GET", "/counts")

    def connect(self) -> Connection:
        """Return a client."""
        conninfo = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres connect_timeout=5"
        return psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)

    @contextmanager
    def lend(self, number: int) -> Iterator[list[Connection]]:
        """Within the block `clients` clients are each in a transaction; then they hang up."""
        with ExitStack() as held:
            clients = [held.enter_context(closing(self.connect())) for _ in range(number)]
            for client in clients:
                client.execute("BEGIN")
            yield clients


def wait_until(true: Callable[[], bool], otherwise: str) -> None:
    """Return when it is true."""
    end = monotonic() + READY_S
    while not true():
        assert monotonic() < end, otherwise
        sleep(0.02)


@pytest.fixture
def proxy_process(postgres: PostgresHandle, tmp_path: Path) -> Iterator[ProxyProcess]:
    """Yield a proxy of the test's own, which ends in order and has had no trouble of its own."""
    running = ProxyProcess(postgres.server.port, tmp_path)
    try:
        yield running
        assert running.counts["crashes"] == []
    finally:
        running.child.stop()
    assert running.child.process.returncode == 0


def test_with_certificates_it_is_reached_by_tls_alone(postgres: PostgresHandle, tmp_path: Path) -> None:
    """`make up` starts it so: under an authority that it has made, for many clients at once."""
    running = ProxyProcess(postgres.server.port, tmp_path, "--certificates", str(tmp_path / "certificates"))
    conninfo = f"host=127.0.0.1 port={running.port} user=postgres dbname=postgres"
    authority = tmp_path / "certificates/authority.pem"

    def run_query(number: int) -> int:
        with psycopg.connect(
            f"{conninfo} sslmode=verify-full sslrootcert={authority}", prepare_threshold=None
        ) as client:
            row = client.execute("SELECT %s::int", [number]).fetchone()
            assert row is not None
            return int(row[0])

    try:
        with ThreadPoolExecutor(10) as pool:
            assert list(pool.map(run_query, range(100))) == list(range(100))
        with pytest.raises(psycopg.OperationalError, match="requires TLS"):
            psycopg.connect(f"{conninfo} sslmode=disable")
        assert running.counts["crashes"] == []
    finally:
        running.child.stop()
    assert running.child.process.returncode == 0


def test_the_proxy_reports_all_that_is_counted(proxy_process: ProxyProcess, postgres: PostgresHandle) -> None:
    """Figures of this moment, totals, maxima, and where it leads."""
    with proxy_process.lend(2), closing(proxy_process.connect()) as other:
        other.execute("SELECT 1")
        other.execute("SET application_name = 'changed'")
        counts = proxy_process.counts
    expected = {"clients": 3, "borrowed": 3, "borrowed_max": 3, "waiting": 0, "waiting_max": 0, "borrow_timeouts": 0}
    assert {name: counts[name] for name in expected} == expected
    assert counts["pins"] == {"SET": 1}
    assert (counts["server_connections"], counts["max_connections"]) == (3, LIMIT)
    assert (counts["target"], counts["transactions"], counts["round_trips"]) == (postgres.server.port, 2, 4)


def test_counts_begin_anew(proxy_process: ProxyProcess) -> None:
    """Totals from 0; a maximum from what is borrowed now, not from 0."""
    with proxy_process.lend(1):
        with proxy_process.lend(2):
            pass
        wait_until(lambda: proxy_process.counts["borrowed"] == 1, "two were not given back")
        assert proxy_process.counts["borrowed_max"] == 3
        counts = proxy_process.ask("POST", "/counts/reset")
    assert (counts["borrowed_max"], counts["transactions"], counts["round_trips"]) == (1, 0, 0)


def test_a_lower_limit_closes_idle_connections_now_and_borrowed_ones_when_they_are_free(
    proxy_process: ProxyProcess,
) -> None:
    """Nobody is interrupted; who comes meanwhile waits, and past the borrow timeout gets an error."""
    with proxy_process.lend(LIMIT) as clients:
        clients[0].execute("COMMIT")
        clients[1].execute("COMMIT")
        assert proxy_process.counts["server_connections"] == LIMIT
        assert proxy_process.ask("PUT", "/limit", {"max_connections": 1}) == {"max_connections": 1}
        assert proxy_process.counts["server_connections"] == 2
        with proxy_process.connect() as late, pytest.raises(psycopg.OperationalError, match="Timed-out waiting"):
            late.execute("SELECT 1")
        assert proxy_process.counts["borrow_timeouts"] == 1
        clients[2].execute("COMMIT")
        assert proxy_process.counts["server_connections"] == 1
        clients[3].execute("COMMIT")
        assert proxy_process.counts["server_connections"] == 1


def test_a_higher_limit_lets_in_who_waits(proxy_process: ProxyProcess) -> None:
    """Waiting clients are let in at once."""
    proxy_process.ask("PUT", "/limit", {"max_connections": 1})
    with proxy_process.lend(1), closing(proxy_process.connect()) as late:
        late.pgconn.send_query(b"SELECT 1")
        wait_until(lambda: proxy_process.counts["waiting"] == 1, "nobody waits")
        proxy_process.ask("PUT", "/limit", {"max_connections": 2})
        answer = late.pgconn.get_result()
        assert answer is not None
        assert answer.status == psycopg.pq.ExecStatus.TUPLES_OK


def test_every_connection_is_cut(proxy_process: ProxyProcess) -> None:
    """Idle and busy connections are cut, and a client that connects again is served."""
    with proxy_process.lend(1), closing(proxy_process.connect()) as idle:
        assert proxy_process.ask("POST", "/cut") == {"cut": 2}
        with pytest.raises(psycopg.OperationalError):
            idle.execute("SELECT 1")
    wait_until(lambda: proxy_process.counts["clients"] == 0, "a client is left")
    with proxy_process.connect() as again:
        assert again.execute("SELECT 1").fetchone() == (1,)


def test_a_change_of_target_leads_idle_clients_to_the_other_server(proxy_process: ProxyProcess, tmp_path: Path) -> None:
    """Their next transaction goes there, on the same connection."""
    other = start_postgres(tmp_path / "other")
    try:
        with proxy_process.connect() as idle:
            idle.execute("SELECT 1")
            assert proxy_process.ask("PUT", "/target", {"port": other.server.port}) == {"port": other.server.port}
            assert idle.execute("SELECT inet_server_port()").fetchone() == (other.server.port,)
            assert proxy_process.counts["target"] == other.server.port
    finally:
        other.child.stop()


def test_after_a_change_of_target_nobody_is_on_the_former_server(
    proxy_process: ProxyProcess, postgres: PostgresHandle
) -> None:
    """It may still take writes, so whoever had a transaction there has lost it: also a client that does not read."""
    with closing(proxy_process.connect()) as stalled:
        stalled.pgconn.send_query(b"BEGIN; SELECT /* stalled */ repeat('x', 500000) FROM generate_series(1, 60)")
        wait_until(
            lambda: list_session_states(postgres, "stalled") == ["idle in transaction"],
            "the answer has not come to the proxy",
        )
        proxy_process.ask("PUT", "/target", {"port": find_free_port()})
        wait_until(lambda: list_session_states(postgres, "stalled") == [], "it is still there")


def list_session_states(postgres: PostgresHandle, mark: str) -> list[str]:
    """Return the states of a server's sessions whose last statement had that mark."""
    with psycopg.connect(postgres.build_conninfo(user="postgres", dbname="postgres")) as connection:
        query = "SELECT state FROM pg_stat_activity WHERE query LIKE %s AND pid <> pg_backend_pid()"
        return [state for (state,) in connection.execute(query, [f"%/* {mark} */%"])]


def test_a_closed_door_refuses_and_leaves_who_is_inside(proxy_process: ProxyProcess) -> None:
    """Asked twice it is the same; opened again, the port is the same."""
    with proxy_process.connect() as inside:
        for _ in range(2):
            proxy_process.ask("PUT", "/listening", {"listening": False})
        with pytest.raises(psycopg.OperationalError, match="refused"):
            proxy_process.connect()
        assert inside.execute("SELECT 1").fetchone() == (1,)
        for _ in range(2):
            proxy_process.ask("PUT", "/listening", {"listening": True})
        proxy_process.connect().close()


def test_a_delay_is_added_both_ways_until_it_is_taken_back(proxy_process: ProxyProcess) -> None:
    """A question and its answer: at least twice the delay."""
    with proxy_process.connect() as client:
        client.execute("SELECT 1")
        proxy_process.ask("PUT", "/delay", {"seconds": DELAY_S})
        began = monotonic()
        client.execute("SELECT 1")
        delayed = monotonic() - began
        proxy_process.ask("PUT", "/delay", {"seconds": 0})
        began = monotonic()
        client.execute("SELECT 1")
        assert delayed >= 2 * DELAY_S > monotonic() - began


def test_a_black_hole_swallows_and_gives_nothing_back(proxy_process: ProxyProcess) -> None:
    """Clients that asked during the fault never get an answer; later ones are served."""
    with closing(proxy_process.connect()) as client:
        proxy_process.ask("PUT", "/black-hole", {"on": True})
        client.pgconn.send_query(b"SELECT 1")
        before = proxy_process.counts["round_trips"]
        proxy_process.ask("PUT", "/black-hole", {"on": False})
        with proxy_process.connect() as later:
            assert later.execute("SELECT 1").fetchone() == (1,)
        assert client.pgconn.is_busy()
        assert proxy_process.counts["round_trips"] == before + 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/limit", {}),
        ("/limit", {"max_connections": 0}),
        ("/limit", {"max_connections": True}),
        ("/limit", [10]),
        ("/target", {"port": 70000}),
        ("/listening", {"listening": "no"}),
        ("/delay", {"seconds": -1}),
        ("/delay", {"seconds": "NaN"}),
        ("/black-hole", {"on": 1}),
    ],
)
def test_a_request_that_can_not_be_read_changes_nothing(proxy_process: ProxyProcess, path: str, body: object) -> None:
    """400, and the same figures as before."""
    before = proxy_process.counts
    assert proxy_process.request_status("PUT", path, body) == 400
    assert proxy_process.counts == before


def test_a_web_page_of_elsewhere_is_refused(proxy_process: ProxyProcess) -> None:
    """Its Origin, or another name of this host, gives it away; its request is not carried out."""
    with proxy_process.connect() as client:
        assert proxy_process.request_status("POST", "/cut", Origin="https://example.test") == 403
        assert proxy_process.request_status("GET", "/counts", Host="example.test") == 403
        assert client.execute("SELECT 1").fetchone() == (1,)
    assert proxy_process.request_status("GET", "/cut") == 404


def test_a_port_that_is_taken_is_one_line(proxy_process: ProxyProcess) -> None:
    """The program ends with status 1."""
    python = str(ROOT / ".venvs/local/bin/python")
    options = ["--port", str(proxy_process.port), "--control", "0", "--target", "1", "--max-connections", "1"]
    command = [python, "-m", "local.database_proxy", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=READY_S)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("database proxy: ")
