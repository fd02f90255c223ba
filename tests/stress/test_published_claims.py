"""docs/reference/readiness.md says what a run has found, and nothing else."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from stress import published_claims
from stress.controls.model import FILE, read_controls
from stress.model import ReadinessReport
from stress.published_claims import PublishedClaim, UnknownEvidence
from stress.report import store
from stress.report_builder import write_report
from tests.stress import sample

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def report() -> ReadinessReport:
    return sample.make_mixed_report()


def test_the_page_is_what_the_kept_run_makes_of_the_claims() -> None:
    """A changed claim, or another kept run, needs a new page."""
    kept = store.load(ROOT / published_claims.REPORT)
    assert kept.profile == "full"
    assert (ROOT / published_claims.PAGE).read_text(encoding="utf-8") == published_claims.build_page(
        kept, published_claims.read_published_claims()
    )


def test_a_check_that_failed_has_no_tick(report: ReadinessReport) -> None:
    """A check that held has one."""
    failing = next(result for result in report.results if any(not check.passed for check in result.checks))
    check = next(check for check in failing.checks if not check.passed)
    claim = PublishedClaim("something", failing.key, (check.name,))
    assert f"✗ {check.name}" in published_claims.build_page(report, [claim])
    mended = replace(failing, checks=[replace(check, passed=True)])
    assert f"✓ {check.name}" in published_claims.build_page(replace(report, results=[mended]), [claim])


@pytest.mark.parametrize(
    "claim",
    [
        PublishedClaim("no such scenario", "nowhere"),
        PublishedClaim("no such check", "agents", ("Nobody asserted this",)),
        PublishedClaim("no such figure", "agents", (), ("Nobody measured this",)),
    ],
)
def test_what_no_run_has_found_is_refused(report: ReadinessReport, claim: PublishedClaim) -> None:
    """A tick that no assertion made can't be written."""
    with pytest.raises(UnknownEvidence):
        published_claims.build_page(report, [claim])


def test_the_page_counts_the_controls_that_there_are(report: ReadinessReport) -> None:
    """A number written by hand stayed behind when a control was added."""
    count = len(read_controls(FILE.read_text(encoding="utf-8")))
    assert f"breaks the system in {count} ways" in published_claims.build_page(report, [])


def test_a_kept_report_can_be_kept_again(
    report: ReadinessReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed claim's page is made again from the kept report."""
    folder = tmp_path / published_claims.REPORT
    (tmp_path / published_claims.PAGE).parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr("stress.report_builder.SIGNING_KEY", tmp_path / "key.pem")
    write_report(report, [], folder, ROOT)
    shutil.copyfile(folder / "report.json", tmp_path / "before.json")
    monkeypatch.setattr(published_claims, "read_published_claims", list)
    published_claims.publish(folder, tmp_path)
    assert (folder / "report.json").read_bytes() == (tmp_path / "before.json").read_bytes()
    assert (tmp_path / published_claims.PAGE).read_text(encoding="utf-8") == published_claims.build_page(report, [])
