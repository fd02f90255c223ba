"""`local up` with what a readiness run asks for besides, each seen from the functions' side."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import psycopg
import pytest

from local.postgres import DATABASE
from local.state_folder import StateFolder
from tests.e2e.cloud import ROOT, STOP_S, RunningCloud, run_cloud, wait_until
from tests.roles import SESSION_OF_A_FUNCTION
from tests.sample_people import make_person

CONNECTIONS = 7
# A commit that waits for the lost standby does not see that its client is gone; it is confirmed to nobody.
AT_WORK = f"""
SELECT query FROM pg_stat_activity
WHERE {SESSION_OF_A_FUNCTION} AND wait_event IS DISTINCT FROM 'SyncRep'
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state folder that the tests of this module use one after the other."""
    return tmp_path_factory.mktemp("extras") / "state"


class FakeSes(BaseHTTPRequestHandler):
    """Takes what is sent to SES, and remembers where it was sent."""

    paths: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """The account: it may send."""
        self._answer({"SendingEnabled": True, "EnforcementStatus": "HEALTHY"})

    def do_POST(self) -> None:
        """A message."""
        self.paths.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"MessageId": "taken"})

    def _answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
        """Silent."""


@pytest.fixture(scope="module")
def mails() -> Iterator[str]:
    """Yield the address of a server that stands for SES."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeSes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def cloud(state: Path, mails: str) -> Iterator[RunningCloud]:
    """Yield a local cloud that has them all."""
    options = ["--parameter", f"DatabaseMaxConnections={CONNECTIONS}"]
    options += [
        "--variable",
        f"AWS_ENDPOINT_URL_SESV2={mails}",
        "--variable",
        "HealthFunction:SHADE=green",
        "--standby",
    ]
    with run_cloud(state, *options, "--standby") as started:
        yield started


def read_ports(state: Path) -> dict[str, int]:
    """Return the parts' ports."""
    return StateFolder(ROOT, state).read_state().ports


def call_proxy(state: Path, method: str, path: str, body: object = None) -> dict[str, Any]:
    """Call the proxy's control port; return its answer."""
    url = f"http://127.0.0.1:{read_ports(state)['database_proxy_control']}{path}"
    answer = httpx.request(method, url, json=body).raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def read_health(cloud: RunningCloud) -> str:
    """Return what the health function reports of the database."""
    return str(httpx.get(f"{cloud.url}/health/deep", timeout=60).json()["status"])


def test_the_functions_reach_the_database_through_the_proxy_and_nobody_else_does(
    cloud: RunningCloud, state: Path
) -> None:
    """The proxy counts the functions' transactions alone; migrations and psql go around it."""
    before = call_proxy(state, "GET", "/counts")
    assert cloud.query_rows("SELECT 1 AS one") == [{"one": 1}]
    assert read_health(cloud) == "healthy"
    after = call_proxy(state, "GET", "/counts")
    assert after["transactions"] > before["transactions"]
    assert (after["max_connections"], after["target"]) == (CONNECTIONS, read_ports(state)["postgres"])
    assert (after["pins"], after["changed_settings"]) == ({}, {})


def test_one_setting_sizes_the_pool_the_roles_limit_and_what_health_says(cloud: RunningCloud, state: Path) -> None:
    """The deployed one: nothing of the local cloud has a number of its own. A migration run leaves it so."""
    assert cloud.run_command("migrate").stdout == "nothing to apply\n"
    limit = query_server(
        state,
        "postgres",
        "SELECT DISTINCT rolconnlimit FROM pg_roles WHERE rolname LIKE 'interdomestik\\_%' AND rolcanlogin",
    )
    connections = httpx.get(f"{cloud.url}/health/deep", timeout=60).json()["checks"]["database"]["connections"]
    assert call_proxy(state, "GET", "/counts")["max_connections"] == CONNECTIONS
    assert (limit, connections["max"]) == ([(CONNECTIONS,)], CONNECTIONS)


def test_one_service_can_be_led_elsewhere_while_the_others_stay(cloud: RunningCloud) -> None:
    """The welcome of a new member goes to the server that was named for SES; admission and queues work as ever."""
    headers = {"Idempotency-Key": "welcomed"}
    assert httpx.post(f"{cloud.url}/members", json=make_person(), headers=headers, timeout=60).status_code == 201
    assert wait_until(lambda: FakeSes.paths, "the welcome")[0] == "/v2/email/outbound-emails"
    assert cloud.list_mails() == []


def test_a_variable_can_be_for_one_function(cloud: RunningCloud, state: Path) -> None:
    """It is no part of the stack: what was deployed stays, and the next start may name others."""
    assert read_health(cloud) == "healthy"
    assert read_environments(cloud, "HealthFunction")[0]["SHADE"] == "green"
    assert "SHADE" not in read_environments(cloud, "MembersFunction")[0]
    assert "SHADE" not in (state / "stack.json").read_text()


def read_environments(cloud: RunningCloud, function: str) -> list[dict[str, str]]:
    """Return the variables that the environments of a function see."""
    status = httpx.get(f"{cloud.origin}/_local/status").json()["functions"][function]
    texts = [Path(f"/proc/{each['pid']}/environ").read_text() for each in status["environments"]]
    return [dict(line.split("=", 1) for line in text.split("\0") if line) for text in texts]


def test_the_standby_takes_over_and_what_was_confirmed_is_there(cloud: RunningCloud, state: Path) -> None:
    """Promoted by SQL, led to by the proxy: the functions write there, nobody is at work on the former writer."""
    register(cloud, "before")
    assert query_server(state, "standby", "SELECT pg_promote()") == [(True,)]
    assert call_proxy(state, "PUT", "/target", {"port": read_ports(state)["standby"]}) == {
        "port": read_ports(state)["standby"]
    }
    register(cloud, "after")
    emails = [email for (email,) in query_server(state, "standby", "SELECT email FROM accounts ORDER BY created_at")]
    assert emails[-2:] == ["before@example.test", "after@example.test"]
    assert query_server(state, "postgres", "SELECT FROM accounts WHERE email LIKE 'after@%'") == []
    wait_until(lambda: query_server(state, "postgres", AT_WORK) == [], "the former writer's last session to end")


def register(cloud: RunningCloud, name: str) -> None:
    """A member, whatever the change of database costs in tries."""
    body, headers = make_person(email=f"{name}@example.test"), {"Idempotency-Key": name}
    send = partial(httpx.post, f"{cloud.url}/members", json=body, headers=headers, timeout=60)
    wait_until(lambda: send().status_code == 201, f"{name} to be registered")


def query_server(state: Path, server: str, query: str) -> list[tuple[Any, ...]]:
    """Return the result of a query on one of the servers."""
    conninfo = f"host=127.0.0.1 port={read_ports(state)[server]} user=postgres dbname={DATABASE}"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def test_a_crash_of_the_proxy_ends_the_cloud_and_the_next_start_may_do_without(
    cloud: RunningCloud, state: Path
) -> None:
    """Each part's crash ends the cloud; started without the proxy, functions connect to the database itself.

    No variable is left, and nothing waits for a standby.
    """
    pids = {child.name: child.pid for child in StateFolder(ROOT, state).read_state().children}
    os.kill(pids["database_proxy"], signal.SIGKILL)
    assert cloud.process.wait(STOP_S) == 1
    with run_cloud(state, "--no-database-proxy") as cloud:
        assert {"database_proxy", "database_proxy_control", "standby"}.isdisjoint(read_ports(state))
        assert read_database_ports(state) == {str(read_ports(state)["postgres"])}
        assert read_health(cloud) == "healthy"
        assert "SHADE" not in read_environments(cloud, "HealthFunction")[0]
        register(cloud, "alone")


def read_database_ports(state: Path) -> set[str]:
    """Return the ports at which the deployed functions look for the database."""
    functions = json.loads((state / "stack.json").read_text())["functions"]
    return {found["DB_PORT"] for function in functions if "DB_PORT" in (found := function["environment"])}
