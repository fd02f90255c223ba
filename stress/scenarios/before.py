"""The predecessor's settings, by configuration of the same code: what the capacity is compared with."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stress.crowd import Crowd
from stress.ledger import Sample
from stress.load import Generator
from stress.scenarios.sides import Side
from stress.stage import Stage
from stress.target import LocalCloud, Setup

CONNECTIONS = 10
BACKGROUND = "stress_background"

# No breaker: circuits that nothing opens. No retry. No queue before the database, which takes 10 lines and no more.
NEVER = {"failures": 1_000_000, "slow_s": 1_000}
SETTINGS = {
    "Circuits": json.dumps(dict.fromkeys(("email", "identity", "storage"), NEVER)),
    "Retry": json.dumps({"retries": 0}),
    "DatabaseUser": "interdomestik_app",  # one role, as it was: its limit is that of all requests together
}
FLAGS = ("--no-checkpoints", "--no-database-proxy")
# The ten are the requests' own: relay, worker and health would take some of them, and make the comparison too easy.
ASIDE = ("RelayFunction", "WorkerFunction", "HousekeepingFunction", "HealthFunction", "JobsFunction")
# The fleet's limit, which the migration sets on the database, is the successor's.
UNLIMITED = "ALTER DATABASE interdomestik CONNECTION LIMIT -1"
ROLE = f"CREATE ROLE {BACKGROUND} LOGIN IN ROLE interdomestik_app"
LIMITED = f"ALTER ROLE interdomestik_app CONNECTION LIMIT {CONNECTIONS}"

# An environment keeps its connection while it idles, and one that has none fails: what is measured next must not begin
# with the ten where the last left them. A connection idle for 2 s is checked before it is used.
ENDED = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'interdomestik_app'"
CHECKED_S = 2.2


@asynccontextmanager
async def cloud(stage: Stage) -> AsyncIterator[Side]:
    """A second local cloud with those settings, gone when the block ends."""
    stage.step("starting a second cloud, with the predecessor's settings")
    variables = {f"{function}:DB_USER": BACKGROUND for function in ASIDE}
    other = LocalCloud(stage.root, stage.state / "before", Setup(SETTINGS, variables, FLAGS))
    generator: Generator | None = None
    try:
        await other.start()
        await other.rows(UNLIMITED)
        await other.rows(ROLE)
        generator = Generator(other.api, stage.ledger, stage.generator.clock, _ignored).of("capacity, before")
        crowd = Crowd(other, generator, stage.people)
        await crowd.prepare(stage.profile.user_count)
        side = Side("before", other, generator, stage.people, crowd.take(stage.profile.user_count), _freed)
        await side.warm()
        await other.rows(LIMITED)
        yield side
    finally:
        if generator is not None:
            await generator.close()
        await other.stop()


async def _freed(cloud: LocalCloud) -> None:
    await cloud.rows(ENDED)
    await asyncio.sleep(CHECKED_S)


def _ignored(_sample: Sample) -> None:
    """Its errors are what the comparison is about, none of the run's."""
