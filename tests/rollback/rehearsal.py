"""A rehearsal: one release after another of a running cloud that people use, and what became of all they did.

Two seconds stand for a minute of the canary and of the alarms, which are the template's.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.release.canary import Outcome, ReleaseResult
from local.release.command import run_release
from local.state_folder import StateFolder
from tests.alarms.troubles import invoke_function, read_event
from tests.alarms.watched_cloud import FIRST_MINUTES, WatchedCloud
from tests.e2e.cloud import QUICK_MAIL, ROOT, RunningCloud, run_cloud, wait_until
from tests.rollback.broken_releases import make_release
from tests.rollback.visitors import USERS, VisitorLoad
from tests.settings.alarms import ALARMS, SCHEDULES
from tests.soak.soak_run import UNLIMITED
from tests.soak.verdict import OutboxEnd, list_differences, wait_until_drained

SEED = 20261126
MINUTE_S = 2
IN_PROGRESS = "ReleaseInProgressAlarm"
SUPPRESSOR_WAIT_MINUTES = 7  # in which LookTomorrowAlarm waits for it (ActionsSuppressorWaitPeriod)
END_MINUTES = 8  # after the last release, in which every alarm of minutes has nothing else to look at
QUIET_S = 5.0  # without the end of a job: one takes less than a second
# A worker that has had a job for this long has died. Scaled, its lease of two minutes would be four seconds.
DEAD_AFTER_S = 8


@dataclass(frozen=True, slots=True)
class PlannedRelease:
    """A release of functions, by their packages, with something broken; how it must end, and the alarm that ends it."""

    functions: tuple[str, ...]
    broken: str
    outcome: Outcome
    alarm: str = ""

    @property
    def name(self) -> str:
        """Return what tells it from the others."""
        return f"{' '.join(self.functions)}: {self.broken}"


# The short form for `make test`: a release that the check refuses, and broken writes, reads and jobs.
SHORT = (
    PlannedRelease(("members",), "does not start", "refused"),
    PlannedRelease(("members",), "every write fails", "rolled back", "MembersReleaseFailuresAlarm"),
    PlannedRelease(("claims",), "every list fails", "rolled back", "ClaimsReleaseFailuresAlarm"),
    PlannedRelease(("worker",), "every mail fails", "rolled back", "WorkerReleaseFailuresAlarm"),
)
ALL = (
    *SHORT,
    PlannedRelease(("members",), "raises after the commit", "rolled back", "MembersReleaseErrorsAlarm"),
    PlannedRelease(("claims",), "raises after a list", "rolled back", "ClaimsReleaseErrorsAlarm"),
    PlannedRelease(("worker",), "raises after its jobs", "rolled back", "WorkerReleaseErrorsAlarm"),
    PlannedRelease(("worker",), "does not start", "refused"),
    PlannedRelease(("members", "claims", "worker"), "nothing", "promoted"),
)


@dataclass
class Rehearsal:
    """The releases of a cloud in the order in which they were made, and what was found in the end."""

    watched: WatchedCloud
    folder: Path
    began: float = 0.0  # epoch seconds
    results: dict[str, ReleaseResult] = field(default_factory=dict)
    reports: dict[str, list[str]] = field(default_factory=dict)
    tries: dict[str, dict[str, int]] = field(default_factory=dict)  # what calls came to meanwhile
    misplaced: dict[str, dict[str, Any]] = field(default_factory=dict)  # aliases that are not where they must be
    differences: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    writes: int = 0
    reads: int = 0
    jobs: OutboxEnd | None = None

    @property
    def cloud(self) -> RunningCloud:
        """Return the running cloud."""
        return self.watched.cloud

    @property
    def state_folder(self) -> StateFolder:
        """Return the cloud's state."""
        return StateFolder(ROOT, self.cloud.folder)

    def run(self, plan: Sequence[PlannedRelease]) -> None:
        """Make the releases under load; then compare what people were answered with what there is."""
        load = VisitorLoad(self.cloud, seed=SEED)
        reported_at = time.time() + FIRST_MINUTES * MINUTE_S  # until then the health report was silent for an alarm
        load.start()
        wait_until(lambda: load.ledger.writes >= USERS and load.reads >= USERS, "the calls of all users")
        time.sleep(max(0.0, reported_at - time.time()))
        self.began = self.watched.align(60)
        for planned in plan:
            before = load.copy_tries()
            self._release(planned)
            self.tries[planned.name] = dict(load.copy_tries() - before)
        last_s = time.time()
        load.stop()
        self.jobs = wait_until_drained(self.cloud, quiet_s=QUIET_S, wake_relay=self._run_relay)
        self.differences = list(list_differences(load.ledger, self.cloud, self.jobs))
        self.writes, self.reads = load.ledger.writes, load.reads
        over_minutes = int((time.time() - last_s) / MINUTE_S)  # of those that alarms need to end
        ended = self.watched.watch(max(1, END_MINUTES - over_minutes))
        self.told = list(self._list_told(ended))

    def _release(self, planned: PlannedRelease) -> None:
        code = make_release(self.folder / str(len(self.results)), planned.functions, planned.broken)
        reports: list[str] = []
        before = self._read_weights()
        result = run_release(self.state_folder, str(code), minute_s=MINUTE_S, report=reports.append)
        self.results[planned.name], self.reports[planned.name] = result, reports
        moved = {name: each for name, each in self._read_weights().items() if each != before[name]}
        if result.outcome == "promoted":
            moved = {name: each for name, each in moved.items() if len(each) != 1}
        if moved:
            self.misplaced[planned.name] = moved
        self._end_leases_of_dead_workers()

    def _read_weights(self) -> dict[str, dict[str, float]]:
        """Return the share of the calls that each version of each function gets now."""
        functions = self.cloud.make_client().get(f"{self.cloud.origin}/_local/status").json()["functions"]
        return {name: status["weights"] for name, status in functions.items()}

    def _end_leases_of_dead_workers(self) -> None:
        self.cloud.query_rows(
            "UPDATE outbox SET leased_until = now()"
            " WHERE state = 'running' AND updated_at < now() - make_interval(secs => %s)",
            DEAD_AFTER_S,
        )

    def _run_relay(self) -> None:
        invoke_function(self.cloud, "RelayFunction", read_event("RelayFunction"))

    def _list_told(self, ended: float) -> Iterator[str]:
        """Yield the alarms that told people, or would if they went on ringing."""
        in_progress = self.list_minutes_in_progress(ended)
        for name, watch in ALARMS.items():
            if watch.group == "release" or name in SCHEDULES:
                continue
            states = self.watched.list_states(name, began=self.began, ended=ended)
            minutes = [minute for minute, state in enumerate(states) if state == "ALARM"]
            told = [
                minute
                for minute in minutes
                if watch.group == "wake" or not any(in_progress[minute : minute + SUPPRESSOR_WAIT_MINUTES + 1])
            ]
            if told:
                yield f"{name} told people in minutes {told}"
            if states[-1] == "ALARM":
                yield f"{name} rings still"

    def list_minutes_in_progress(self, ended: float) -> list[bool]:
        """Return of each minute until a time (epoch seconds) whether the alarm says that there is a release."""
        return [state == "ALARM" for state in self.watched.list_states(IN_PROGRESS, began=self.began, ended=ended)]

    def list_rolled_back(self) -> list[ReleaseResult]:
        """Return the results of the releases that were rolled back."""
        return [result for result in self.results.values() if result.outcome == "rolled back"]

    def list_figures(self) -> dict[str, object]:
        """Return what was measured."""
        broken = self.list_rolled_back()
        assert self.jobs
        return {
            "users": USERS,
            "releases": len(self.results),
            "rolled_back": len(broken),
            "minute_s": MINUTE_S,
            "writes": self.writes,
            "reads": self.reads,
            "calls_seen": sum(result.calls_seen for result in broken),
            "calls_total": sum(result.calls_total for result in broken),
            "noticed_after_s": round(max(result.noticed_after_s or 0.0 for result in broken), 1),
            "rolled_back_after_s": round(max(result.ended_after_s or 0.0 for result in broken), 1),
            "wrong": len(self.differences),
            "given_up": self.jobs.count("failed") + self.jobs.count("uncertain"),
            "told": len(self.told),
        }


@contextmanager
def run_rehearsal(folder: Path, plan: Sequence[PlannedRelease]) -> Iterator[Rehearsal]:
    """Rehearse releases in a cloud of their own, which runs until the block ends."""
    began = time.monotonic()
    arguments = (*QUICK_MAIL, "--parameter", f"Limits={UNLIMITED}", "--minute", str(MINUTE_S))
    with run_cloud(folder / "state", *arguments) as cloud:
        watched = WatchedCloud(cloud, minute_s=MINUTE_S)
        with watched.report_health():
            rehearsal = Rehearsal(watched, folder)
            rehearsal.run(plan)
        print(f"{len(plan)} releases rehearsed in {time.monotonic() - began:.0f} s")  # noqa: T201
        yield rehearsal
