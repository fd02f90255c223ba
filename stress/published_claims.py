"""docs/reference/readiness.md: each claim of the predecessor's report, whether it is shown now, and by what.

Nobody writes an answer: it follows from the evidence. A name that neither the run nor the repository has is an error,
and a tick is a check that passed in the run.
"""

import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from stress.control_record import PUBLISHED, find_doubt
from stress.controls.model import FILE, read_controls
from stress.model import Assertion, Figure, ReadinessReport, ScenarioResult, Side
from stress.report.formatting import format_interval
from stress.verdict import Decision, decide
from stress.wording import NOT_SHOWN

CLAIMS_FILE = Path(__file__).with_name("published_claims.toml")
REPORT = Path("measurements/readiness")
GUARANTEES = Path("tests/guarantees/guarantees.toml")
PAGE = Path("docs/reference/readiness.md")
N = TypeVar("N", Assertion, Figure)
HEAD = """# Readiness: what was claimed, and what is measured

The predecessor's report made these claims, here by its own numbers, without measuring any of them. Each row says
whether the claim is shown now, and by what: checks of a run of `make stress` (✓ held, ✗ did not), its figures,
comparisons of its reconciliation, [guarantees](guarantees.md) and tests. **Shown**: all of it holds. **In part**: it
holds, but is less than what was claimed, and the row says what is missing. **Untrue**: a check failed, or a figure
misses the claim's own number. **Not shown**: nothing here proves it, and the row says why.

The run's full report is [measurements/readiness/](../../measurements/readiness/report.md). `make stress` makes such a
run on any machine in about 18 minutes; `make stress-controls` breaks the system in {controls} ways and expects the
scenarios to find each.

{verdict}

{doubt}{count}

| | Claim | Answer | By what |
|---|---|---|---|
"""
HOLDS: dict[Decision, bool | None] = {"met": True, "missed": False, "undecided": None}
SIGNS = {True: "✓", False: "✗", None: "?"}
ANSWERS = ("shown", "in part", "untrue", "not shown")


class UnknownEvidence(Exception):
    """A claim names something that neither the run nor the repository has."""


@dataclass(frozen=True)
class ClaimEvidence:
    """One piece of evidence; exactly one of its first five fields names it.

    `at_least` and `at_most` are the number that the claim itself gave for a figure.
    """

    check: str = ""
    figure: str = ""
    compared: str = ""
    guarantee: str = ""
    test: str = ""
    scenario: str = ""
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True)
class PublishedClaim:
    """A claim of the predecessor's report, and what answers it."""

    id: str
    claim: str
    evidence: tuple[ClaimEvidence, ...] = ()
    not_shown: str = ""
    note: str = ""


@dataclass(frozen=True)
class JudgedEvidence:
    """A piece of evidence in words, and whether it holds; None if the run could not judge it."""

    text: str
    holds: bool | None


class Repository:
    """The evidence that is not the run's: guarantees and tests of the checkout."""

    def __init__(self, root: Path) -> None:
        """Read the names of the guarantees."""
        self._root = root
        document = tomllib.loads((root / GUARANTEES).read_text(encoding="utf-8"))
        self._promises = [str(each["promise"]) for each in document["guarantee"]]

    def judge_guarantee(self, name: str) -> JudgedEvidence:
        """Return the guarantee whose promise begins so. Raise UnknownEvidence if there is none, or more than one.

        It holds: `make test` fails if one of its figures misses its bar.
        """
        found = [promise for promise in self._promises if promise.startswith(name)]
        if len(found) != 1:
            raise UnknownEvidence(f"{len(found)} guarantees begin with {name!r}")
        return JudgedEvidence(f"[guarantee](guarantees.md): {found[0]}", holds=True)

    def judge_test(self, name: str) -> JudgedEvidence:
        """Return the test of that path, or path::function; `make test` fails if it does. Raise UnknownEvidence."""
        path, _, function = name.partition("::")
        if not (self._root / path).is_file():
            raise UnknownEvidence(f"there is no {path}")
        if function and f"def {function}(" not in (self._root / path).read_text(encoding="utf-8"):
            raise UnknownEvidence(f"{path} has no {function}")
        words = f": {function.removeprefix('test_').replace('_', ' ')}" if function else ""
        return JudgedEvidence(f"test `{path}`{words}", holds=True)


def read_published_claims(path: Path = CLAIMS_FILE) -> list[PublishedClaim]:
    """Return all claims of the file. Raise TypeError for a key that no claim or evidence has."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    return [_read_claim(each) for each in document["claim"]]


def _read_claim(table: dict[str, Any]) -> PublishedClaim:
    evidence = tuple(ClaimEvidence(**each) for each in table.pop("evidence", ()))
    return PublishedClaim(**table, evidence=evidence)


def build_page(report: ReadinessReport, claims: Sequence[PublishedClaim], root: Path) -> str:
    """Return the page; `root` is the checkout with the guarantees and tests. Raise UnknownEvidence."""
    verdict = (
        f"Published: the run of {report.started_at[:10]}, commit {report.environment.get('commit', 'unknown')}, "
        f"{report.environment.get('machine', 'a machine')}: **{report.passed} of {report.total} promises hold**, "
        f"in {report.duration_s / 60:.0f} minutes."
    )
    judge = ClaimJudge(report, Repository(root))
    judged = [(claim, *judge.judge_claim(claim)) for claim in claims]
    counts = Counter(answer for _, answer, _ in judged)
    count = f"Of {len(claims)} claims: " + ", ".join(f"{counts[answer]} {answer}" for answer in ANSWERS) + "."
    controls = len(read_controls(FILE.read_text(encoding="utf-8")))
    rows = "".join(_format_row(claim, answer, evidence) for claim, answer, evidence in judged)
    doubt = find_doubt(PUBLISHED, report.controls)
    shown = f"**INVALID, which is not PASS.** {doubt}\n\n" if doubt else ""
    return HEAD.format(verdict=verdict, controls=controls, doubt=shown, count=count) + rows


class ClaimJudge:
    """Judges claims by a run and the repository."""

    def __init__(self, report: ReadinessReport, repository: Repository) -> None:
        """Keep both."""
        self._results = {result.key: result for result in report.results}
        self._repository = repository

    def judge_claim(self, claim: PublishedClaim) -> tuple[str, list[JudgedEvidence]]:
        """Return one of ANSWERS, and the judged evidence.

        Raise UnknownEvidence for evidence that is not there, ValueError for a claim with neither evidence nor a reason.
        """
        judged = [found for each in claim.evidence for found in self._judge_evidence(claim, each)]
        if not judged and not claim.not_shown:
            raise ValueError(f"{claim.id} has neither evidence nor a reason")
        held = {each.holds for each in judged}
        if False in held:
            return "untrue", judged
        if None in held or not judged:
            return "not shown", judged
        return ("in part" if claim.not_shown else "shown"), judged

    def _judge_evidence(self, claim: PublishedClaim, evidence: ClaimEvidence) -> list[JudgedEvidence]:
        if evidence.guarantee:
            return [self._repository.judge_guarantee(evidence.guarantee)]
        if evidence.test:
            return [self._repository.judge_test(evidence.test)]
        if evidence.scenario not in self._results:
            raise UnknownEvidence(f"{claim.id}: the run has no scenario {evidence.scenario!r}")
        result = self._results[evidence.scenario]
        if evidence.check:
            return [_judge_check(check, result) for check in _find_named(claim, evidence.check, result.checks)]
        if evidence.figure:
            if missing := [note for note in result.notes if note.startswith(evidence.figure) and NOT_SHOWN in note]:
                return [JudgedEvidence(f"? {note}", None) for note in missing]  # with too few samples for an interval
            return [_judge_figure(figure, evidence) for figure in _find_named(claim, evidence.figure, result.figures)]
        return [_judge_compared(evidence.compared, result)]


def _find_named(claim: PublishedClaim, name: str, among: Sequence[N]) -> list[N]:
    found = [each for each in among if each.name.startswith(name)]
    if not found:
        raise UnknownEvidence(f"{claim.id}: nothing in the run is called {name!r}…")
    return list({each.name: each for each in sorted(found, key=_sort_failed_last)}.values())


def _sort_failed_last(each: Assertion | Figure) -> bool:
    """Return what sorts checks of one name so that a failed one is the one that is shown."""
    return isinstance(each, Assertion) and not each.passed


def _judge_check(check: Assertion, result: ScenarioResult) -> JudgedEvidence:
    if result.status not in ("PASS", "FAIL"):
        return JudgedEvidence(f"? {check.name} (the scenario was {result.status})", None)
    if check.undecided:
        return JudgedEvidence(f"? {check.name} (undecided: {check.found})", None)
    found = "" if check.passed else f" (found {check.found})"
    return JudgedEvidence(f"{'✓' if check.passed else '✗'} {check.name}{found}", check.passed)


def _judge_figure(figure: Figure, evidence: ClaimEvidence) -> JudgedEvidence:
    """Return the figure; by its interval, if it has one, whether it reaches the claim's own number."""
    low, high = (figure.estimate.low, figure.estimate.high) if figure.estimate else (figure.value, figure.value)
    interval = f" ({format_interval(low, high)})" if figure.estimate else ""
    text = f"{figure.name}: **{f'{figure.value:.4g} {figure.unit}'.strip()}**{interval}"
    bars: tuple[tuple[float | None, Side], ...] = ((evidence.at_least, "at least"), (evidence.at_most, "at most"))
    for bar, side in bars:
        if bar is not None:
            holds = HOLDS[decide(low, high, bar, side)]
            return JudgedEvidence(f"{SIGNS[holds]} {text} (claimed: {side} {bar:g})", holds)
    return JudgedEvidence(text, holds=True)


def _judge_compared(kind: str, result: ScenarioResult) -> JudgedEvidence:
    """Return whether things of this kind were compared, and none differed."""
    count = result.reconciliation.compared.get(kind, 0)
    differing = sum(each.what == kind for each in result.reconciliation.differences)
    holds = count > 0 and not differing and not result.reconciliation.more_differences
    return JudgedEvidence(f"{'✓' if holds else '✗'} {kind}: {count} compared, {differing} differ", holds)


def _format_row(claim: PublishedClaim, answer: str, evidence: Sequence[JudgedEvidence]) -> str:
    cells = [each.text for each in evidence]
    cells += [f"*{text}*" for text in (claim.not_shown, claim.note) if text]
    return f"| {claim.id} | {claim.claim} | **{answer}** | {'<br>'.join(cells)} |\n"
