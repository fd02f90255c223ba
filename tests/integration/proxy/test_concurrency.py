"""Fifty environments share ten server connections: they queue, and get a 503 before their deadline if none is free."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from time import monotonic, sleep

import psycopg
import pytest

from local.database_proxy.proxy import Proxy
from members.app import api
from shared.database.pipeline import Database
from tests.api_client import ApiClient, ApiReply
from tests.databases import IS_PIPELINED, FreshDatabase, PostgresHandle, run_tls_proxy
from tests.integration.function_client import make_client
from tests.measurements import record
from tests.roles import RoleConnector
from tests.sample_people import make_person

pytestmark = pytest.mark.timed

ENVIRONMENTS, CONNECTIONS, EACH = 50, 10, 4
TABLES = ("accounts", "members", "subscriptions", "audit", "idempotency_keys")
BORROW_TIMEOUT_S = 0.5
LONG_S = 10.0
SLACK_S = 2.0  # for a busy machine


@pytest.fixture
def proxy(postgres: PostgresHandle) -> Iterator[Proxy]:
    with run_tls_proxy(postgres.server.port, max_connections=CONNECTIONS, borrow_timeout_s=60) as running:
        yield running
        assert (dict(running.counts.pins), dict(running.counts.changed_settings), running.read_session_state()) == (
            {},
            {},
            [],
        )
        assert running.crashes == []


def make_environment(fresh_database: FreshDatabase, proxy: Proxy) -> ApiClient:
    """Return the members function in an environment of its own, behind the proxy."""
    settings = fresh_database.settings.model_copy(update={"db_port": proxy.port})
    return make_client(api, fresh_database, database=Database(RoleConnector(settings)))


@contextmanager
def borrow_all(fresh_database: FreshDatabase, proxy: Proxy) -> Iterator[None]:
    """Within the block every server connection is in somebody's transaction."""
    conninfo = f"host=127.0.0.1 port={proxy.port} user=interdomestik_members dbname={fresh_database.name}"
    with ExitStack() as held:
        for _ in range(CONNECTIONS):
            connection = held.enter_context(psycopg.connect(conninfo, prepare_threshold=None))
            connection.execute("SELECT 1")
        yield


def test_fifty_environments_queue_for_ten_connections(fresh_database: FreshDatabase, proxy: Proxy) -> None:
    """All at once, several registrations each: every one succeeds, and never more than ten connections are borrowed."""
    clients = [make_environment(fresh_database, proxy) for _ in range(ENVIRONMENTS)]
    before = {table: fresh_database.count(table) for table in TABLES}

    def register_members(client: ApiClient) -> list[int]:
        return [client.call("POST", "/members", make_person(), key=f"{id(client)}-{n}").status for n in range(EACH)]

    began = monotonic()
    with ThreadPoolExecutor(ENVIRONMENTS) as pool:
        statuses = [status for each in pool.map(register_members, clients) for status in each]
    took = monotonic() - began
    assert statuses == [201] * (ENVIRONMENTS * EACH)
    assert {fresh_database.count(table) - before[table] for table in TABLES} == {ENVIRONMENTS * EACH}
    counts = proxy.counts
    assert counts.borrowed_max <= CONNECTIONS
    assert counts.waiting_max > 0
    assert counts.transactions >= ENVIRONMENTS * EACH
    assert not IS_PIPELINED or counts.round_trips == counts.transactions
    record(
        "connection_queue", environments=ENVIRONMENTS, connections=CONNECTIONS,
        registrations=len(statuses), succeeded=statuses.count(201), borrowed_max=counts.borrowed_max,
        waiting_max=counts.waiting_max, per_second=round(len(statuses) / took),
    )  # fmt: skip


def test_past_the_borrow_timeout_the_answer_is_503_and_the_repeat_succeeds(
    fresh_database: FreshDatabase, postgres: PostgresHandle
) -> None:
    """The 503 has Retry-After and nothing was done; the same key succeeds once there is a connection."""
    body, key = make_person(), "held"
    with run_tls_proxy(postgres.server.port, max_connections=CONNECTIONS, borrow_timeout_s=BORROW_TIMEOUT_S) as proxy:
        client = make_environment(fresh_database, proxy)
        before = fresh_database.count("members")
        with borrow_all(fresh_database, proxy):
            refused = client.call("POST", "/members", body, key=key)
            assert (refused.status, refused.problem) == (503, "unavailable")
            assert int(refused.headers["Retry-After"]) >= 1
            assert (fresh_database.count("members"), proxy.counts.borrow_timeouts >= 1) == (before, True)
        assert client.call("POST", "/members", body, key=key).status == 201
        again = client.call("POST", "/members", body, key=key)
    assert (again.status, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert fresh_database.count("members") == before + 1


def test_concurrent_calls_that_can_not_be_served_are_answered_before_their_deadline(
    fresh_database: FreshDatabase, postgres: PostgresHandle
) -> None:
    """Fifty at once and every connection held: each waits, then gets its 503, none hangs; then all succeed."""
    seconds = 4.0
    with run_tls_proxy(postgres.server.port, max_connections=CONNECTIONS, borrow_timeout_s=BORROW_TIMEOUT_S) as proxy:
        clients = [make_environment(fresh_database, proxy) for _ in range(ENVIRONMENTS)]
        for client in clients:
            client.seconds = seconds

        def call(client: ApiClient) -> tuple[ApiReply, float]:
            began = monotonic()
            own = f"{id(client)}"
            reply = client.call("POST", "/members", make_person(email=f"{own}@example.test"), key=own)
            return reply, monotonic() - began

        before = fresh_database.count("members")
        with ThreadPoolExecutor(ENVIRONMENTS) as pool:
            with borrow_all(fresh_database, proxy):
                refused = list(pool.map(call, clients))
            assert {(reply.status, reply.problem) for reply, _ in refused} == {(503, "unavailable")}
            assert all("Retry-After" in reply.headers for reply, _ in refused)
            assert max(took for _, took in refused) < seconds + SLACK_S
            assert proxy.counts.waiting_max > 0
            assert {reply.status for reply, _ in pool.map(call, clients)} == {201}
    assert fresh_database.count("members") == before + ENVIRONMENTS


def test_a_connection_that_is_given_back_in_time_serves_who_waits(fresh_database: FreshDatabase, proxy: Proxy) -> None:
    """Waiting is no failure: the call takes as long as the others, and succeeds at its first try."""
    client = make_environment(fresh_database, proxy)
    with ThreadPoolExecutor(1) as pool:
        with borrow_all(fresh_database, proxy):
            waiting = pool.submit(client.call, "POST", "/members", make_person(), key="patient")
            limit = monotonic() + LONG_S
            while proxy.counts.waiting == 0:
                assert monotonic() < limit
                sleep(0.005)
            assert not waiting.done()
        assert waiting.result().status == 201
    assert proxy.counts.borrow_timeouts == 0
