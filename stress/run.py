"""A run: starts the system, goes through the scenarios, and puts together what they found."""

import json
import shutil
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from stress.crowd import Crowd
from stress.faults import Faults
from stress.ledger import Ledger, Sample
from stress.live import Live
from stress.load import Clock, Generator
from stress.model import Report, Result, Timeline
from stress.monitor import Monitor, intervals
from stress.people import People
from stress.profiles import Profile
from stress.scenarios import agents, breaker, capacity, claims, health, members, pool, priorities
from stress.stage import Stage
from stress.summary import environment, report, timeline, write
from stress.target import LocalCloud, Setup

SCENARIOS: dict[str, ModuleType] = {
    "pool": pool,
    "agents": agents,
    "members": members,
    "claims": claims,
    "breaker": breaker,
    "health": health,
    "priorities": priorities,
    "capacity": capacity,
}
STALL_S = 1.0

# One function with limits so short that a run sees them at work; all others have the template's.
SHORT_LIVED = {"DB_IDLE_TIMEOUT": "2", "DB_MAX_LIFETIME": "5", "DB_CONNECT_TIMEOUT": "2"}
AFTER = Setup(
    variables={f"JobsFunction:{name}": value for name, value in SHORT_LIVED.items()},
    flags=("--standby", "--no-checkpoints"),
)


@dataclass
class Options:
    """The options of the command line."""

    root: Path
    state: Path
    out: Path
    profile: Profile
    only: tuple[str, ...] = ()
    seed: int = 1
    stall: bool = False
    sql: str = ""


@dataclass
class Run:
    """One run at work."""

    options: Options
    live: Live
    clock: Clock = field(default_factory=Clock)
    ledger: Ledger = field(default_factory=Ledger)
    results: list[Result] = field(default_factory=list)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.environment = environment(self.options.root)
        self.faults = Faults(self.clock)
        self.people = People(self.options.seed)
        # shorter than production's 60 s, so that a run sees a circuit open, probe and close more than once
        self.circuits = {"email": {"open_s": self.options.profile.open_s}}
        rate = str(self.options.profile.mail_rate)
        setup = replace(AFTER, parameters={"Circuits": json.dumps(self.circuits), "MailRate": rate})
        self.cloud = LocalCloud(self.options.root, self.options.state / "after", setup)

    async def all(self) -> Report:
        """Go through all of it. Raises CannotStart, NotPrepared."""
        self.live.step("starting the local cloud")
        try:
            await self.cloud.start()
            return await self._driven()
        finally:
            await self.cloud.stop()

    async def _driven(self) -> Report:
        if self.options.sql:
            await self.cloud.rows(self.options.sql)
        generator = Generator(self.cloud.api, self.ledger, self.clock, self._told)
        crowd = Crowd(self.cloud, generator.of("setup"), self.people)
        monitor = Monitor(generator.of("health"), self.people)
        try:
            members = members_needed(self._wanted(), self.options.profile)
            self.live.step(f"signing in {members} members")
            await crowd.prepare(members)
            await self._scenarios(generator, crowd, monitor)
        finally:
            await monitor.stop()
            await generator.close()
        return self._report(monitor)

    def _wanted(self) -> list[str]:
        return [key for key in SCENARIOS if not self.options.only or key in self.options.only]

    async def _scenarios(self, generator: Generator, crowd: Crowd, monitor: Monitor) -> None:
        wanted = self._wanted()
        if "health" in wanted or not self.options.only:
            monitor.start()
        stages: dict[str, Stage] = {}
        for key in wanted:
            module = SCENARIOS[key]
            stage = self._stage(key, module, generator.of(key), crowd, monitor)
            stages[key] = stage
            self.live.scenario(key, module.TITLE)
            if self.options.stall:
                stage.generator.stall(STALL_S)
            await self._one(stage, module.run)
            stage.ended_s = self.clock.now()  # `finish` looks at it again after all others
        for key, stage in stages.items():
            if finish := getattr(SCENARIOS[key], "finish", None):
                await self._one(stage, finish)
            self._finished(stage)

    def _finished(self, stage: Stage) -> None:
        result = stage.result()
        self.results.append(result)
        self.live.finished(result)

    def _stage(self, key: str, module: ModuleType, generator: Generator, crowd: Crowd, monitor: Monitor) -> Stage:
        return Stage(
            key=key,
            title=module.TITLE,
            promise=module.PROMISE,
            profile=self.options.profile,
            target=self.cloud,
            crowd=crowd,
            monitor=monitor,
            generator=generator,
            people=self.people,
            ledger=self.ledger,
            faults=self.faults,
            live=self.live,
            root=self.options.root,
            state=self.options.state,
            began_s=self.clock.now(),
        )

    async def _one(self, stage: Stage, work: Callable[[Stage], Awaitable[None]]) -> None:
        """A scenario that breaks off has proved nothing: it fails, by name, and the others go on."""
        try:
            await work(stage)
        except Exception as error:  # noqa: BLE001 - told in the report
            stage.check(
                "The scenario came to its end",
                holds=False,
                wanted="its end",
                found=f"{type(error).__name__}: {error}"[:500],
            )

    def _told(self, sample: Sample) -> None:
        self.live.answer(sample.right)
        self.live.lag(sample.lag_ms)

    def _report(self, monitor: Monitor) -> Report:
        settings = {
            "seed": self.options.seed,
            "circuits that differ": self.circuits,
            "mails a second": self.options.profile.mail_rate,
            "JobsFunction, shortened": SHORT_LIVED,
        }
        return report(
            self.results,
            started_at=self.started_at,
            duration_s=self.clock.now(),
            profile=self.options.profile.name,
            target="a local cloud on this machine",
            over_time=self._timeline(monitor),
            environment=self.environment,
            settings=settings,
        )

    def _timeline(self, monitor: Monitor) -> Timeline:
        end, seen = self.clock.now(), self.ledger.samples
        said = sorted(monitor.said, key=lambda each: each.got_s)
        circuits = {
            name: intervals([(each.got_s, each.circuit(name)) for each in said if each.report], end)
            for name in ("email", "identity", "storage")
        }
        return replace(
            timeline(seen, end),
            faults=self.faults.told(),
            circuits={name: found for name, found in circuits.items() if found},
            health=intervals([(each.got_s, each.status) for each in said], end),
        )


def members_needed(wanted: Iterable[str], profile: Profile) -> int:
    """Return how many signed-in members these scenarios take, each as its own crowds are sized."""
    takers = (getattr(SCENARIOS[key], "members_needed", None) for key in wanted)
    return sum(needed(profile) for needed in takers if needed is not None)


async def run(options: Options, live: Live) -> Report:
    """A whole run; its folder holds the report, the pages and the samples."""
    at_work = Run(options, live)
    found = await at_work.all()
    logs = options.state / "after" / "logs"
    if found.verdict != "PASS" and logs.exists():
        options.out.mkdir(parents=True, exist_ok=True)
        shutil.make_archive(str(options.out / "logs"), "gztar", logs)
    write(found, at_work.ledger.samples, options.out)
    return found
