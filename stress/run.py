"""A run, which starts the system, runs the scenarios and builds the report."""

import json
import shutil
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from stress.call_factory import CallFactory
from stress.check_registry import load_registry
from stress.controls.records import list_records
from stress.faults import FaultLog
from stress.fixtures import UserFixtures
from stress.function_log import ARCHIVE
from stress.health_monitor import HealthMonitor, merge_intervals
from stress.history import FILE as HISTORY
from stress.history_facts import HistoryFacts
from stress.ledger import CallLedger, CallSample
from stress.load_generator import LoadGenerator, RunClock
from stress.local_target import CloudOptions, LocalCloud
from stress.model import ReadinessReport, ScenarioResult, Timeline
from stress.profiles import CONTROL, Profile
from stress.progress_view import ProgressView
from stress.report_builder import build_report, build_timeline, describe_environment, write_report
from stress.scenario_context import LocalScenarioContext
from stress.scenarios import (
    agents,
    alerts,
    breaker,
    capacity,
    claims,
    deployment,
    health,
    histories,
    members,
    pool,
    priorities,
    restore,
)
from stress.scenarios.pool_connections import SHORT_LIVED, SHORTENED
from stress.settings_reader import compare_settings, list_variables

SCENARIOS: dict[str, ModuleType] = {
    "pool": pool,
    "agents": agents,
    "members": members,
    "claims": claims,
    "breaker": breaker,
    "health": health,
    "priorities": priorities,
    "capacity": capacity,
    "deployment": deployment,
    "restore": restore,
    "alerts": alerts,
    "histories": histories,  # the last: it judges the calls of all
}
REHEARSALS = ("deployment", "restore", "alerts")  # each on a cloud of its own, for a minute: not in a short run
STALL_S = 1.0

# One function has limits short enough for a run to reach them; all others have the template's.
CLOUD_OPTIONS = CloudOptions(
    variables={f"{SHORT_LIVED}:{name}": value for name, value in SHORTENED.items()},
    flags=("--standby", "--no-checkpoints"),
)

Work = Callable[[LocalScenarioContext], Awaitable[None]]


@dataclass
class RunOptions:
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
class ReadinessRun:
    """A run in progress."""

    options: RunOptions
    progress: ProgressView
    clock: RunClock = field(default_factory=RunClock)
    ledger: CallLedger = field(default_factory=CallLedger)
    results: list[ScenarioResult] = field(default_factory=list)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        """Prepare the parts that need no running system."""
        self.environment = describe_environment(self.options.root)
        # a control's own run, on a copy that git does not know, has none
        self.controls = [] if self.options.profile is CONTROL else list_records(self.options.root)
        self.faults = FaultLog(self.clock)
        self.call_factory = CallFactory(self.options.seed)
        # shorter than production's 60 s, so that in a run a circuit opens, probes and closes more than once
        self.circuits = {"email": {"open_s": self.options.profile.open_s}}
        rate = str(self.options.profile.mail_rate)
        setup = replace(CLOUD_OPTIONS, parameters={"Circuits": json.dumps(self.circuits), "MailRate": rate})
        self.cloud = LocalCloud(self.options.root, self.options.state / "after", setup)
        self.history = HistoryFacts(self.cloud, self.clock)

    async def run_all(self) -> ReadinessReport:
        """Start the system, run everything and return the report. Raise TargetStartError, FixtureError."""
        self.progress.note_step("starting the local cloud")
        try:
            await self.cloud.start()
            return await self._drive()
        finally:
            await self.cloud.stop()

    async def _drive(self) -> ReadinessReport:
        if self.options.sql:
            await self.cloud.query_rows(self.options.sql)
        if "histories" in self._choose_scenarios():
            await self.history.begin()
        generator = LoadGenerator(self.cloud.api, self.ledger, self.clock, self._note_sample)
        fixtures = UserFixtures(self.cloud, generator.copy_for_scenario("setup"), self.call_factory)
        monitor = HealthMonitor(generator.copy_for_scenario("health"), self.call_factory, self.cloud.count_waiting)
        try:
            members = count_members_needed(self._choose_scenarios(), self.options.profile)
            self.progress.note_step(f"signing in {members} members")
            await fixtures.prepare(members)
            await self._run_scenarios(generator, fixtures, monitor, self._compare_settings)
        finally:
            await monitor.stop()
            await generator.close()
        return self._build_report(monitor)

    def _choose_scenarios(self) -> list[str]:
        return choose_scenarios(self.options.profile, self.options.only)

    async def _compare_settings(self, context: LocalScenarioContext) -> None:
        told = list_variables(mail_rate=self.options.profile.mail_rate, circuits=self.circuits)
        await compare_settings(context.reconciliation, told, self.cloud)

    async def _run_scenarios(
        self, generator: LoadGenerator, fixtures: UserFixtures, monitor: HealthMonitor, *checks: Work
    ) -> None:
        """Run the scenarios; `checks` are made of each as soon as it has run."""
        wanted = self._choose_scenarios()
        if "health" in wanted or not self.options.only:
            monitor.start()
        contexts: dict[str, LocalScenarioContext] = {}
        for key in wanted:
            module = SCENARIOS[key]
            context = self._make_context(key, module, generator.copy_for_scenario(key), fixtures, monitor)
            contexts[key] = context
            self.progress.start_scenario(key, module.TITLE)
            if self.options.stall:
                context.generator.stall(STALL_S)
            for work in (module.run, *checks):
                await self._run_scenario(context, work)
            context.ended_s = self.clock.read_now()  # `finish` looks at it again after all others
        for key, context in contexts.items():
            if finish := getattr(SCENARIOS[key], "finish", None):
                await self._run_scenario(context, finish)
            self._finish_scenario(context)

    def _finish_scenario(self, context: LocalScenarioContext) -> None:
        context.want_all_samples()
        result = context.build_result()
        self.results.append(result)
        self.progress.finish_scenario(result)

    def _make_context(
        self, key: str, module: ModuleType, generator: LoadGenerator, fixtures: UserFixtures, monitor: HealthMonitor
    ) -> LocalScenarioContext:
        return LocalScenarioContext(
            key=key,
            title=module.TITLE,
            promise=module.PROMISE,
            profile=self.options.profile,
            target=self.cloud,
            fixtures=fixtures,
            monitor=monitor,
            generator=generator,
            call_factory=self.call_factory,
            ledger=self.ledger,
            faults=self.faults,
            progress=self.progress,
            root=self.options.root,
            state=self.options.state,
            history=self.history,
            registry=load_registry(),
            began_s=self.clock.read_now(),
        )

    async def _run_scenario(self, context: LocalScenarioContext, work: Work) -> None:
        """Run a scenario; one that breaks off has proved nothing: it fails, by name, and the others go on."""
        try:
            await work(context)
        except Exception as error:  # noqa: BLE001 - reported as a failed check
            context.check(
                "The scenario came to its end",
                holds=False,
                wanted="its end",
                found=f"{type(error).__name__}: {error}"[:500],
            )

    def _note_sample(self, sample: CallSample) -> None:
        self.progress.note_answer(sample.is_expected)
        self.progress.note_lag(sample.lag_ms)

    def _build_report(self, monitor: HealthMonitor) -> ReadinessReport:
        settings = {
            "seed": self.options.seed,
            "circuit settings changed for this run": self.circuits,
            "mails a second": self.options.profile.mail_rate,
            f"{SHORT_LIVED}, shortened": SHORTENED,
        }
        if left_out := [key for key in SCENARIOS if key not in self._choose_scenarios()]:
            settings["scenarios that are not in this run"] = ", ".join(left_out)
        return build_report(
            self.results,
            started_at=self.started_at,
            duration_s=self.clock.read_now(),
            profile=self.options.profile.name,
            target="a local cloud on this machine",
            over_time=self._build_timeline(monitor),
            environment=self.environment,
            settings=settings,
            controls=self.controls,
        )

    def _build_timeline(self, monitor: HealthMonitor) -> Timeline:
        end, seen = self.clock.read_now(), self.ledger.samples
        samples = sorted(monitor.samples, key=lambda each: each.got_s)
        circuits = {
            name: merge_intervals([(each.got_s, each.read_circuit(name)) for each in samples if each.report], end)
            for name in ("email", "identity", "storage")
        }
        return replace(
            build_timeline(seen, end),
            faults=self.faults.to_report(),
            circuits={name: found for name, found in circuits.items() if found},
            health=merge_intervals([(each.got_s, each.status) for each in samples], end),
        )


def choose_scenarios(profile: Profile, only: Iterable[str] = ()) -> list[str]:
    """Return the scenarios to run, in order: those that are named, else all of the profile's."""
    named = set(only)
    return [key for key in SCENARIOS if (key in named if named else profile.rehearses or key not in REHEARSALS)]


def count_members_needed(wanted: Iterable[str], profile: Profile) -> int:
    """Return how many signed-in members these scenarios take."""
    takers = (getattr(SCENARIOS[key], "count_members_needed", None) for key in wanted)
    return sum(needed(profile) for needed in takers if needed is not None)


async def run(options: RunOptions, progress: ProgressView) -> ReadinessReport:
    """Run everything and return the report; write the report, the pages and the samples to the options' folder."""
    at_work = ReadinessRun(options, progress)
    found = await at_work.run_all()
    logs = options.state / "after" / "logs"
    if found.verdict != "PASS" and logs.exists():
        options.out.mkdir(parents=True, exist_ok=True)
        shutil.make_archive(str(options.out / ARCHIVE), "gztar", logs)
    if (history := options.state / "history" / HISTORY).exists():
        options.out.mkdir(parents=True, exist_ok=True)
        shutil.copy(history, options.out)  # before the report is signed with all of its files
    write_report(found, at_work.ledger.samples, options.out, options.root)
    return found
