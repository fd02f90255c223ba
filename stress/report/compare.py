"""The comparison of two runs: changed results, changed figures, and whether the runs are comparable at all."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress import samples
from stress.estimates import TooFewSamples
from stress.model import Assertion, Estimate, Figure, Latency, ReadinessReport, ScenarioResult
from stress.report import consistency, store
from stress.report.differences import LatencyDifference, find_differences
from stress.report.formatting import flatten_setting, format_estimate, format_moment, format_number
from stress.report.markdown import escape_text, format_table
from stress.report.page import render_template

NONE = "-"
UNTESTED = "not tested"
TESTED = (
    "Tested on the raw calls, with a correction for so many tests: of pages of two runs that do not differ, at most "
    "one in twenty calls anything slower or faster. Whether code or machine makes a difference, only more runs tell."
)
NOT_TESTED = (
    "The raw calls of both runs are needed to tell a difference from chance: nothing is called slower or faster."
)
Row = tuple[str, ...]
Differences = Mapping[tuple[str, str], LatencyDifference]


@dataclass(frozen=True)
class ComparisonTable:
    """One aspect of both runs. The first `words` columns are text, the others numbers; `empty` replaces no rows."""

    title: str
    headers: Row
    rows: list[Row]
    empty: str
    words: int = 99
    note: str = ""


def compare(a: ReadinessReport, b: ReadinessReport, differences: Differences | None = None) -> str:
    """Return the comparison as Markdown whose tables are aligned, for a terminal and a comment alike."""
    parts = [f"## {format_headline(a, b)}", f"A: {escape_text(_describe_run(a))}  \nB: {escape_text(_describe_run(b))}"]
    for part in build_tables(a, b, differences):
        rows = [[escape_text(cell) for cell in row] for row in part.rows]
        parts += [f"### {part.title}", format_table(part.headers, rows) if rows else part.empty]
        parts += [part.note] if part.note else []
    return "\n\n".join(parts) + "\n"


def compare_html(a: ReadinessReport, b: ReadinessReport, differences: Differences | None = None) -> str:
    """Return the comparison as a page in the report's style."""
    scores = [consistency.compute_score(report.results) for report in (a, b)]
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
    before, after = consistency.compute_score(a.results), consistency.compute_score(b.results)
    return f"{before.passed} of {before.total} promises held in A, {after.passed} of {after.total} in B."


def build_tables(
    a: ReadinessReport, b: ReadinessReport, differences: Differences | None = None
) -> list[ComparisonTable]:
    """Return everything that is compared, most important first; without `differences` no latency is tested."""
    return [
        ComparisonTable(
            "Verdicts", ("scenario", "A", "B", ""), list(_compare_verdicts(a, b)), "Neither run has a scenario."
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
        ComparisonTable(
            "Latencies, ms",
            ("scenario", "operation", "p50 A", "p50 B", "B / A", "p95 A", "p95 B", "B / A", ""),
            list(_compare_latencies(a, b, differences or {})),
            "None were measured.",
            words=2,
            note=NOT_TESTED if differences is None else TESTED,
        ),
        ComparisonTable(
            "Figures",
            ("scenario", "figure", "A", "B", "B / A"),
            list(_compare_figures(a, b)),
            "None were measured.",
            words=2,
        ),
    ]


def format_ratio(before: float, after: float) -> str:
    """Return B by A, as 1.25; "=" if they are equal, a dash if A is 0."""
    if before == after:
        return "="
    return f"{after / before:.2f}" if before else NONE


def _describe_run(report: ReadinessReport) -> str:
    verdict = consistency.compute_score(report.results).verdict
    return f"{format_moment(report.started_at)}, profile {report.profile}, {verdict}"


def _list_pairs(
    a: ReadinessReport, b: ReadinessReport
) -> Iterator[tuple[str, ScenarioResult | None, ScenarioResult | None]]:
    """Yield the scenarios of both by key, in the order of A and then of B."""
    before, after = ({result.key: result for result in report.results} for report in (a, b))
    for key in [*before, *(key for key in after if key not in before)]:
        yield key, before.get(key), after.get(key)


def _compare_verdicts(a: ReadinessReport, b: ReadinessReport) -> Iterator[Row]:
    for key, before, after in _list_pairs(a, b):
        was, is_now = (consistency.judge_result(result) if result else NONE for result in (before, after))
        yield key, was, is_now, "" if was == is_now else "changed"


def _compare_checks(a: ReadinessReport, b: ReadinessReport) -> Iterator[Row]:
    for key, before, after in _list_pairs(a, b):
        was, is_now = ({check.name: check for check in result.checks} if result else {} for result in (before, after))
        for name in dict.fromkeys([*was, *is_now]):
            one, other = was.get(name), is_now.get(name)
            if one is None or other is None or (one.passed, one.undecided) != (other.passed, other.undecided):
                yield key, name, _format_check(one), _format_check(other)


def _format_check(check: Assertion | None) -> str:
    if check is None:
        return NONE
    return f"{'held' if check.passed else 'undecided' if check.undecided else 'FAILED'}: {check.found}"


def _compare_settings(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Row]:
    for name in dict.fromkeys([*a, *b]):
        if a.get(name) != b.get(name):
            yield name, flatten_setting(a[name]) if name in a else NONE, flatten_setting(b[name]) if name in b else NONE


def _compare_latencies(a: ReadinessReport, b: ReadinessReport, differences: Differences) -> Iterator[Row]:
    for key, before, after in _list_pairs(a, b):
        was, is_now = (
            {latency.operation: latency for latency in result.latencies} if result else {} for result in (before, after)
        )
        for operation in dict.fromkeys([*was, *is_now]):
            yield (
                _name_scenario(key, before, after),
                operation,
                *_format_latencies(was.get(operation), is_now.get(operation), differences.get((key, operation))),
            )


def _format_latencies(one: Latency | None, other: Latency | None, difference: LatencyDifference | None) -> Row:
    p50s, p95s = (
        [
            NONE if side is None or getattr(side, name) is None else format_number(getattr(side, name))
            for side in (one, other)
        ]
        for name in ("p50", "p95")
    )
    if one is None or other is None:
        return (*p50s, NONE, *p95s, NONE, "")
    if difference is None:
        return (*p50s, _format_change(one.p50, other.p50), *p95s, _format_change(one.p95, other.p95), UNTESTED)
    p50_ratio, p95_ratio = _format_ratio_estimate(difference.p50_ratio), _format_ratio_estimate(difference.p95_ratio)
    return (*p50s, p50_ratio, *p95s, p95_ratio, difference.trend)


def _format_change(before: float | None, after: float | None) -> str:
    return NONE if before is None or after is None else format_ratio(before, after)


def _format_ratio_estimate(ratio: Estimate | TooFewSamples) -> str:
    return NONE if isinstance(ratio, TooFewSamples) else format_estimate(ratio)


def _compare_figures(a: ReadinessReport, b: ReadinessReport) -> Iterator[Row]:
    for key, before, after in _list_pairs(a, b):
        was, is_now = (
            {figure.name: figure for figure in result.figures} if result else {} for result in (before, after)
        )
        for name in dict.fromkeys([*was, *is_now]):
            one, other = was.get(name), is_now.get(name)
            values = [_format_figure(side) if side else NONE for side in (one, other)]
            yield (
                _name_scenario(key, before, after),
                name,
                *values,
                format_ratio(one.value, other.value) if one and other else NONE,
            )


def _format_figure(figure: Figure) -> str:
    if figure.estimate is not None:
        return format_estimate(figure.estimate, figure.unit)
    return f"{format_number(figure.value)} {figure.unit}".rstrip()


def _name_scenario(key: str, before: ScenarioResult | None, after: ScenarioResult | None) -> str:
    """Return the scenario's key, with a warning if a measurement is INVALID."""
    runs = [run for run, side in (("A", before), ("B", after)) if side and consistency.judge_result(side) == "INVALID"]
    return f"{key} (INVALID in {' and '.join(runs)})" if runs else key
