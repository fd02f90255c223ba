"""What is told of a real failover: by every environment, and counted once."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from health.container import HealthContainer
from health.deep_check import CHECK_S
from shared.clock import read_monotonic, read_utc_now
from tests.databases import Blank, Postgres
from tests.failover.relay import Relay, relay_to
from tests.failover.servers import Prober, kill, promote
from tests.harness import Client
from tests.integration.health.surroundings import aws_at, client_on, resources
from tests.integration.room import GENEROUS
from tests.services import Emulator

ENVIRONMENTS = 5
SLACK_S = 1.0  # five checks at once on a busy machine


@pytest.fixture
def relay(pair: tuple[Blank, Postgres]) -> Iterator[Relay]:
    """The address that leads to the writer."""
    with relay_to(pair[0].postgres.server.port) as leading:
        yield leading


@pytest.fixture
def fleet(emulator: Emulator, pair: tuple[Blank, Postgres], relay: Relay) -> Iterator[list[Client]]:
    """Callers of the health function, each of an environment of its own."""
    with aws_at(emulator.url):
        settings = pair[0].direct.model_copy(update={**resources(), "db_port": relay.port, "limits": GENEROUS})
        yield [client_on(settings) for _ in range(ENVIRONMENTS)]


def looks(fleet: list[Client]) -> list[dict[str, Any]]:
    """What all of them are told at once, by checks that are not kept ones."""

    def look(client: Client) -> dict[str, Any]:
        container = client.container
        assert isinstance(container, HealthContainer)
        container.check._last_result = None
        began = read_monotonic()
        body = client.call("GET", "/health/deep").json
        assert read_monotonic() - began < CHECK_S + SLACK_S
        return dict(body["checks"]["database"])

    with ThreadPoolExecutor(ENVIRONMENTS) as pool:
        return list(pool.map(look, fleet))


def counted(out: str) -> float:
    """The sum of the metric FailoverDetected over what was written."""
    lines = [json.loads(line) for line in out.splitlines() if line.startswith('{"') and '"_aws"' in line]
    assert lines
    return sum(sum(line["FailoverDetected"]) for line in lines if "FailoverDetected" in line)


def test_a_failover_is_told_by_all_and_counted_once(
    pair: tuple[Blank, Postgres], relay: Relay, fleet: list[Client], capsys: pytest.CaptureFixture[str]
) -> None:
    """Another `server`, `detected` with one time for all, and one FailoverDetected, though five see it at once."""
    writer, standby = pair[0].postgres, pair[1]
    before = looks(fleet)
    assert {(look["role"], look["failover"]["detected"]) for look in before} == {("writer", False)}
    with Prober(standby) as prober:
        began = read_utc_now()
        kill(writer)
        assert {look["status"] for look in looks(fleet)} == {"unhealthy"}
        relay.lead_to(standby.server.port)
        assert {(look["status"], look["role"]) for look in looks(fleet)} == {("unhealthy", "reader")}
        promote(standby)
        prober.wait()
    assert counted(capsys.readouterr().out) == 0
    after = looks(fleet) + looks(fleet)
    assert {(look["role"], look["failover"]["detected"]) for look in after[ENVIRONMENTS:]} == {("writer", True)}
    assert len({look["server"] for look in before}) == 1
    assert {look["server"] for look in before}.isdisjoint({look["server"] for look in after})
    [at] = {look["failover"]["at"] for look in after[ENVIRONMENTS:]}
    assert began <= datetime.fromisoformat(at) <= read_utc_now() + timedelta(seconds=1)
    assert counted(capsys.readouterr().out) == 1
