"""The predecessor's settings, configured on the same code: the system that the capacity is compared with."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stress.fixtures import UserFixtures
from stress.ledger import CallSample
from stress.load_generator import LoadGenerator
from stress.local_target import CloudOptions, LocalCloud
from stress.scenario_context import LocalScenarioContext
from stress.scenarios.compared_systems import ComparedSystem

CONNECTIONS = 10
BACKGROUND_ROLE = "stress_background"

# No breaker: circuits that nothing opens. No retry. No queue before the database, which takes 10 connections at most.
NEVER_OPENED = {"failures": 1_000_000, "slow_s": 1_000}
SETTINGS = {
    "Circuits": json.dumps(dict.fromkeys(("email", "identity", "storage"), NEVER_OPENED)),
    "Retry": json.dumps({"retries": 0}),
    "DatabaseUser": "interdomestik_app",  # one role, as then: its limit is that of all requests together
}
FLAGS = ("--no-checkpoints", "--no-database-proxy")
# The ten are for requests only: relay, worker and health would use some of them, and make the comparison too easy.
BACKGROUND_FUNCTIONS = ("RelayFunction", "WorkerFunction", "HousekeepingFunction", "HealthFunction", "JobsFunction")
# The migration's limit on the database, for all environments together, is the successor's.
DROP_DATABASE_LIMIT = "ALTER DATABASE interdomestik CONNECTION LIMIT -1"
CREATE_ROLE = f"CREATE ROLE {BACKGROUND_ROLE} LOGIN IN ROLE interdomestik_app"
LIMIT_ROLE = f"ALTER ROLE interdomestik_app CONNECTION LIMIT {CONNECTIONS}"

# An environment keeps its connection while it is idle, and one that has none fails: the next measurement must not begin
# with the ten connections where the last left them. A connection idle for 2 s is checked before it is used.
END_CONNECTIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'interdomestik_app'"
CHECKED_S = 2.2


@asynccontextmanager
async def start_predecessor(context: LocalScenarioContext) -> AsyncIterator[ComparedSystem]:
    """Run a second local cloud with those settings within the block."""
    context.show_progress("starting a second cloud, with the predecessor's settings")
    variables = {f"{function}:DB_USER": BACKGROUND_ROLE for function in BACKGROUND_FUNCTIONS}
    other = LocalCloud(context.root, context.state / "before", CloudOptions(SETTINGS, variables, FLAGS))
    generator: LoadGenerator | None = None
    try:
        await other.start()
        await other.query_rows(DROP_DATABASE_LIMIT)
        await other.query_rows(CREATE_ROLE)
        generator = LoadGenerator(other.api, context.ledger, context.generator.clock, _ignore_sample).copy_for_scenario(
            "capacity, before"
        )
        fixtures = UserFixtures(other, generator, context.call_factory)
        await fixtures.prepare(context.profile.user_count)
        system = ComparedSystem(
            "before",
            other,
            generator,
            context.call_factory,
            fixtures.take_members(context.profile.user_count),
            _end_connections,
        )
        await system.warm_environments()
        await other.query_rows(LIMIT_ROLE)
        yield system
    finally:
        if generator is not None:
            await generator.close()
        await other.stop()


async def _end_connections(cloud: LocalCloud) -> None:
    await cloud.query_rows(END_CONNECTIONS)
    await asyncio.sleep(CHECKED_S)


def _ignore_sample(_sample: CallSample) -> None:
    """Do nothing: its errors are what the comparison is about, none of the run's."""
