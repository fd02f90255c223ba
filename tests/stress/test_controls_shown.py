"""The controls on the page, and the published run that they keep from being PASS."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from stress import published_claims
from stress.__main__ import main
from stress.control_record import ControlRecord
from stress.model import ReadinessReport
from stress.published_report import OutdatedControls, publish
from stress.report import consistency, store
from stress.report.markdown import format_markdown
from stress.report.page import render_page
from stress.report_builder import build_report, write_report
from tests.stress import sample
from tests.stress.sample import DETECTED, GUARDS

ROOT = Path(__file__).resolve().parents[2]
OLDER = replace(DETECTED, guards={**GUARDS, "service": "old"})
MISSED = replace(DETECTED, detected=False, outcome="green", status="PASS", red="", others=[])
NEVER = ControlRecord("new", "health", "Broken anew.", guards_now=GUARDS)


def make_report(*controls: ControlRecord, profile: str = "full") -> ReadinessReport:
    """Return the report that the harness builds of scenarios that all passed, with these controls."""
    made = sample.make_passing_report()
    return build_report(
        made.results,
        started_at=datetime.fromisoformat(made.started_at),
        duration_s=made.duration_s,
        profile=profile,
        target=made.target,
        over_time=made.timeline,
        environment=made.environment,
        settings=made.settings,
        controls=controls,
    )


def test_a_full_run_with_controls_of_its_own_code_is_pass() -> None:
    """All of them were detected."""
    report = make_report(DETECTED, replace(DETECTED, name="other"))
    assert (report.verdict, consistency.score_report(report).verdict) == ("PASS", "PASS")
    assert consistency.find_contradictions(report) == []


@pytest.mark.parametrize(
    ("controls", "words"),
    [
        ((DETECTED, OLDER), "Of 2 controls 1 are older than the code they guard."),
        ((DETECTED, MISSED), "Of 2 controls 1 were not detected, or never run."),
        ((NEVER, OLDER), "Of 2 controls 1 are older than the code they guard and 1 were not detected, or never run."),
        ((replace(DETECTED, guards_now={}),), "Of 1 controls 1 are older than the code they guard."),
        ((), "No result of a control came with the run"),
    ],
)
def test_a_full_run_whose_controls_prove_nothing_is_invalid(controls: tuple[ControlRecord, ...], words: str) -> None:
    """The file, the page and the short form say so, and why; a file that says PASS is contradicted."""
    report = make_report(*controls)
    assert report.verdict == "INVALID"
    for shown in (render_page(report), format_markdown(report)):
        assert "INVALID: All 8 promises hold." in shown
        assert words in shown
    told = replace(report, verdict="PASS")
    assert "The file says PASS, its controls say INVALID." in consistency.find_contradictions(told)


def test_a_run_that_nobody_publishes_is_not_held_to_them() -> None:
    """Every change makes some older, and a short run is for whoever works on it; the table is there."""
    report = make_report(OLDER, profile="short")
    assert (report.verdict, consistency.score_report(report).verdict) == ("PASS", "PASS")
    assert "older than the code: the service has changed since" in render_page(report)


def test_a_broken_promise_stays_fail_whatever_the_controls_say() -> None:
    """INVALID would be milder."""
    assert consistency.score_report(replace(sample.make_mixed_report(), controls=[OLDER])).verdict == "FAIL"


def test_the_table_has_each_control_with_its_commit_and_what_turned_red() -> None:
    """One that is older, missed or never run stands out, with the reason."""
    report = make_report(DETECTED, OLDER, MISSED, NEVER)
    page, short = render_page(report), format_markdown(report)
    for control in report.controls:
        assert control.why in page
        assert f"| {control.name} " in short
        assert control.doubt in page
        assert control.doubt in short
    assert page.count("f51b61400aa1") == 3
    assert page.count(DETECTED.red) == 2
    assert page.count("and 1 more") == 2
    assert "1 of 4 were detected, in the code of this run." in page


@pytest.mark.parametrize("controls", [(OLDER,), (MISSED,), (NEVER,), ()])
def test_a_run_with_older_controls_is_published_only_as_invalid(
    controls: tuple[ControlRecord, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused; marked, its page says at its head that it is not PASS."""
    root = prepare_checkout(tmp_path, monkeypatch)
    folder = write_run(make_report(*controls), tmp_path)
    with pytest.raises(OutdatedControls, match="make stress-controls"):
        publish(folder, root)
    assert not (root / published_claims.PAGE).exists()
    monkeypatch.setattr("stress.__main__.ROOT", root)
    assert main(["keep", str(folder)]) == 1
    assert main(["keep", str(folder), "--marked"]) == 0
    assert "**INVALID, which is not PASS.**" in (root / published_claims.PAGE).read_text(encoding="utf-8")


def test_a_run_with_controls_of_its_code_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its page has no such line."""
    root = prepare_checkout(tmp_path, monkeypatch)
    publish(write_run(make_report(DETECTED), tmp_path), root)
    assert "INVALID" not in (root / published_claims.PAGE).read_text(encoding="utf-8")
    assert store.load(root / published_claims.REPORT).controls == [DETECTED]


def write_run(report: ReadinessReport, folder: Path) -> Path:
    """Return the signed folder of a run without calls."""
    write_report(report, [], folder / "run", ROOT)
    return folder / "run"


def prepare_checkout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkout in which something can be published; no claim is made."""
    root = folder / "checkout"
    for path in (published_claims.PAGE, published_claims.GUARANTEES):
        (root / path).parent.mkdir(parents=True)
    (root / published_claims.GUARANTEES).write_bytes((ROOT / published_claims.GUARANTEES).read_bytes())
    monkeypatch.setattr(published_claims, "read_published_claims", list)
    monkeypatch.setattr("stress.report_builder.SIGNING_KEY", folder / "key.pem")
    return root
