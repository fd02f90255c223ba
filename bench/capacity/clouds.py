"""The local clouds that are loaded: the present code's, and an earlier commit's, each with members of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.capacity.user_mix import UserCalls
from stress.call_factory import CallFactory
from stress.fixtures import UserFixtures
from stress.ledger import CallLedger, CallSample
from stress.load_generator import LoadGenerator, RunClock
from stress.local_target import CloudOptions, LocalCloud
from stress.scenario_end import SQL
from stress.scenarios.own_cloud import QUICK_MAIL

# Everything is as it is deployed but this. The template's 1 mail a second is that of a new SES account: the mails of a
# turn would wait for minutes, and their jobs would run while later turns are measured.
CHANGED = QUICK_MAIL
FLAGS = ("--no-checkpoints",)  # the emulator saves its state at its end only: saving stops it for up to a second
REST_S = 0.3
REST_LIMIT_S = 20.0  # the longest wait for the jobs of a turn

Report = Callable[[str], None]


@dataclass(frozen=True)
class LoadedCloud:
    """A running cloud, the generator of its calls, and the stream of them."""

    name: str
    cloud: LocalCloud
    generator: LoadGenerator
    calls: UserCalls

    async def wait_until_rested(self) -> None:
        """Wait until the jobs of the last turn are done: they would slow down the next one."""
        clock = self.generator.clock
        until = clock.read_now() + REST_LIMIT_S
        while await self.cloud.query_rows(SQL["open_jobs"]) and clock.read_now() < until:
            await asyncio.sleep(REST_S)
        await asyncio.sleep(REST_S)


@asynccontextmanager
async def run_loaded_cloud(
    name: str,
    root: Path,
    folder: Path,
    *,
    members: int,
    seed: int,
    clock: RunClock,
    on_sample: Callable[[CallSample], None],
) -> AsyncIterator[LoadedCloud]:
    """Run a cloud of the checkout `root` with so many members signed in. Raise TargetStartError, FixtureError."""
    cloud = LocalCloud(root, folder, CloudOptions(parameters=CHANGED, flags=FLAGS))
    generator: LoadGenerator | None = None
    try:
        await cloud.start()
        generator = LoadGenerator(cloud.api, CallLedger(), clock, on_sample)
        factory = CallFactory(seed)
        fixtures = UserFixtures(cloud, generator.copy_for_scenario("setup"), factory)
        signed_in = await fixtures.register_members([factory.make_registration() for _ in range(members)])
        yield LoadedCloud(name, cloud, generator, UserCalls(factory, signed_in, seed))
    finally:
        if generator is not None:
            await generator.close()
        await cloud.stop()
