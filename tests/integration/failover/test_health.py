"""Reports of a real failover: every environment makes one, and it is counted once."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from health.container import HealthContainer
from health.deep_check import CHECK_S
from shared.clock import read_monotonic, read_utc_now
from tests.api_client import ApiClient
from tests.databases import FreshDatabase, PostgresHandle
from tests.failover.relay import TcpRelay, relay_to
from tests.failover.servers import WriteProbe, kill, promote
from tests.integration.function_client import GENEROUS
from tests.integration.health.dependencies import make_health_client, make_resources, use_aws_at
from tests.services import EmulatorHandle

pytestmark = pytest.mark.timed

ENVIRONMENTS = 5
SLACK_S = 1.0  # five checks at once on a busy machine


@pytest.fixture
def relay(pair: tuple[FreshDatabase, PostgresHandle]) -> Iterator[TcpRelay]:
    """Yield the address that leads to the writer."""
    with relay_to(pair[0].postgres.server.port) as leading:
        yield leading


@pytest.fixture
def clients(
    emulator: EmulatorHandle, pair: tuple[FreshDatabase, PostgresHandle], relay: TcpRelay
) -> Iterator[list[ApiClient]]:
    """Callers of the health function, each of an environment of its own."""
    with use_aws_at(emulator.url):
        settings = pair[0].direct.model_copy(update={**make_resources(), "db_port": relay.port, "limits": GENEROUS})
        yield [make_health_client(settings) for _ in range(ENVIRONMENTS)]


def ask_all(clients: list[ApiClient]) -> list[dict[str, Any]]:
    """Ask all environments at the same time; return their answers, none of them a kept one."""

    def look(client: ApiClient) -> dict[str, Any]:
        container = client.container
        assert isinstance(container, HealthContainer)
        container.check._last_result = None
        began = read_monotonic()
        body = client.call("GET", "/health/deep").json
        assert read_monotonic() - began < CHECK_S + SLACK_S
        return dict(body["checks"]["database"])

    with ThreadPoolExecutor(ENVIRONMENTS) as pool:
        return list(pool.map(look, clients))


def sum_detected(out: str) -> float:
    """Return the sum of the metric FailoverDetected over what was written."""
    lines = [json.loads(line) for line in out.splitlines() if line.startswith('{"') and '"_aws"' in line]
    assert lines
    return sum(sum(line["FailoverDetected"]) for line in lines if "FailoverDetected" in line)


def test_a_failover_is_reported_by_all_and_counted_once(
    pair: tuple[FreshDatabase, PostgresHandle],
    relay: TcpRelay,
    clients: list[ApiClient],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another `server`, `detected` with one time for all, and one FailoverDetected, though five see it at once."""
    writer, standby = pair[0].postgres, pair[1]
    before = ask_all(clients)
    assert {(look["role"], look["failover"]["detected"]) for look in before} == {("writer", False)}
    with WriteProbe(standby) as prober:
        began = read_utc_now()
        kill(writer)
        assert {look["status"] for look in ask_all(clients)} == {"unhealthy"}
        relay.retarget(standby.server.port)
        assert {(look["status"], look["role"]) for look in ask_all(clients)} == {("unhealthy", "reader")}
        promote(standby)
        prober.wait()
    assert sum_detected(capsys.readouterr().out) == 0
    after = ask_all(clients) + ask_all(clients)
    assert {(look["role"], look["failover"]["detected"]) for look in after[ENVIRONMENTS:]} == {("writer", True)}
    assert len({look["server"] for look in before}) == 1
    assert {look["server"] for look in before}.isdisjoint({look["server"] for look in after})
    [at] = {look["failover"]["at"] for look in after[ENVIRONMENTS:]}
    assert began <= datetime.fromisoformat(at) <= read_utc_now() + timedelta(seconds=1)
    assert sum_detected(capsys.readouterr().out) == 1
