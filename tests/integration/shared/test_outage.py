"""A total outage of the database: hardly a call more than there are requests, and every request answered in time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest

from local.database_proxy.proxy import Proxy
from members.app import api
from shared.clock import read_monotonic
from shared.database.connection import Connection, ConnectionHolder
from shared.database.pipeline import Database
from tests.api_client import ApiClient
from tests.databases import FreshDatabase, run_tls_proxy
from tests.integration.function_client import get_next_serial, make_client
from tests.measurements import record
from tests.roles import RoleConnector
from tests.sample_people import make_person

pytestmark = pytest.mark.timed

ENVIRONMENTS = 10
SECONDS = 3.0  # that the runtime has left for a request


@contextmanager
def refuse_connections(proxy: Proxy) -> Iterator[None]:
    """Nobody listens, and who was connected is cut off."""
    with proxy.refuse_connections():
        proxy.cut_all()
        yield


def cut_short(proxy: Proxy) -> AbstractContextManager[object]:
    """Cut every connection with its first answer."""
    return proxy.faults.cut("to_client", 1, connections=None)


def black_hole(proxy: Proxy) -> AbstractContextManager[object]:
    """Make the proxy acknowledge what is sent, and lose it."""
    return proxy.faults.discard_data()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return when the database was called: each time a transaction asked for its connection."""
    made: list[float] = []
    borrow = ConnectionHolder.borrow

    def count_borrow(self: ConnectionHolder, within_s: float) -> Connection:
        made.append(read_monotonic())
        return borrow(self, within_s)

    monkeypatch.setattr(ConnectionHolder, "borrow", count_borrow)  # not those of RoleConnector, which leads to it
    return made


def start_environments(fresh_database: FreshDatabase, proxy: Proxy) -> list[ApiClient]:
    """Return several environments, each connected and at work."""
    settings = fresh_database.settings.model_copy(update={"db_port": proxy.port})
    connectors = [RoleConnector(settings) for _ in range(ENVIRONMENTS)]
    made = [make_client(api, fresh_database, database=Database(connector)) for connector in connectors]
    for client in made:
        client.seconds = SECONDS
        assert client.call("POST", "/members", make_person(), key=f"before-{get_next_serial()}").status == 201
    return made


def make_requests(client: ApiClient, count: int) -> list[tuple[int, str, bool]]:
    """Make `count` requests one after the other; return status, problem, and whether the answer came in time."""
    seen = []
    for _ in range(count):
        began = read_monotonic()
        reply = client.call("POST", "/members", make_person(), key=f"request-{get_next_serial()}")
        seen.append((reply.status, reply.headers.get("Retry-After", ""), read_monotonic() - began < SECONDS))
    return seen


@pytest.mark.parametrize(
    ("outage", "each"),
    [(refuse_connections, 20), (cut_short, 20), (black_hole, 2)],
    ids=["refused", "cut", "black hole"],
)
def test_an_outage_is_not_amplified_and_every_request_answered_in_time(
    fresh_database: FreshDatabase,
    calls: list[float],
    outage: Callable[[Proxy], AbstractContextManager[object]],
    each: int,
) -> None:
    """503 with Retry-After, and at most a tenth more calls than requests; then all goes on as before."""
    with ExitStack() as stack:
        proxy = stack.enter_context(run_tls_proxy(fresh_database.postgres.server.port, max_connections=ENVIRONMENTS))
        pool = stack.enter_context(ThreadPoolExecutor(ENVIRONMENTS))
        clients = start_environments(fresh_database, proxy)
        calls.clear()
        with outage(proxy):
            answers = [one for seen in pool.map(lambda c: make_requests(c, each), clients) for one in seen]
        assert set(answers) == {(503, "1", True)}
        record("outage", kind=outage.__name__, requests=len(answers), calls=len(calls))
        assert len(calls) <= 1.1 * len(answers)
        after = [one for seen in pool.map(lambda c: make_requests(c, 1), clients) for one in seen]
        assert {status for status, _, _ in after} == {201}
