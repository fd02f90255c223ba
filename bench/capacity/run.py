"""A run: the clouds, the rounds of 1 to 200 users, the refusals, and the comparison with the earlier commit."""

import asyncio
import os
import random
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.capacity.clouds import CHANGED, LoadedCloud, run_loaded_cloud
from bench.capacity.earlier import extract_commit
from bench.capacity.figures import combine_outcomes, judge_run
from bench.capacity.knee import describe_curve
from bench.capacity.processor_time import read_processor_time, subtract_times
from bench.capacity.refusals import cause_refusals, describe_refusals
from bench.capacity.results import build_curve, compute_lag, describe_idle, describe_levels
from bench.capacity.search import USERS, describe_searches, search_rates
from bench.capacity.turns import LEVELS, MeasuredTurn, run_rounds, warm_up
from bench.capacity.users import Pacing, make_pauses
from bench.measured import describe_estimate
from bench.programs import ROOT
from stress.git_reader import read_git
from stress.ledger import CallSample
from stress.load_generator import RunClock
from stress.progress_view import ProgressView

PRESENT, EARLIER = "present", "earlier"
SETUP = "capacity"  # of the view, which shows one part of a run


@dataclass(frozen=True)
class RunSizes:
    """The sizes of a run, and its limits in seconds: all together, with both clouds' starts, end within ten minutes."""

    expected_s: float
    levels: tuple[int, ...]
    members: int  # of the present cloud: enough that their limits refuse nobody
    earlier_members: int
    rounds: int
    rounds_limit_s: float
    warm_limit_s: float
    search_rounds: int
    search_limit_s: float
    idle_s: float


FULL = RunSizes(
    expected_s=560,
    levels=LEVELS,
    members=160,
    earlier_members=60,
    rounds=8,
    rounds_limit_s=280,
    warm_limit_s=40,
    search_rounds=14,
    search_limit_s=120,
    idle_s=3,
)
SHORT = RunSizes(
    expected_s=60,
    levels=(1, 2, 4, 8),
    members=12,
    earlier_members=12,
    rounds=3,
    rounds_limit_s=60,
    warm_limit_s=10,
    search_rounds=2,
    search_limit_s=20,
    idle_s=1,
)


@dataclass
class CapacityRun:
    """A run in progress; `base` is the commit to compare with, `state` the folder of the clouds."""

    sizes: RunSizes
    seed: int
    base: str | None
    state: Path
    progress: ProgressView

    def __post_init__(self) -> None:
        """Prepare what needs no running cloud."""
        self._clock = RunClock()
        self._dice = random.Random(self.seed)
        self.progress.start_scenario(SETUP, "Capacity")

    async def measure_all(self) -> dict[str, Any]:
        """Return all that the run measures. Raise TargetStartError, FixtureError, CommitMissing."""
        earlier: dict[str, Any] = {"commit": ""}
        code = None
        if self.base:  # before anything is measured: it may not be in this repository
            earlier = {"commit": await asyncio.to_thread(_name_commit, self.base)}
            code = await asyncio.to_thread(extract_commit, self.base, self.state / "capacity-code")
        async with self._run_cloud(PRESENT, ROOT, self.sizes.members) as present:
            await self._warm_up(present, make_pauses(), max(self.sizes.levels))
            idle = await self._measure_idle(present)
            rounds = await run_rounds(
                present,
                self._dice,
                levels=self.sizes.levels,
                limit_s=self.sizes.rounds_limit_s,
                rounds=self.sizes.rounds,
                report=self.progress.note_step,
            )
            if code:
                earlier |= await self._compare(present, code)
            self.progress.note_step("refusals on purpose: a burst, and a database that is away")
            refusals = await cause_refusals(present)
        return self._describe(rounds, refusals, idle, earlier)

    def _run_cloud(self, name: str, root: Path, members: int) -> AbstractAsyncContextManager[LoadedCloud]:
        self.progress.note_step(f"{name}: starting a local cloud, and signing in {members} members")
        folder = self.state / f"capacity-{name}"
        return run_loaded_cloud(
            name, root, folder, members=members, seed=self.seed, clock=self._clock, on_sample=self._note
        )

    async def _warm_up(self, loaded: LoadedCloud, pacing: Pacing, users: int) -> None:
        await warm_up(
            loaded,
            pacing,
            users=users,
            limit_s=self.sizes.warm_limit_s,
            seed=self.seed,
            report=self.progress.note_step,
        )

    async def _compare(self, present: LoadedCloud, code: Path) -> dict[str, Any]:
        """Return the rates of fifty users on the present cloud and on the earlier code's, and their ratio."""
        async with self._run_cloud(EARLIER, code, self.sizes.earlier_members) as earlier:
            await self._warm_up(earlier, make_pauses(0.0), USERS)
            searches = await search_rates(
                (present, earlier),
                self._dice,
                limit_s=self.sizes.search_limit_s,
                rounds=self.sizes.search_rounds,
                report=self.progress.note_step,
            )
        return describe_searches(searches, PRESENT, EARLIER)

    async def _measure_idle(self, loaded: LoadedCloud) -> dict[str, float]:
        before, began = await asyncio.to_thread(read_processor_time, loaded.cloud), self._clock.read_now()
        await asyncio.sleep(self.sizes.idle_s)
        after = await asyncio.to_thread(read_processor_time, loaded.cloud)
        return describe_idle(subtract_times(after, before), self._clock.read_now() - began)

    def _note(self, sample: CallSample) -> None:
        self.progress.note_answer(sample.is_expected)
        self.progress.note_lag(sample.lag_ms)

    def _describe(
        self,
        rounds: Sequence[Sequence[MeasuredTurn]],
        refusals: Sequence[CallSample],
        idle: dict[str, float],
        earlier: dict[str, Any],
    ) -> dict[str, Any]:
        curve = build_curve(rounds)
        samples = [*refusals, *(sample for turns in rounds for turn in turns for sample in turn.calls)]
        measured: dict[str, Any] = {
            "run": {
                **describe_machine(self.seed),
                "members": self.sizes.members,
                "rounds": len(rounds),
                "lag_p99_ms": compute_lag(rounds),
            },
            "changed_settings": dict(CHANGED),
            "levels": describe_levels(rounds, curve),
            "curve": describe_curve(curve, describe_estimate),
            "idle_processor_ms": idle,
            "refusals": describe_refusals(samples),
            "earlier": earlier,
        }
        figures = judge_run(measured)
        seconds = round(self._clock.read_now())
        return {**measured, "run": {**measured["run"], "seconds": seconds}, "figures": figures,
                "verdict": combine_outcomes(figures)}  # fmt: skip


def _name_commit(commit: str) -> str:
    return read_git(ROOT, "rev-parse", f"{commit}^{{commit}}") or commit


def describe_machine(seed: int) -> dict[str, Any]:
    """Return what a reader has to know of the run."""
    commit = read_git(ROOT, "rev-parse", "--short=12", "HEAD") or "unknown"
    parts = ("bench", "functions", "layers", "local", "migrations", "stress", "template.yaml")
    changed = bool(read_git(ROOT, "status", "--porcelain", "--", *parts))
    return {
        "commit": f"{commit} with changes" if changed else commit,
        "at": time.strftime("%Y-%m-%d", time.gmtime()),
        "seed": seed,
        "python": sys.version.split()[0],
        "processors": len(os.sched_getaffinity(0)),
    }
