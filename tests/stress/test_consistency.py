"""The score is worked out from the scenarios, and none of them is believed over its own record."""

import re
from dataclasses import replace
from typing import Any

import pytest

from stress.model import (
    Assertion,
    CheckEvidence,
    Difference,
    Estimate,
    Lag,
    ReadinessReport,
    Reconciliation,
    ScenarioResult,
    Status,
)
from stress.report import consistency
from tests.stress import sample, sample_results

HELD = Assertion("one", passed=True, wanted="1", found="1")


def replace_result(report: ReadinessReport, changed: ScenarioResult) -> ReadinessReport:
    """Return the report with one scenario exchanged."""
    return replace(report, results=[changed if r.key == changed.key else r for r in report.results])


@pytest.mark.parametrize(
    ("status", "verdict", "headline"),
    [
        ("PASS", "PASS", "All 8 promises hold."),
        ("FAIL", "FAIL", "7 of 8 promises hold."),
        ("INVALID", "INVALID", "7 of 8 promises hold."),
        ("SKIPPED", "SKIPPED", "7 of 8 promises hold."),
    ],
)
def test_the_score_follows_from_the_scenarios(status: Status, verdict: Status, headline: str) -> None:
    """Nothing that the report says of itself is counted."""
    report = replace_result(sample.make_passing_report(), replace(sample_results.make_health(), status=status))
    score = consistency.compute_score(report.results)
    assert (score.verdict, score.headline) == (verdict, headline)
    assert bool(consistency.find_contradictions(report)) == (status != "PASS")


def test_a_fail_weighs_more_than_what_was_not_judged() -> None:
    """The sample has one of each: both are named, and the verdict is FAIL."""
    score = consistency.compute_score(sample.make_mixed_report().results)
    assert (score.verdict, score.passed, score.total) == ("FAIL", 6, 8)
    assert [status for status, _ in score.rest] == ["FAIL", "INVALID"]
    assert consistency.find_contradictions(sample.make_mixed_report()) == []


@pytest.mark.parametrize(
    "flaw",
    [
        {"checks": []},
        {"checks": [replace(HELD, passed=False)]},
        {"checks": [replace(HELD, passed=False, undecided=True, more_samples=7)]},
        {"checks": [replace(HELD, estimate=Estimate(200, 180, 260, 100), evidence=CheckEvidence("percentile", 250))]},
        {"samples": 899},
        {"lag": Lag(sends=900, p50=1, p99=25.1, most=30, bar=25)},
        {"reconciliation": Reconciliation({"claims": 900}, [Difference("claim", "CLM-1", "201", "nothing")])},
        {"reconciliation": Reconciliation({"claims": 900}, more_differences=1)},
    ],
    ids=[
        "no check",
        "failed check",
        "undecided check",
        "check that its interval misses",
        "too few samples",
        "late generator",
        "difference",
        "unlisted difference",
    ],
)
def test_a_pass_that_its_record_speaks_against_is_not_counted(flaw: dict[str, Any]) -> None:
    """Each reason alone is enough, and the page shows the contradiction."""
    report = replace_result(sample.make_passing_report(), replace(sample_results.make_claims(), **flaw))
    assert consistency.compute_score(report.results).passed == 7
    assert consistency.compute_score(report.results).verdict == "INVALID"
    assert any("Claims keep" in claim and "not counted" in claim for claim in consistency.find_contradictions(report))


def test_the_evidence_counts_only_what_could_be_judged() -> None:
    """Checks, samples and comparisons of the INVALID scenario are left out; a control that proves nothing is too."""
    mixed = sample.make_mixed_report()
    assert consistency.summarise_evidence(mixed) == (
        "20 of 22 checks held, on 5,720 samples. For none of them a negative control, which breaks the service on "
        "purpose, was detected. 22,850 comparisons of clients’ answers with the database, the outbox and the inbox "
        "found 7 differences."
    )
    assert "found no difference." in consistency.summarise_evidence(sample.make_passing_report())
    skipped = replace(sample_results.make_pool(), status="SKIPPED")
    assert consistency.summarise_evidence(replace(mixed, results=[skipped])) == ""


def test_the_evidence_counts_checks_that_a_control_has_turned_red() -> None:
    """Each of its scenario, in rounds of any number; not what a control was only meant to break."""
    stale = "Two decide on version {} of each of {} claims: one counts, one is refused as stale"
    names = (stale.format(1, 5), stale.format(2, 5), "Claim numbers are all different", "Evidence announced", "Unknown")
    checks = [replace(HELD, name=name, control="limiter-open") for name in names]
    report = replace_result(sample.make_passing_report(), replace(sample_results.make_claims(), checks=checks))
    control = replace(sample.DETECTED, scenario="claims", red="jobs of a claim", others=[stale.format(3, 9), "Unknown"])
    elsewhere = replace(sample.DETECTED, scenario="agents", red="Claim numbers are all different")
    assert count_controlled(replace(report, controls=[control, elsewhere])) == "2"
    older = replace(control, guards_now={"service": "changed"})
    assert count_controlled(replace(report, controls=[older])) == "none"


def count_controlled(report: ReadinessReport) -> str:
    """Return for how many of its checks a report says that a control was detected."""
    found = re.search(r" For (\w+) of them a negative control, ", consistency.summarise_evidence(report))
    assert found
    return found[1]


def test_a_run_that_tried_nothing_does_not_pass() -> None:
    """An empty run has an empty score, not a perfect one."""
    score = consistency.compute_score([])
    assert (score.verdict, score.headline) == ("INVALID", "Nothing was tried.")


def test_undecided_checks_say_how_many_samples_are_missing() -> None:
    """The largest number is told; a bar where the value is can't be decided by any."""
    checks = [replace(HELD, passed=False, undecided=True, more_samples=more) for more in (7, 1200)]
    result = replace(sample_results.make_claims(), status="INVALID", checks=[HELD, *checks])
    assert consistency.list_doubts(result) == [
        "2 of its 3 checks could not be decided: 1,200 samples more would decide them"
    ]
    assert consistency.describe_checks(result) == "1 of 3 checks held, 2 undecided, not counted"
    endless = replace(result, checks=[replace(checks[0], more_samples=9_000_000)])
    assert "no number of samples that a run can have would decide it" in consistency.list_doubts(endless)[0]
