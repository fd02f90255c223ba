"""The context of a scenario: the system, users and a generator, and the checks and figures that it records."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stress import verdict
from stress.call_factory import CallFactory
from stress.check_registry import CheckRegistry, UnknownCheck
from stress.estimated_checks import CheckFactory, Counted, Measured
from stress.estimates import TooFewSamples
from stress.ledger import CallLedger, CallSample, PlannedCall, count_answers, count_unexpected
from stress.load_generator import LoadGenerator
from stress.model import Assertion, Chart, Estimate, Figure, Latency, ScenarioResult
from stress.profiles import Profile
from stress.reconciliation import ReconciliationLog
from stress.wording import NOT_SHOWN, describe_value

if TYPE_CHECKING:
    from stress.faults import FaultLog
    from stress.fixtures import UserFixtures
    from stress.health_monitor import HealthMonitor
    from stress.history_facts import HistoryFacts
    from stress.local_target import LocalCloud
    from stress.progress_view import ProgressView


@dataclass(kw_only=True)
class ScenarioContext:
    """The context of one running scenario, on anything that answers HTTP. Only `check` and its variants make a tick."""

    key: str
    title: str
    promise: str
    profile: Profile
    generator: LoadGenerator
    call_factory: CallFactory
    ledger: CallLedger
    progress: "ProgressView"
    began_s: float = 0.0
    ended_s: float = 0.0
    reconciliation: ReconciliationLog = field(default_factory=ReconciliationLog)
    checks: list[Assertion] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    samples_wanted: int = 0  # fewer samples make the result INVALID
    registry: CheckRegistry | None = None  # of what would make each check fail; a run has one
    registered_as: str = ""  # whose entries in it are this scenario's; its key's if empty

    def check(self, name: str, *, holds: bool, wanted: object, found: object) -> bool:
        """Record a check; return whether it passed."""
        return self._keep(Assertion(name, bool(holds), describe_value(wanted), describe_value(found)))

    def check_equal(self, name: str, wanted: object, found: object) -> bool:
        """Check that what was found equals what was wanted."""
        texts = describe_value(wanted), describe_value(found)
        return self._keep(Assertion(name, wanted == found, *texts, exact=True))

    def check_at_most(self, name: str, most: float, found: float, unit: str = "") -> bool:
        """Check that a figure stays within a limit."""
        return self.check(name, holds=found <= most, wanted=f"≤ {most:g} {unit}".strip(), found=f"{found:.4g} {unit}")

    def check_at_least(self, name: str, least: float, found: float, unit: str = "") -> bool:
        """Check that a figure reaches a limit."""
        return self.check(name, holds=found >= least, wanted=f"≥ {least:g} {unit}".strip(), found=f"{found:.4g} {unit}")

    def check_statuses(self, name: str, wanted: Mapping[int, int], samples: Sequence[CallSample]) -> bool:
        """Check that these calls had the statuses of `wanted`, each as often as it says, and no others."""
        return self._keep(self._check_factory.make_status_check(name, wanted, samples))

    def check_share_at_most(self, name: str, most: float, events: Counted, trials: Counted) -> bool:
        """Check a share, as 0.01 for 1 %, by its interval. Give the calls themselves if there are any."""
        return self._keep(self._check_factory.make_share_check(name, most, events, trials, "at most"))

    def check_share_at_least(self, name: str, least: float, events: Counted, trials: Counted) -> bool:
        """Check a share, as 0.95 for 95 %, by its interval. Give the calls themselves if there are any."""
        return self._keep(self._check_factory.make_share_check(name, least, events, trials, "at least"))

    def check_percentile_at_most(
        self, name: str, share: float, most: float, values: Measured, unit: str = "ms"
    ) -> bool:
        """Check a percentile by its interval; `share` is 0.95 for p95. A call's value is its latency in ms."""
        return self._keep(self._check_factory.make_percentile_check(name, share, most, values, unit))

    def check_ratio_at_most(
        self, name: str, bar: float, numerator: Measured, denominator: Measured, share: float, unit: str = "×"
    ) -> bool:
        """Check the ratio of one percentile of two sets of samples, by its interval."""
        check = self._check_factory.make_ratio_check(name, bar, numerator, denominator, share, unit, "at most")
        return self._keep(check)

    def check_ratio_at_least(
        self, name: str, bar: float, numerator: Measured, denominator: Measured, share: float, unit: str = "×"
    ) -> bool:
        """Check the ratio of one percentile of two sets of samples, by its interval."""
        check = self._check_factory.make_ratio_check(name, bar, numerator, denominator, share, unit, "at least")
        return self._keep(check)

    def record_figure(self, name: str, value: float, unit: str = "", note: str = "") -> None:
        """Record a number that was counted or measured once. What is computed of samples has an estimate."""
        self.figures.append(Figure(name, value, unit, note))

    def record_estimate(self, name: str, estimate: Estimate | TooFewSamples, unit: str = "", note: str = "") -> None:
        """Record a figure with its interval; if it has too few samples for one, say so and show no figure."""
        if isinstance(estimate, TooFewSamples):
            self.notes.append(
                f"{name}{NOT_SHOWN}as {estimate.samples} samples are fewer than the {estimate.needed} it needs."
            )
        else:
            self.figures.append(Figure(name, estimate.value, unit, note, estimate))

    @property
    def _check_factory(self) -> CheckFactory:
        return CheckFactory(self.ledger)

    def _keep(self, check: Assertion) -> bool:
        self.checks.append(self._explain(check))
        return check.passed

    def _explain(self, check: Assertion) -> Assertion:
        """Return the check with what would make it fail. One without an entry makes the scenario INVALID."""
        if self.registry is None:
            return check
        try:
            entry = self.registry.find(self.registered_as or self.key, check.name)
        except UnknownCheck as error:
            name = "Each check says what would make it fail"
            missing = Assertion(name, passed=False, wanted="an entry in stress/check_registry", found=str(error))
            self.checks.append(replace(missing, undecided=True))
            return check
        return replace(check, fails_if=entry.fails_if, control=entry.control)

    def show_progress(self, text: str) -> None:
        """Show what the scenario does now."""
        self.progress.note_step(text)

    async def pause(self, seconds: float, why: str) -> None:
        """Wait for some seconds, and show why."""
        self.show_progress(f"waiting {seconds:.0f} s: {why}")
        await asyncio.sleep(seconds)

    async def send_burst(self, calls: Sequence[PlannedCall]) -> list[CallSample]:
        """Send all calls at the same instant; the verdict requires a sample of each."""
        self.samples_wanted += len(calls)
        return await self.generator.send_burst(calls)

    def want_all_samples(self) -> None:
        """Have the verdict require a sample of each call that the generator has made, whoever made it."""
        self.samples_wanted = max(self.samples_wanted, self.generator.count_ended())

    @property
    def samples(self) -> list[CallSample]:
        """Return the samples of the scenario so far."""
        return self.ledger.list_samples(self.key)

    def build_result(self) -> ScenarioResult:
        """Return the result of the scenario."""
        samples = self.samples
        self._check_answers(samples)
        lag = verdict.summarise_lag([sample.lag_ms for sample in samples])
        reconciliation = self.reconciliation.summarise()
        return ScenarioResult(
            key=self.key,
            title=self.title,
            promise=self.promise,
            status=verdict.judge_status(self.checks, reconciliation, lag, len(samples), self.samples_wanted),
            began_s=self.began_s,
            ended_s=self.ended_s,
            checks=self.checks,
            figures=self.figures,
            latencies=self._summarise_latencies(samples),
            lag=lag,
            samples=len(samples),
            samples_wanted=self.samples_wanted,
            answers=count_answers(samples),
            reconciliation=reconciliation,
            charts=self.charts,
            notes=self.notes,
        )

    def _check_answers(self, samples: Sequence[CallSample]) -> None:
        """Check that all answers were expected; a scenario without checks of its own does not pass by this alone."""
        unexpected = count_unexpected(samples)
        if unexpected or (samples and self.checks):
            self.check(
                "No call was answered otherwise than it should be",
                holds=not unexpected,
                wanted="none",
                found=unexpected or "none",
            )

    @staticmethod
    def _summarise_latencies(samples: Sequence[CallSample]) -> list[Latency]:
        operations = dict.fromkeys(sample.call.operation for sample in samples if sample.is_accepted)
        return [
            verdict.summarise_latency(
                name, [s.latency_ms for s in samples if s.call.operation == name and s.is_accepted]
            )
            for name in operations
        ]


@dataclass(kw_only=True)
class LocalScenarioContext(ScenarioContext):
    """The context of a scenario on a local cloud, which can be inspected and broken."""

    target: "LocalCloud"
    fixtures: "UserFixtures"
    monitor: "HealthMonitor"
    faults: "FaultLog"
    root: Path
    state: Path
    history: "HistoryFacts | None" = None
