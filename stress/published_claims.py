"""docs/reference/readiness.md: each claim of the predecessor's report, with the scenario and figures that prove it now.

The page has only what a run has found: a name that the run does not have is an error, and a tick is a check that passed
in it.
"""

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from stress.controls.model import FILE, read_controls
from stress.model import Assertion, Figure, ReadinessReport, ScenarioResult
from stress.report import store
from stress.statement import SIGNER_FILE, STATEMENT_FILE

CLAIMS_FILE = Path(__file__).with_name("published_claims.toml")
REPORT = Path("measurements/readiness")
PAGE = Path("docs/reference/readiness.md")
PUBLISHED_FILES = ("report.json", "report.html", "report.md", "samples.csv.gz", SIGNER_FILE, STATEMENT_FILE)
HEAD = """# Readiness: what was claimed, and what is measured

The predecessor's report made these claims without measuring any of them. Each row names the scenario of `make stress`
that tests the claim now, the checks that passed (✓) or failed (✗) in the last published run, and its figures. The run's
full report is [measurements/readiness/](../../measurements/readiness/report.md). `make stress` makes such a run on any
machine in a quarter of an hour; `make stress-controls` breaks the system in {controls} ways and expects the scenarios
to find each.

{verdict}

| Claim | Scenario | Checks and figures |
|---|---|---|
"""


class UnknownEvidence(Exception):
    """A claim names a check, figure or scenario that the run does not have."""


N = TypeVar("N", Assertion, Figure)


@dataclass(frozen=True)
class PublishedClaim:
    """A claim of the predecessor's report."""

    claim: str
    scenario: str
    checks: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    note: str = ""


def read_published_claims(path: Path = CLAIMS_FILE) -> list[PublishedClaim]:
    """Return all claims of the file."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    return [_read_claim(each) for each in document["claim"]]


def _read_claim(table: dict[str, Any]) -> PublishedClaim:
    names = {kind: tuple(table.get(kind, ())) for kind in ("checks", "figures")}
    return PublishedClaim(table["claim"], table["scenario"], names["checks"], names["figures"], table.get("note", ""))


def build_page(report: ReadinessReport, claims: list[PublishedClaim]) -> str:
    """Return the page. Raise UnknownEvidence."""
    verdict = (
        f"Published: the run of {report.started_at[:10]}, commit {report.environment.get('commit', 'unknown')}, "
        f"{report.environment.get('machine', 'a machine')}: **{report.passed} of {report.total} promises hold**, "
        f"in {report.duration_s / 60:.0f} minutes."
    )
    results = {result.key: result for result in report.results}
    count = len(read_controls(FILE.read_text(encoding="utf-8")))
    return HEAD.format(verdict=verdict, controls=count) + "".join(_format_row(claim, results) for claim in claims)


def publish(folder: Path, root: Path) -> None:
    """Copy a run's report below docs/, and write the page of it. Raise UnknownEvidence, OSError.

    Given the published report itself, after a claim or a control has changed, write only the page.
    """
    text = build_page(store.load(folder), read_published_claims())
    published = root / REPORT
    published.mkdir(parents=True, exist_ok=True)
    if not published.samefile(folder):
        for name in PUBLISHED_FILES:
            shutil.copyfile(folder / name, published / name)
    (root / PAGE).write_text(text, encoding="utf-8")


def _format_row(claim: PublishedClaim, results: dict[str, ScenarioResult]) -> str:
    if claim.scenario not in results:
        raise UnknownEvidence(f"{claim.claim}: the run has no scenario {claim.scenario}")
    result = results[claim.scenario]
    cells = [_format_check(check) for name in claim.checks for check in _find_named(claim, name, result.checks)]
    cells += [_format_figure(figure) for name in claim.figures for figure in _find_named(claim, name, result.figures)]
    cells += [f"*{claim.note}*"] if claim.note else []
    return f"| {claim.claim} | {result.title}: {result.status} | {'<br>'.join(cells)} |\n"


def _find_named(claim: PublishedClaim, name: str, among: list[N]) -> list[N]:
    found = [each for each in among if each.name.startswith(name)]
    if not found:
        raise UnknownEvidence(f"{claim.claim}: nothing in the run is called {name!r}…")
    return found


def _format_check(check: Assertion) -> str:
    return f"{'✓' if check.passed else '✗'} {check.name}" + ("" if check.passed else f" (found {check.found})")


def _format_figure(figure: Figure) -> str:
    return f"{figure.name}: **{f'{figure.value:.4g} {figure.unit}'.strip()}**"
