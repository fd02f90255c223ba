"""The deep check while what it asks is broken, for ten callers at once: in time, and saying what is broken."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic

import pytest

from health.container import HealthContainer
from health.deep_check import CHECK_S
from tests.api_client import ApiClient, ApiReply
from tests.databases import FreshDatabase
from tests.failover.relay import TcpRelay, relay_to
from tests.failover.servers import wait_until
from tests.integration.function_client import GENEROUS
from tests.integration.health.dependencies import (
    make_health_client,
    make_resources,
    open_unresponsive_port,
    run_throttling_server,
    use_aws_at,
)
from tests.measurements import record
from tests.services import EmulatorHandle

pytestmark = pytest.mark.timed

CALLERS = 10
SLACK_S = 1.5  # ten environments in one process, each with six questions, on a busy machine

AT_CONNECT, CONNECTED, TABLE, MAIL = "silent at connect", "silent once connected", "table throttled", "mail silent"
BROKEN = {AT_CONNECT: "database", CONNECTED: "database", TABLE: "state_store", MAIL: "email"}
FAULTS = [(fault,) for fault in BROKEN] + [(AT_CONNECT, TABLE, MAIL), (CONNECTED, TABLE, MAIL)]


@dataclass
class FaultyDependencies:
    """The database by way of a relay, and the addresses of AWS's services."""

    fresh_database: FreshDatabase
    emulator: EmulatorHandle
    relay: TcpRelay
    ends: ExitStack

    def start_environments(self, count: int, faults: tuple[str, ...]) -> list[ApiClient]:
        """Callers of environments that have started, and have answered once while their database was well."""
        services = {}
        if MAIL in faults:
            services["SESV2"] = self.ends.enter_context(open_unresponsive_port())
        if TABLE in faults:
            services["DYNAMODB"] = self.ends.enter_context(run_throttling_server())[0]
        self.ends.enter_context(use_aws_at(self.emulator.url))
        settings = self.fresh_database.direct.model_copy(update={**make_resources(), "db_port": self.relay.port})
        self.ends.enter_context(use_aws_at(self.emulator.url, **services))
        clients = [make_health_client(settings.model_copy(update={"limits": GENEROUS})) for _ in range(count)]
        with ThreadPoolExecutor(CALLERS) as pool:
            assert {reply.json["checks"]["database"]["role"] for reply in pool.map(ask, clients)} == {"writer"}
        for client in clients:
            forget(client)
        return clients

    def silence_database(self, faults: tuple[str, ...]) -> None:
        """Silence the database from now on, if that is among the faults."""
        if AT_CONNECT in faults:
            self.relay.hold_all()
        if CONNECTED in faults:
            self.relay.pass_only(1)


@pytest.fixture
def dependencies(emulator: EmulatorHandle, fresh_database: FreshDatabase) -> Iterator[FaultyDependencies]:
    """Yield the dependencies, all of them well."""
    with relay_to(fresh_database.postgres.server.port) as relay, ExitStack() as ends:
        yield FaultyDependencies(fresh_database, emulator, relay, ends)


def ask(client: ApiClient) -> ApiReply:
    """Make one call."""
    return client.call("GET", "/health/deep")


def forget(client: ApiClient) -> None:
    """Have the next check not answered from the last."""
    assert isinstance(client.container, HealthContainer)
    client.container.check._last_result = None


def ask_anew(client: ApiClient) -> ApiReply:
    """Make one call whose answer was not kept from an earlier one."""
    forget(client)
    return ask(client)


def time_call(client: ApiClient) -> tuple[ApiReply, float]:
    """Make a call; return its answer and how long it took."""
    began = monotonic()
    return ask(client), monotonic() - began


@pytest.mark.parametrize("environments", [1, CALLERS])
@pytest.mark.parametrize("faults", FAULTS, ids=" and ".join)
def test_ten_callers_learn_in_time_what_is_broken(
    dependencies: FaultyDependencies, faults: tuple[str, ...], environments: int
) -> None:
    """Ten ask one environment, where nine wait for one check, or ten environments.

    Health is unhealthy without a database, else degraded.
    """
    clients = dependencies.start_environments(environments, faults)
    dependencies.silence_database(faults)
    with ThreadPoolExecutor(CALLERS) as pool:
        answers = list(pool.map(time_call, clients * (CALLERS // environments)))
    broken = {BROKEN[fault] for fault in faults}
    for reply, seconds in answers:
        checks = reply.json["checks"]
        assert {name for name, check in checks.items() if check["status"] == "unhealthy"} == broken
        assert reply.status == (503 if "database" in broken else 200)
        assert seconds < CHECK_S + SLACK_S
    slowest = max(seconds for _, seconds in answers)
    record("health_deep", faults=faults, environments=environments, slowest_s=round(slowest, 2))


def test_a_database_that_is_heard_again_is_well_again(dependencies: FaultyDependencies) -> None:
    """The environment has seen it silent in both directions."""
    [client] = dependencies.start_environments(1, ())
    for fault in (AT_CONNECT, CONNECTED):
        dependencies.silence_database((fault,))
        assert ask(client).status == 503
        dependencies.relay.release()
        wait_until(lambda: ask_anew(client).status == 200, "it was never well again")
        forget(client)
