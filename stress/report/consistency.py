"""The check of a report against its own parts: no status is believed over the record beside it."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from stress.check_registry import CheckEntry, UnknownCheck, load_registry
from stress.control_record import ControlRecord, find_doubt
from stress.model import Assertion, ReadinessReport, ScenarioResult, Status
from stress.report.formatting import format_more, format_number, join_names
from stress.verdict import decide

MARKS: dict[Status, str] = {"PASS": "●", "FAIL": "✕", "INVALID": "?", "SKIPPED": "○"}
MEANINGS: dict[Status, str] = {
    "PASS": "Every check held, on the full number of samples, from a load generator that kept its time, and the "
    "reconciliation of what clients were answered with what is there found nothing.",
    "FAIL": "The measurement is good and the promise is broken: a check did not hold, or the reconciliation found a "
    "difference.",
    "INVALID": "Nothing was learned: too few samples, a check whose bar lies within the interval of what was found, or "
    "a load generator that was late itself. INVALID is not PASS.",
    "SKIPPED": "Not tried in this run. SKIPPED is not PASS either.",
}


@dataclass(frozen=True)
class ReportScore:
    """The number of scenarios that passed, and the titles of those that didn't, by reason."""

    passed: int
    total: int
    failed: list[str]
    invalid: list[str]
    skipped: list[str]
    doubt: str = ""  # why the controls keep the run from being PASS

    @property
    def verdict(self) -> Status:
        """Return PASS only if there are scenarios, all of them passed, and the controls leave no doubt."""
        if self.failed:
            return "FAIL"
        if self.invalid or not self.total or self.doubt:
            return "INVALID"
        return "SKIPPED" if self.skipped else "PASS"

    @property
    def headline(self) -> str:
        """Return the score in words."""
        if not self.total:
            return "Nothing was tried."
        if self.passed == self.total:
            return f"All {self.total} promises hold." if self.total > 1 else "The promise holds."
        return f"{self.passed or 'None'} of {self.total} {'promises' if self.total > 1 else 'promise'} hold."

    @property
    def rest(self) -> list[tuple[Status, str]]:
        """Return one sentence for each way of not passing."""
        kinds: list[tuple[Status, list[str], tuple[str, str]]] = [
            ("FAIL", self.failed, ("is broken", "are broken")),
            ("INVALID", self.invalid, ("could not be judged", "could not be judged")),
            ("SKIPPED", self.skipped, ("was not tried", "were not tried")),
        ]
        doubts: list[tuple[Status, str]] = [("INVALID", self.doubt)] if self.doubt else []
        return doubts + [
            (status, f"{len(titles)} {how[len(titles) > 1]}: {join_names(titles)}.")
            for status, titles, how in kinds
            if titles
        ]


def list_doubts(result: ScenarioResult) -> list[str]:
    """Return what in a scenario's record contradicts a PASS; nothing if it is one."""
    failed = sum(not check.passed and not check.undecided for check in result.checks)
    undecided = [check for check in result.checks if check.undecided]
    unsupported = sum(check.passed and not is_supported(check) for check in result.checks)
    differences = len(result.reconciliation.differences) + result.reconciliation.more_differences
    found = [
        (not result.checks, "it has no check"),
        (failed > 0, f"{failed} of its {len(result.checks)} checks did not hold"),
        (
            bool(undecided),
            f"{len(undecided)} of its {len(result.checks)} checks could not be decided: "
            f"{format_more(max((check.more_samples for check in undecided), default=0))} would decide "
            f"{'them' if len(undecided) > 1 else 'it'}",
        ),
        (unsupported > 0, f"{unsupported} of its {len(result.checks)} checks held though the interval misses the bar"),
        (differences > 0, f"its reconciliation found {format_number(differences)} difference{'s' * (differences > 1)}"),
        (
            has_too_few_samples(result),
            f"it has {format_number(result.samples)} of {format_number(result.samples_wanted)} samples",
        ),
        (is_generator_late(result), "its load generator was late"),
    ]
    return [text for is_so, text in found if is_so]


def is_supported(check: Assertion) -> bool:
    """Return whether the interval of a check meets its bar; one without an interval is believed."""
    if check.estimate is None or check.evidence is None:
        return True
    return decide(check.estimate.low, check.estimate.high, check.evidence.bar, check.evidence.side) == "met"


def has_too_few_samples(result: ScenarioResult) -> bool:
    """Return whether there are fewer samples than the promise requires."""
    return result.samples < result.samples_wanted


def is_generator_late(result: ScenarioResult) -> bool:
    """Return whether the load generator was beyond its bar, so that nothing counts."""
    return result.lag is not None and result.lag.p99 > result.lag.bar


def judge_result(result: ScenarioResult) -> Status:
    """Return the status that the record supports: a PASS with a doubt beside it is INVALID."""
    return "INVALID" if result.status == "PASS" and list_doubts(result) else result.status


def score_report(report: ReadinessReport) -> ReportScore:
    """Return the score of a report, with what its controls leave in doubt."""
    return compute_score(report.results, find_doubt(report.profile, report.controls))


def compute_score(results: Sequence[ScenarioResult], doubt: str = "") -> ReportScore:
    """Return the score, counted from the scenarios, whatever the report itself says."""
    titles: dict[Status, list[str]] = {"PASS": [], "FAIL": [], "INVALID": [], "SKIPPED": []}
    for result in results:
        titles[judge_result(result)].append(result.title)
    return ReportScore(len(titles["PASS"]), len(results), titles["FAIL"], titles["INVALID"], titles["SKIPPED"], doubt)


def find_contradictions(report: ReadinessReport) -> list[str]:
    """Return the places at which a report claims what its scenarios don't support."""
    counted = score_report(report)
    claims = [
        f"“{result.title}” was recorded as PASS, but {join_names(list_doubts(result))}: it is not counted."
        for result in report.results
        if judge_result(result) != result.status
    ]
    if (report.passed, report.total) != (counted.passed, counted.total):
        claims.append(
            f"The file says {report.passed} of {report.total}, its scenarios say {counted.passed} of {counted.total}."
        )
    if report.verdict == "PASS" != counted.verdict:
        claims.append(f"The file says PASS, its {'controls' if counted.doubt else 'scenarios'} say {counted.verdict}.")
    return claims


def summarise_evidence(report: ReadinessReport) -> str:
    """Return the evidence of the verdict in sentences, over all judged scenarios; empty if none was judged."""
    judged = [result for result in report.results if judge_result(result) in ("PASS", "FAIL")]
    if not judged:
        return ""
    checks = [check for result in judged for check in result.checks]
    broken = list_broken_entries(report.controls)
    breakable = sum(
        (result.key, entry) in broken
        for result in judged
        for check in result.checks
        if (entry := _find_entry(result.key, check.name))
    )
    reconciliations = [result.reconciliation for result in judged]
    differences = sum(len(one.differences) + one.more_differences for one in reconciliations)
    samples = format_number(sum(result.samples for result in judged))
    compared = format_number(sum(sum(one.compared.values()) for one in reconciliations))
    return (
        f"{sum(check.passed for check in checks)} of {len(checks)} checks held, on {samples} samples. For "
        f"{breakable or 'none'} of them a negative control, which breaks the service on purpose, was detected. "
        f"{compared} comparisons of clients’ answers with the database, the outbox and the inbox found "
        f"{format_number(differences) if differences else 'no'} difference{'s' * (differences > 1)}."
    )


def list_broken_entries(controls: Iterable[ControlRecord]) -> set[tuple[str, CheckEntry]]:
    """Return the checks that controls have turned red in the code of the report, each with its scenario.

    A check is one of the registry: a run of another size may count or name its rounds otherwise.
    """
    return {
        (control.scenario, entry)
        for control in controls
        if not control.doubt
        for name in (control.red, *control.others)
        if (entry := _find_entry(control.scenario, name))
    }


def _find_entry(scenario: str, name: str) -> CheckEntry | None:
    """Return the registry's entry of a check; none for a difference of the reconciliation, or an older run's check."""
    with suppress(UnknownCheck):
        return load_registry().find(scenario, name)
    return None


def describe_checks(result: ScenarioResult) -> str:
    """Return how many of the checks passed, for tables."""
    if not result.checks:
        return "no check made"
    passed = f"{sum(check.passed for check in result.checks)} of {len(result.checks)} checks held"
    if undecided := sum(check.undecided for check in result.checks):
        passed += f", {undecided} undecided"
    return f"{passed}, not counted" if judge_result(result) == "INVALID" else passed


def summarise_reconciliation(result: ScenarioResult) -> str:
    """Return the reconciliation in a sentence."""
    compared = sum(result.reconciliation.compared.values())
    differences = len(result.reconciliation.differences) + result.reconciliation.more_differences
    if not compared and not differences:
        return "Nothing was compared."
    found = "no difference" if not differences else f"{format_number(differences)} difference{'s' * (differences > 1)}"
    return f"{format_number(compared)} comparisons, {found}."
