"""docs/reference/readiness.md says what a run has found, and nothing else."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from stress import claims
from stress.claims import Claim, NotFound
from stress.controls.model import FILE, read_controls
from stress.model import Report
from stress.report import store
from stress.summary import write
from tests.stress import sample

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def report() -> Report:
    return sample.mixed()


def test_the_page_is_what_the_kept_run_makes_of_the_claims() -> None:
    """Whoever changes a claim, or keeps another run, makes the page anew."""
    kept = store.load(ROOT / claims.REPORT)
    assert kept.profile == "full"
    assert (ROOT / claims.PAGE).read_text(encoding="utf-8") == claims.page(kept, claims.claims())


def test_a_check_that_failed_has_no_tick(report: Report) -> None:
    """And one that held has one."""
    failing = next(result for result in report.results if any(not check.passed for check in result.checks))
    check = next(check for check in failing.checks if not check.passed)
    claim = Claim("something", failing.key, (check.name,))
    assert f"✗ {check.name}" in claims.page(report, [claim])
    mended = replace(failing, checks=[replace(check, passed=True)])
    assert f"✓ {check.name}" in claims.page(replace(report, results=[mended]), [claim])


@pytest.mark.parametrize(
    "claim",
    [
        Claim("no such scenario", "nowhere"),
        Claim("no such check", "agents", ("Nobody asserted this",)),
        Claim("no such figure", "agents", (), ("Nobody measured this",)),
    ],
)
def test_what_no_run_has_found_is_refused(report: Report, claim: Claim) -> None:
    """A tick that no assertion made can't be written."""
    with pytest.raises(NotFound):
        claims.page(report, [claim])


def test_the_page_counts_the_controls_that_there_are(report: Report) -> None:
    """A number written by hand stayed behind when a control was added."""
    count = len(read_controls(FILE.read_text(encoding="utf-8")))
    assert f"breaks the system in {count} ways" in claims.page(report, [])


def test_a_kept_report_can_be_kept_again(report: Report, tmp_path: Path) -> None:
    """After a claim has changed its page is made anew of the report that is there."""
    folder = tmp_path / claims.REPORT
    (tmp_path / claims.PAGE).parent.mkdir(parents=True, exist_ok=True)
    write(report, [], folder)
    shutil.copyfile(folder / "report.json", tmp_path / "before.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims, "claims", list)
        claims.keep(folder, tmp_path)
    assert (folder / "report.json").read_bytes() == (tmp_path / "before.json").read_bytes()
    assert (tmp_path / claims.PAGE).read_text(encoding="utf-8") == claims.page(report, [])
