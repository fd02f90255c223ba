"""The fleet's connections to the database at the deployed setting, with more calls at once than there are of them."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from local.postgres import DATABASE
from local.state_folder import StateFolder
from tests.e2e.cloud import ROOT, RunningCloud, get_next_serial, wait_until
from tests.e2e.test_concurrency import count_statuses, prepare_post, run_at_once
from tests.roles import LIMITED, SESSION_OF_A_FUNCTION
from tests.sample_people import make_applicant, make_person

CONNECTIONS = 50  # what is deployed by default; docs/decisions/0017
EACH = 30  # calls at one instant to each of two functions
HELD_S = 1.0  # how long a write holds its connection
SLOW = f"""
CREATE OR REPLACE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep({HELD_S}); RETURN NEW; END $$;
CREATE OR REPLACE TRIGGER held BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION held()
"""
NORMAL = "DROP TRIGGER IF EXISTS held ON audit; DROP FUNCTION IF EXISTS held()"
SESSIONS = f"SELECT count(*) AS n FROM pg_stat_activity WHERE {SESSION_OF_A_FUNCTION}"


def read_counts(cloud: RunningCloud) -> dict[str, Any]:
    """Return what the stand-in for RDS Proxy has counted."""
    port = StateFolder(ROOT, cloud.folder).read_state().ports["database_proxy_control"]
    found: dict[str, Any] = httpx.get(f"http://127.0.0.1:{port}/counts").json()
    return found


def reset_counts(cloud: RunningCloud) -> None:
    """Count anew."""
    port = StateFolder(ROOT, cloud.folder).read_state().ports["database_proxy_control"]
    httpx.post(f"http://127.0.0.1:{port}/counts/reset").raise_for_status()


@pytest.fixture
def slow(cloud: RunningCloud) -> Iterator[None]:
    """Within the test each write holds its connection for a known time."""
    cloud.query_rows(SLOW)
    yield
    cloud.query_rows(NORMAL)


@contextmanager
def sample_sessions(cloud: RunningCloud) -> Iterator[list[int]]:
    """Yield a growing list: how many sessions PostgreSQL has for the functions' role, some times a second."""
    seen: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.05):
            seen.append(cloud.query_rows(SESSIONS)[0]["n"])

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            yield seen
        finally:
            done.set()
            looking.result()


def make_callers(cloud: RunningCloud, count: int) -> list[httpx.Client]:
    """Return clients at as many addresses, none of which has called before."""
    network = 40 + get_next_serial() % 50
    return [cloud.make_client(f"127.0.{network}.{n}") for n in range(2, count + 2)]


def test_a_look_of_the_tests_takes_no_session_of_the_limit(cloud: RunningCloud) -> None:
    """Otherwise a test that queries eight times at once can be refused while the fleet uses all its connections."""
    limit = cloud.query_rows("SELECT datconnlimit AS n FROM pg_database WHERE datname = current_database()")[0]["n"]
    cloud.query_rows(f"ALTER DATABASE {DATABASE} CONNECTION LIMIT 0")
    try:
        assert cloud.query_rows("SELECT 1 AS n") == [{"n": 1}]
    finally:
        cloud.query_rows(f"ALTER DATABASE {DATABASE} CONNECTION LIMIT {limit}")


@pytest.mark.usefixtures("slow")
def test_sixty_calls_at_one_instant_use_fifty_connections(cloud: RunningCloud) -> None:
    """All are served, the rest waits its turn; neither PostgreSQL nor the pool has seen more than are deployed."""
    for path, body in (("/agents", make_applicant), ("/members", make_person)):
        run_at_once([prepare_post(client, path, body()) for client in make_callers(cloud, EACH)])  # starts environments
        time.sleep(2 * EACH / 25)  # until the method's burst is whole again
    reset_counts(cloud)
    bodies = [("/agents", make_applicant()) if n % 2 else ("/members", make_person()) for n in range(2 * EACH)]
    with sample_sessions(cloud) as sessions:
        replies = run_at_once(
            [prepare_post(c, *body) for c, body in zip(make_callers(cloud, 2 * EACH), bodies, strict=True)]
        )
    seen = read_counts(cloud)

    assert count_statuses(replies) == {201: 2 * EACH}
    assert seen["max_connections"] == CONNECTIONS
    assert max(*sessions, seen["open_max"], seen["borrowed_max"]) <= CONNECTIONS
    assert (seen["borrow_timeouts"], seen["crashes"]) == (0, [])
    limits = cloud.query_rows("SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname = ANY(%s)", LIMITED)
    assert {row["rolname"]: row["rolconnlimit"] for row in limits} == dict.fromkeys(LIMITED, CONNECTIONS)
    time.sleep(EACH / 25)  # the methods' bursts are whole again for the next test


def test_idle_connections_are_closed_until_health_is_well(cloud: RunningCloud) -> None:
    """After a burst the pool keeps half of them at most, so that idle connections do not degrade health."""

    def read_connections() -> dict[str, Any] | None:
        report = cloud.make_client().get("/health/deep").json()
        time.sleep(5)  # the same answer is kept for this long
        connections: dict[str, Any] = report["checks"]["database"]["connections"]
        return connections if connections["used"] <= CONNECTIONS / 2 + 2 else None

    assert wait_until(read_connections, "idle connections to be closed")["max"] == CONNECTIONS
