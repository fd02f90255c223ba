"""The readiness run as it is: the short profile against a local cloud of its own, and its report in a real browser."""

import gzip
import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from stress.function_log import ARCHIVE_FILE
from stress.history import FILE as HISTORY
from stress.model import ReadinessReport
from stress.profiles import SHORT
from stress.report import store
from stress.run import REHEARSALS, SCENARIOS, choose_scenarios
from tests.browser import open_chromium

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 900.0  # it takes five minutes on two free processors


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run's report; of a second run where the first could not measure well enough to judge."""
    folder = tmp_path_factory.mktemp("readiness")
    first = run(folder, "first")
    return first if store.load(first).verdict != "INVALID" else run(folder, "second")


def run(folder: Path, name: str) -> Path:
    """Run the harness and return the report. Fail with its last words if it leaves none."""
    options = ["--profile", "short", "--out", str(folder / name), "--state", str(folder / "state")]
    command = [sys.executable, "-m", "stress", "run", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (folder / name / "report.json").exists(), f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return folder / name


@pytest.fixture(scope="module")
def report(folder: Path) -> ReadinessReport:
    return store.load(folder)


def test_all_promises_hold(report: ReadinessReport) -> None:
    """Each scenario ran, and what did not hold is named."""
    broken = [
        (result.key, result.status, [check for check in result.checks if not check.passed], result.lag,
         result.reconciliation.differences[:5])
        for result in report.results if result.status != "PASS"
    ]  # fmt: skip
    assert [result.key for result in report.results] == choose_scenarios(SHORT)
    assert (report.verdict, broken) == ("PASS", [])


def test_scenarios_that_take_too_long_are_named_as_left_out(report: ReadinessReport) -> None:
    """A short run says nothing about them, and must not look as if it did."""
    assert report.settings["scenarios that are not in this run"] == ", ".join(REHEARSALS)
    assert report.total == len(SCENARIOS) - len(REHEARSALS)


def test_no_scenario_overlaps_the_next(report: ReadinessReport) -> None:
    """Otherwise the timeline would draw one scenario over another."""
    for before, after in itertools.pairwise(report.results):
        assert before.began_s < before.ended_s <= after.began_s, (before.key, after.key)


def test_every_scenario_looked_at_something(report: ReadinessReport) -> None:
    """Checks, samples and comparisons: none passes for want of them."""
    for result in report.results:
        assert result.checks, result.key
        assert result.samples >= result.samples_wanted > 0, result.key
        assert sum(result.reconciliation.compared.values()) > 0, result.key


def test_the_page_renders(folder: Path, tmp_path: Path) -> None:
    """The verdict and a card for each scenario are seen; nothing is fetched, and nothing complained of."""
    with open_chromium(tmp_path / "profile") as browser:
        browser.get((folder / "report.html").as_uri())
        headings = [heading.text for heading in browser.find_elements(By.CSS_SELECTOR, "h1, h2, h3")]
        seen = browser.find_element(By.TAG_NAME, "body").text
        logged = browser.get_log("browser")  # type: ignore[no-untyped-call]
        complaints = [entry for entry in logged if entry["level"] == "SEVERE"]
        browser.save_screenshot(str(folder / "report.png"))
    assert "All 9 promises hold." in seen
    titles = [SCENARIOS[key].TITLE for key in choose_scenarios(SHORT)]
    assert all(any(title in heading for heading in headings) for title in titles)
    assert complaints == []
    assert (folder / "report.png").stat().st_size > 10_000


def test_the_samples_hold_nobodys_data(folder: Path) -> None:
    """No page, no table of the samples and no line of the history contains a mail address."""
    assert (folder / HISTORY).exists()
    for path in sorted(each for each in folder.iterdir() if each.name != ARCHIVE_FILE):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert b"@example.test" not in content, path.name
