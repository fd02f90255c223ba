"""`local up` with what a readiness run asks for besides, each seen from the functions' side."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.home import Home
from tests.e2e.cloud import ROOT, STOP_S, Cloud, running

CONNECTIONS = 7


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder that the tests of this module use one after the other."""
    return tmp_path_factory.mktemp("extras") / "state"


@pytest.fixture(scope="module")
def cloud(state: Path) -> Iterator[Cloud]:
    """A local cloud that has them all."""
    with running(state, "--database-proxy", "--database-connections", str(CONNECTIONS)) as started:
        yield started


def ports(state: Path) -> dict[str, int]:
    """The parts' ports."""
    return Home(ROOT, state).read().ports


def proxy(state: Path, method: str, path: str, body: object = None) -> dict[str, Any]:
    """What the proxy's control port answers."""
    url = f"http://127.0.0.1:{ports(state)['database_proxy_control']}{path}"
    answer = httpx.request(method, url, json=body).raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def health(cloud: Cloud) -> str:
    """What the health function says after a look at the database."""
    return str(httpx.get(f"{cloud.url}/health/deep", timeout=60).json()["status"])


def test_the_functions_reach_the_database_through_the_proxy_and_nobody_else_does(cloud: Cloud, state: Path) -> None:
    """Not the migrations, not a person's psql: the functions' transactions are all that it counts."""
    before = proxy(state, "GET", "/counts")
    assert cloud.rows("SELECT 1 AS one") == [{"one": 1}]
    assert health(cloud) == "healthy"
    after = proxy(state, "GET", "/counts")
    assert after["transactions"] > before["transactions"]
    assert (after["max_connections"], after["target"]) == (CONNECTIONS, ports(state)["postgres"])
    assert (after["pins"], after["state"]) == ({}, {})


def test_a_crash_of_the_proxy_ends_the_cloud_and_the_next_start_may_do_without(cloud: Cloud, state: Path) -> None:
    """As of any part; without it the functions go straight to the database again."""
    pids = {child.name: child.pid for child in Home(ROOT, state).read().children}
    os.kill(pids["database_proxy"], signal.SIGKILL)
    assert cloud.process.wait(STOP_S) == 1
    with running(state) as cloud:
        assert {"database_proxy", "database_proxy_control"}.isdisjoint(ports(state))
        assert database_ports(state) == {str(ports(state)["postgres"])}
        assert health(cloud) == "healthy"


def database_ports(state: Path) -> set[str]:
    """Where the deployed functions look for the database."""
    functions = json.loads((state / "stack.json").read_text())["functions"]
    return {function["environment"]["DB_PORT"] for function in functions}
