"""docs/reference/readiness.md says what a run and the repository prove, and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from stress import published_claims
from stress.controls.model import FILE, read_controls
from stress.estimates import TooFewSamples
from stress.model import Difference, Estimate, Figure, ReadinessReport, ScenarioResult
from stress.published_claims import ClaimEvidence, PublishedClaim, UnknownEvidence
from stress.report import store
from tests.stress import sample
from tests.stress.calls import make_call, make_sample
from tests.stress.test_scenario_context import make_context

ROOT = Path(__file__).resolve().parents[2]
# How many numbers the claims of each chapter of the predecessor's report have.
CHAPTERS = {1: 7, 2: 6, 3: 6, 4: 5, 5: 7, 6: 5, 7: 8, 8: 6, 9: 5, 10: 5}


@pytest.fixture
def report() -> ReadinessReport:
    return sample.make_mixed_report()


def build_row(report: ReadinessReport, *evidence: ClaimEvidence, not_shown: str = "") -> str:
    """Return the page's last line, the row of a claim with this evidence."""
    claim = PublishedClaim("1.1", "Something", evidence, not_shown)
    return published_claims.build_page(report, [claim], ROOT).splitlines()[-1]


def replace_result(report: ReadinessReport, result: ScenarioResult) -> ReadinessReport:
    """Return the report with this result in place of the scenario's own."""
    return replace(report, results=[result if each.key == result.key else each for each in report.results])


def find_result(report: ReadinessReport, key: str) -> ScenarioResult:
    """Return the result of a scenario."""
    return next(result for result in report.results if result.key == key)


def test_the_page_is_what_the_kept_run_makes_of_the_claims() -> None:
    """A changed claim, or another kept run, needs a new page."""
    kept = store.load(ROOT / published_claims.REPORT)
    assert kept.profile == "full"
    assert (ROOT / published_claims.PAGE).read_text(encoding="utf-8") == published_claims.build_page(
        kept, published_claims.read_published_claims(), ROOT
    )


def test_every_claim_is_answered_once() -> None:
    """The answers stand in the order of the predecessor's report."""
    claims = published_claims.read_published_claims()
    assert [claim.id for claim in claims] == [f"{n}.{m}" for n, count in CHAPTERS.items() for m in range(1, count + 1)]


def test_a_check_that_failed_makes_its_claim_untrue(report: ReadinessReport) -> None:
    """One that held has a tick."""
    failing = find_result(report, "claims")
    check = next(check for check in failing.checks if not check.passed)
    evidence = ClaimEvidence(scenario="claims", check=check.name)
    row = build_row(report, evidence)
    assert "**untrue**" in row
    assert f"✗ {check.name}" in row
    mended = replace(failing, status="PASS", checks=[replace(check, passed=True)])
    row = build_row(replace_result(report, mended), evidence)
    assert "**shown**" in row
    assert f"✓ {check.name}" in row


def test_of_checks_with_one_name_the_failed_one_counts(report: ReadinessReport) -> None:
    """A scenario may make a check several times."""
    result = find_result(report, "pool")
    first, *rest = result.checks
    twice = replace(result, checks=[replace(first, passed=False), first, *rest])
    evidence = ClaimEvidence(scenario="pool", check=first.name)
    assert "**untrue**" in build_row(replace_result(report, twice), evidence)


def test_a_scenario_that_could_not_be_judged_shows_nothing(report: ReadinessReport) -> None:
    """It doesn't prove that the claim is untrue either."""
    result = replace(find_result(report, "pool"), status="INVALID")
    evidence = ClaimEvidence(scenario="pool", check=result.checks[0].name)
    assert "**not shown**" in build_row(replace_result(report, result), evidence)


@pytest.mark.parametrize(
    ("value", "at_least", "at_most", "answer"),
    [(1.5, 5, None, "untrue"), (5, 5, None, "shown"), (2.1, None, 2, "untrue"), (2, None, 2, "shown")],
)
def test_a_figure_is_held_to_the_claims_own_number(
    report: ReadinessReport, value: float, at_least: float | None, at_most: float | None, answer: str
) -> None:
    """A claim of five times is untrue at one and a half times, whatever else passed."""
    result = replace(find_result(report, "pool"), figures=[Figure("after ÷ before", value, "×")])
    evidence = ClaimEvidence(scenario="pool", figure="after", at_least=at_least, at_most=at_most)
    assert f"**{answer}**" in build_row(replace_result(report, result), evidence)


@pytest.mark.parametrize(("low", "high", "answer"), [(5.1, 6, "shown"), (4.9, 6, "not shown"), (4, 4.9, "untrue")])
def test_a_figure_with_an_interval_is_held_to_it_by_the_interval(
    report: ReadinessReport, low: float, high: float, answer: str
) -> None:
    """Five times was claimed, and the figure is five times: only the interval decides."""
    figure = Figure("after ÷ before", 5.0, "×", estimate=Estimate(5.0, low, high, 90))
    changed = replace_result(report, replace(find_result(report, "pool"), figures=[figure]))
    row = build_row(changed, ClaimEvidence(scenario="pool", figure="after", at_least=5), not_shown="Perhaps.")
    assert f"**{'in part' if answer == 'shown' else answer}**" in row
    assert f"**5 ×** ({low:g} to {high:g}) (claimed: at least 5)" in row


def test_a_figure_of_too_few_samples_shows_nothing_and_says_so(report: ReadinessReport) -> None:
    """The run notes it, in the words of its context."""
    context = make_context(make_sample(make_call(), 201))
    context.record_estimate("(a) after ÷ before", TooFewSamples(0, 2), "×")
    changed = replace_result(report, replace(find_result(report, "pool"), notes=context.notes))
    row = build_row(changed, ClaimEvidence(scenario="pool", figure="(a) after ÷ before", at_least=5))
    assert "**not shown** | ? (a) after ÷ before: not shown, as 0 samples are fewer than the 2 it needs." in row


def test_an_undecided_check_shows_nothing(report: ReadinessReport) -> None:
    """Though another check of the same scenario failed."""
    result = find_result(report, "pool")
    checks = [replace(result.checks[0], passed=False, undecided=True), *result.checks[1:]]
    changed = replace_result(report, replace(result, status="FAIL", checks=checks))
    assert "**not shown**" in build_row(changed, ClaimEvidence(scenario="pool", check=result.checks[0].name))


def test_what_was_compared_must_have_been_there_and_agree(report: ReadinessReport) -> None:
    """No comparison proves nothing."""
    result = find_result(report, "pool")
    evidence = ClaimEvidence(scenario="pool", compared="members")
    assert "**shown**" in build_row(report, evidence)
    assert "**untrue**" in build_row(report, ClaimEvidence(scenario="pool", compared="unicorns"))
    lost = Difference("members", "m-1", "1", "0")
    changed = replace(result, reconciliation=replace(result.reconciliation, differences=[lost]))
    assert "**untrue**" in build_row(replace_result(report, changed), evidence)


def test_a_reason_makes_it_shown_in_part_or_not_at_all(report: ReadinessReport) -> None:
    """A reason does so whether there is evidence or not."""
    evidence = ClaimEvidence(test="tests/stress/test_store.py::test_a_round_trip_is_exact")
    assert "**in part**" in build_row(report, evidence, not_shown="Only on Sundays.")
    assert "**not shown**" in build_row(report, not_shown="Nobody tried.")
    with pytest.raises(ValueError, match=r"1\.1"):
        build_row(report)


@pytest.mark.parametrize(
    "evidence",
    [
        ClaimEvidence(scenario="nowhere", check="x"),
        ClaimEvidence(scenario="agents", check="Nobody asserted this"),
        ClaimEvidence(scenario="agents", figure="Nobody measured this"),
        ClaimEvidence(guarantee="Nobody guaranteed this"),
        ClaimEvidence(guarantee="A "),  # more than one begins so
        ClaimEvidence(test="tests/stress/test_nothing.py"),
        ClaimEvidence(test="tests/stress/test_store.py::test_nothing"),
    ],
)
def test_evidence_that_is_not_there_is_refused(report: ReadinessReport, evidence: ClaimEvidence) -> None:
    """An answer that nothing supports can't be written."""
    with pytest.raises(UnknownEvidence):
        build_row(report, evidence)


def test_the_page_counts_the_controls_that_there_are(report: ReadinessReport) -> None:
    """A number written by hand stayed behind when a control was added."""
    count = len(read_controls(FILE.read_text(encoding="utf-8")))
    assert f"breaks the system in {count} ways" in published_claims.build_page(report, [], ROOT)
