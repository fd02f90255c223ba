"""What a scenario is given: the system, people, a generator; and where it writes down what it finds."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stress import verdict
from stress.audit import Audit
from stress.ledger import Call, Ledger, Sample, answers, unexpected
from stress.load import Generator
from stress.model import Chart, Check, Figure, Latency, Result
from stress.people import People
from stress.profiles import Profile

if TYPE_CHECKING:
    from stress.crowd import Crowd
    from stress.faults import Faults
    from stress.live import Live
    from stress.monitor import Monitor
    from stress.target import LocalCloud


@dataclass(kw_only=True)
class Bench:
    """One scenario at work, on whatever answers HTTP. `check` and its kin are the only ways to a tick."""

    key: str
    title: str
    promise: str
    profile: Profile
    generator: Generator
    people: People
    ledger: Ledger
    live: "Live"
    began_s: float = 0.0
    ended_s: float = 0.0
    audit: Audit = field(default_factory=Audit)
    checks: list[Check] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wanted: int = 0

    def check(self, name: str, *, holds: bool, wanted: object, found: object) -> bool:
        """Assert something."""
        self.checks.append(Check(name, bool(holds), str(wanted), str(found)))
        return bool(holds)

    def equal(self, name: str, wanted: object, found: object) -> bool:
        """Assert that what was found is what was wanted."""
        return self.check(name, holds=wanted == found, wanted=wanted, found=found)

    def most(self, name: str, most: float, found: float, unit: str = "") -> bool:
        """Assert that a figure stays within a limit."""
        return self.check(name, holds=found <= most, wanted=f"≤ {most:g} {unit}".strip(), found=f"{found:.4g} {unit}")

    def least(self, name: str, least: float, found: float, unit: str = "") -> bool:
        """Assert that a figure reaches a limit."""
        return self.check(name, holds=found >= least, wanted=f"≥ {least:g} {unit}".strip(), found=f"{found:.4g} {unit}")

    def figure(self, name: str, value: float, unit: str = "", note: str = "") -> None:
        """Note a measured number."""
        self.figures.append(Figure(name, value, unit, note))

    def step(self, text: str) -> None:
        """Say what is being done now."""
        self.live.step(text)

    async def pause(self, seconds: float, why: str) -> None:
        """Let time pass."""
        self.step(f"waiting {seconds:.0f} s: {why}")
        await asyncio.sleep(seconds)

    async def burst(self, calls: Sequence[Call]) -> list[Sample]:
        """All at the same instant; each counts as a sample that the verdict needs."""
        self.wanted += len(calls)
        return await self.generator.burst(calls)

    @property
    def samples(self) -> list[Sample]:
        """Return what the scenario has sent so far."""
        return self.ledger.of(self.key)

    def result(self) -> Result:
        """Return the result of the scenario."""
        samples = self.samples
        self._judge_answers(samples)
        lag = verdict.lag([sample.lag_ms for sample in samples])
        reconciliation = self.audit.reconciliation()
        return Result(
            key=self.key,
            title=self.title,
            promise=self.promise,
            status=verdict.status(self.checks, reconciliation, lag, len(samples), self.wanted),
            began_s=self.began_s,
            ended_s=self.ended_s,
            checks=self.checks,
            figures=self.figures,
            latencies=self._latencies(samples),
            lag=lag,
            samples=len(samples),
            samples_wanted=self.wanted,
            answers=answers(samples),
            reconciliation=reconciliation,
            charts=self.charts,
            notes=self.notes,
        )

    def _judge_answers(self, samples: Sequence[Sample]) -> None:
        """Check that no answer was wrong; that alone is not enough for a scenario without checks of its own."""
        wrong = unexpected(samples)
        if wrong or (samples and self.checks):
            self.check(
                "No call was answered otherwise than it should be",
                holds=not wrong,
                wanted="none",
                found=wrong or "none",
            )

    @staticmethod
    def _latencies(samples: Sequence[Sample]) -> list[Latency]:
        operations = dict.fromkeys(sample.call.operation for sample in samples if sample.accepted)
        return [
            verdict.latency(name, [s.latency_ms for s in samples if s.call.operation == name and s.accepted])
            for name in operations
        ]


@dataclass(kw_only=True)
class Stage(Bench):
    """A scenario on a local cloud, which can be looked into and broken."""

    target: "LocalCloud"
    crowd: "Crowd"
    monitor: "Monitor"
    faults: "Faults"
    root: Path
    state: Path
