"""docs/reference/readiness.md: each claim of the predecessor's report, and what proves or disproves it now.

Nothing is written here that a run has not found: a name that the run does not have is an error, and a tick is a check
that held in it.
"""

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from stress.controls.model import FILE, read_controls
from stress.model import Check, Figure, Report, Result
from stress.report import store

CLAIMS = Path(__file__).with_name("claims.toml")
REPORT = Path("measurements/readiness")
PAGE = Path("docs/reference/readiness.md")
KEPT = ("report.json", "report.html", "report.md")
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


class NotFound(Exception):
    """A claim names what the run has not."""


N = TypeVar("N", Check, Figure)


@dataclass(frozen=True)
class Claim:
    """A line of the predecessor's report."""

    claim: str
    scenario: str
    checks: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    note: str = ""


def claims(path: Path = CLAIMS) -> list[Claim]:
    """All of them."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    return [_claim(each) for each in document["claim"]]


def _claim(table: dict[str, Any]) -> Claim:
    names = {kind: tuple(table.get(kind, ())) for kind in ("checks", "figures")}
    return Claim(table["claim"], table["scenario"], names["checks"], names["figures"], table.get("note", ""))


def page(report: Report, of: list[Claim]) -> str:
    """The page. Raises NotFound."""
    verdict = (
        f"Published: the run of {report.started_at[:10]}, commit {report.environment.get('commit', 'unknown')}, "
        f"{report.environment.get('machine', 'a machine')}: **{report.passed} of {report.total} promises hold**, "
        f"in {report.duration_s / 60:.0f} minutes."
    )
    results = {result.key: result for result in report.results}
    count = len(read_controls(FILE.read_text(encoding="utf-8")))
    return HEAD.format(verdict=verdict, controls=count) + "".join(_row(claim, results) for claim in of)


def keep(folder: Path, root: Path) -> None:
    """Keep a run's report in the checkout `root`, and write the page of it. Raise NotFound, OSError.

    Given the kept report itself, after a claim or a control has changed, write only the page.
    """
    text = page(store.load(folder), claims())
    kept = root / REPORT
    kept.mkdir(parents=True, exist_ok=True)
    if not kept.samefile(folder):
        for name in KEPT:
            shutil.copyfile(folder / name, kept / name)
    (root / PAGE).write_text(text, encoding="utf-8")


def _row(claim: Claim, results: dict[str, Result]) -> str:
    if claim.scenario not in results:
        raise NotFound(f"{claim.claim}: the run has no scenario {claim.scenario}")
    result = results[claim.scenario]
    cells = [_check(check) for name in claim.checks for check in _named(claim, name, result.checks)]
    cells += [_figure(figure) for name in claim.figures for figure in _named(claim, name, result.figures)]
    cells += [f"*{claim.note}*"] if claim.note else []
    return f"| {claim.claim} | {result.title}: {result.status} | {'<br>'.join(cells)} |\n"


def _named(claim: Claim, name: str, among: list[N]) -> list[N]:
    found = [each for each in among if each.name.startswith(name)]
    if not found:
        raise NotFound(f"{claim.claim}: nothing in the run is called {name!r}…")
    return found


def _check(check: Check) -> str:
    return f"{'✓' if check.passed else '✗'} {check.name}" + ("" if check.passed else f" (found {check.found})")


def _figure(figure: Figure) -> str:
    return f"{figure.name}: **{f'{figure.value:.4g} {figure.unit}'.strip()}**"
