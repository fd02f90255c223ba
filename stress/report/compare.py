"""The comparison of two runs: changed results, changed figures, and whether the runs are comparable at all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress import samples
from stress.model import Assertion, ReadinessReport
from stress.report import consistency, ratio_picture, store
from stress.report.compared_figures import (
    HEADERS,
    NONE,
    ComparedFigure,
    Differences,
    Row,
    add_bands,
    compare_counts,
    compare_estimates,
    compare_latencies,
    list_pairs,
    list_rare_operations,
)
from stress.report.differences import find_differences
from stress.report.formatting import flatten_setting, format_moment
from stress.report.markdown import escape_text, format_table
from stress.report.page import render_template

READING = (
    "n is the number of samples; with each value stands its interval at 95 %. Noise is how far B / A would be from 1 "
    "by chance if the runs did not differ, in view of how many ratios this page has: of twenty pages of two equal "
    "runs, one has a ratio outside of its noise. That is the chance of samples only. A busier machine makes a "
    "difference too, and only more runs tell it from the code's."
)
TESTED = (
    "Slower and faster were tested on the raw calls: beside p50 all calls by rank, beside p95 the slowest twentieth. "
    "So a word may stand beside a ratio within its noise; “unclear” is a ratio outside of it that the test does not "
    "confirm."
)
NOT_TESTED = (
    "The raw calls of both runs are needed to tell a difference from chance: nothing is called slower or faster."
)
AS_ABOVE = "n, interval and noise as above. Higher and lower are outside of their noise."
COUNTED = "One number of each run (n = 1), without an interval: nothing tells how much of a difference is noise."


@dataclass(frozen=True)
class ComparisonTable:
    """One aspect of both runs. The first `words` columns are text, the others numbers; `empty` replaces no rows."""

    title: str
    headers: Row
    rows: list[Row]
    empty: str
    words: int = 99
    notes: Sequence[str] = ()
    figures: Sequence[ComparedFigure] = ()

    @property
    def reach(self) -> float:
        """Return how far from 1 the scale of its pictures reaches."""
        return ratio_picture.choose_reach(figure.ratio.value for figure in self.figures if figure.ratio)


def compare(a: ReadinessReport, b: ReadinessReport, differences: Differences | None = None) -> str:
    """Return the comparison as Markdown whose tables are aligned, for a terminal and a comment alike."""
    parts = [f"## {format_headline(a, b)}", f"A: {escape_text(_describe_run(a))}  \nB: {escape_text(_describe_run(b))}"]
    for part in build_tables(a, b, differences):
        rows = [[escape_text(cell) for cell in row] for row in part.rows]
        parts += [f"### {part.title}", format_table(part.headers, rows) if rows else part.empty]
        parts += part.notes
    return "\n\n".join(parts) + "\n"


def compare_html(a: ReadinessReport, b: ReadinessReport, differences: Differences | None = None) -> str:
    """Return the comparison as a page in the report's style."""
    scores = [consistency.score_report(report) for report in (a, b)]
    runs = list(zip("AB", (a, b), scores, strict=True))
    tables = build_tables(a, b, differences)
    return render_template("compare.html.j2", headline=format_headline(a, b), runs=runs, tables=tables)


def write_comparison(folder_a: Path, folder_b: Path, out: Path) -> str:
    """Compare the runs in two folders: write the page to `out`, return the text.

    Latencies are tested if both folders hold the raw calls. Raise OSError if a folder holds no report.json, pydantic's
    ValidationError if that is no report.
    """
    a, b = store.load(folder_a), store.load(folder_b)
    raw = [folder / samples.FILE for folder in (folder_a, folder_b)]
    differences = find_differences(*map(samples.read_latencies, raw)) if all(path.exists() for path in raw) else None
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(compare_html(a, b, differences), encoding="utf-8")
    return compare(a, b, differences)


def format_headline(a: ReadinessReport, b: ReadinessReport) -> str:
    """Return both scores in a sentence."""
    before, after = consistency.score_report(a), consistency.score_report(b)
    return f"{before.passed} of {before.total} promises held in A, {after.passed} of {after.total} in B."


def build_tables(
    a: ReadinessReport, b: ReadinessReport, differences: Differences | None = None
) -> list[ComparisonTable]:
    """Return everything that is compared, most important first; without `differences` no latency is tested."""
    latencies, estimates = add_bands(compare_latencies(a, b, differences or {}), compare_estimates(a, b))
    rare = list_rare_operations(a, b)
    few = [f"Too few calls for p50, which needs 6 (those of A and of B): {', '.join(rare)}."] if rare else []
    return [
        ComparisonTable(
            "Verdicts", ("scenario", "A", "B", "verdict"), list(_compare_verdicts(a, b)), "Neither run has a scenario."
        ),
        ComparisonTable(
            "Checks that changed", ("scenario", "check", "A", "B"), list(_compare_checks(a, b)), "None changed."
        ),
        ComparisonTable(
            "Conditions that differ",
            ("name", "A", "B"),
            [*_compare_settings(a.environment, b.environment), *_compare_settings(a.settings, b.settings)],
            "None: same environment, same settings.",
        ),
        _make_table("Latencies", latencies, READING, NOT_TESTED if differences is None else TESTED, *few),
        _make_table("Figures and checks with an interval", estimates, AS_ABOVE if latencies else READING),
        ComparisonTable(
            "Other figures",
            ("scenario", "figure", "A", "B", "B / A"),
            compare_counts(a, b),
            "None were measured.",
            words=2,
            notes=(COUNTED,),
        ),
    ]


def _make_table(title: str, figures: Sequence[ComparedFigure], *notes: str) -> ComparisonTable:
    rows = [figure.format_row() for figure in figures]
    return ComparisonTable(title, HEADERS, rows, "None were measured.", words=2, notes=notes, figures=figures)


def _describe_run(report: ReadinessReport) -> str:
    verdict = consistency.score_report(report).verdict
    return f"{format_moment(report.started_at)}, profile {report.profile}, {verdict}"


def _compare_verdicts(a: ReadinessReport, b: ReadinessReport) -> Iterator[Row]:
    for key, before, after in list_pairs(a, b):
        was, is_now = (consistency.judge_result(result) if result else NONE for result in (before, after))
        yield key, was, is_now, "" if was == is_now else "changed"


def _compare_checks(a: ReadinessReport, b: ReadinessReport) -> Iterator[Row]:
    for key, before, after in list_pairs(a, b):
        was, is_now = ({check.name: check for check in result.checks} if result else {} for result in (before, after))
        for name in dict.fromkeys([*was, *is_now]):
            one, other = was.get(name), is_now.get(name)
            if one is None or other is None or (one.passed, one.undecided) != (other.passed, other.undecided):
                yield key, name, _format_check(one), _format_check(other)


def _format_check(check: Assertion | None) -> str:
    if check is None:
        return NONE
    samples = f", n = {check.estimate.samples:,}" if check.estimate else ""
    return f"{'held' if check.passed else 'undecided' if check.undecided else 'FAILED'}: {check.found}{samples}"


def _compare_settings(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Row]:
    for name in dict.fromkeys([*a, *b]):
        if a.get(name) != b.get(name):
            yield name, flatten_setting(a[name]) if name in a else NONE, flatten_setting(b[name]) if name in b else NONE
