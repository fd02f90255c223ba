"""The checks of a run that were closest to failing."""

from dataclasses import replace

from stress.model import Assertion, CheckEvidence, Estimate, ReadinessReport, Side
from stress.report.near_misses import SHOWN, find_near_misses
from stress.report.page import render_page
from tests.stress import sample, sample_results

EXACT = Assertion("Writes lost", True, "0", "0")


def make_check(name: str, bar: float, low: float, high: float, side: Side = "at most") -> Assertion:
    """Return a check of a percentile that held."""
    evidence = CheckEvidence("percentile", bar=bar, side=side)
    return Assertion(
        name, True, f"{bar}", f"{high}", estimate=Estimate(low, low, high, 900), evidence=evidence,
        fails_if="Each call sleeps.",
    )  # fmt: skip


def make_report(*checks: Assertion) -> ReadinessReport:
    """Return a passing report whose only scenario has these checks."""
    report = sample.make_passing_report()
    return replace(report, results=[replace(sample_results.make_claims(), checks=list(checks))])


def test_the_nearest_check_is_first_by_the_unfavourable_end() -> None:
    """Both sides of a bar are measured as a share of it; exact checks are counted alone."""
    checks = [
        make_check("far", 250, 20, 50),
        make_check("near", 250, 200, 245),
        make_check("factor", 5, 5.5, 9, "at least"),
        EXACT,
    ]
    misses = find_near_misses(make_report(*checks))
    found = [(each.check.name, round(each.distance, 3)) for each in misses.nearest]
    assert found == [("near", 0.02), ("factor", 0.1), ("far", 0.8)]
    assert (misses.with_interval, misses.exact) == (3, 1)


def test_only_the_nearest_checks_that_held_are_shown() -> None:
    """A failed check stands at the top of the page already."""
    checks = [make_check(f"check {n}", 100, 1, 90 - n) for n in range(SHOWN + 3)]
    misses = find_near_misses(make_report(*checks))
    assert [each.check.name for each in misses.nearest] == [f"check {n}" for n in range(SHOWN)]
    failed = replace(make_check("failed", 100, 99, 101), passed=False)
    assert find_near_misses(make_report(failed, EXACT)).nearest == []


def test_the_page_says_what_would_have_failed() -> None:
    """It has what was found, the room that was left, and what would break the check."""
    page = render_page(make_report(make_check("Answers at p95", 250, 200, 240), EXACT))
    assert "Checks that were closest to failing" in page
    assert "Answers at p95" in page
    assert "Fails if: Each call sleeps." in page
    assert "4 %" in page
