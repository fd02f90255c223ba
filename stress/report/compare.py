"""Two runs side by side: what holds now and did not, what became of each figure, and whether they may be compared."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.model import Check, Latency, Report, Result
from stress.report import reading, store
from stress.report.markdown import table, text
from stress.report.page import render
from stress.report.words import flat, moment, number

NONE = "-"
SAME = 0.1  # latencies within a tenth of each other are not called faster or slower
Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """One aspect of both runs. The first `words` columns are words, the others numbers; `empty` is said of no rows."""

    title: str
    headers: Row
    rows: list[Row]
    empty: str
    words: int = 99


def compare(a: Report, b: Report) -> str:
    """The comparison as Markdown whose tables are even, for a terminal and a comment alike."""
    parts = [f"## {headline(a, b)}", f"A: {text(_run(a))}  \nB: {text(_run(b))}"]
    for part in tables(a, b):
        rows = [[text(cell) for cell in row] for row in part.rows]
        parts += [f"### {part.title}", table(part.headers, rows) if rows else part.empty]
    return "\n\n".join(parts) + "\n"


def compare_html(a: Report, b: Report) -> str:
    """The comparison as a page in the report's style."""
    scores = [reading.score(report.results) for report in (a, b)]
    runs = list(zip("AB", (a, b), scores, strict=True))
    return render("compare.html.j2", headline=headline(a, b), runs=runs, tables=tables(a, b))


def write_comparison(folder_a: Path, folder_b: Path, out: Path) -> str:
    """Compare the runs in two folders: the page goes to the file `out`, the text is returned.

    OSError where a folder holds no report.json, pydantic's ValidationError where that is no report.
    """
    a, b = store.load(folder_a), store.load(folder_b)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(compare_html(a, b), encoding="utf-8")
    return compare(a, b)


def headline(a: Report, b: Report) -> str:
    """Both scores in a sentence."""
    before, after = reading.score(a.results), reading.score(b.results)
    return f"{before.passed} of {before.total} promises held in A, {after.passed} of {after.total} in B."


def tables(a: Report, b: Report) -> list[Table]:
    """Everything that is compared, most important first."""
    return [
        Table("Verdicts", ("scenario", "A", "B", ""), list(_verdicts(a, b)), "Neither run has a scenario."),
        Table("Checks that changed", ("scenario", "check", "A", "B"), list(_checks(a, b)), "None changed."),
        Table(
            "Conditions that differ",
            ("name", "A", "B"),
            [*_different(a.environment, b.environment), *_different(a.settings, b.settings)],
            "None: same environment, same settings.",
        ),
        Table(
            "Latencies, ms",
            ("scenario", "operation", "p50 A", "p50 B", "B / A", "p95 A", "p95 B", "B / A", ""),
            list(_latencies(a, b)),
            "None were measured.",
            words=2,
        ),
        Table(
            "Figures",
            ("scenario", "figure", "A", "B", "B / A"),
            list(_figures(a, b)),
            "None were measured.",
            words=2,
        ),
    ]


def ratio(before: float, after: float) -> str:
    """B by A, as 1.25; nothing where A is 0."""
    if before == after:
        return "="
    return f"{after / before:.2f}" if before else NONE


def _run(report: Report) -> str:
    return f"{moment(report.started_at)}, profile {report.profile}, {reading.score(report.results).verdict}"


def _pairs(a: Report, b: Report) -> Iterator[tuple[str, Result | None, Result | None]]:
    """The scenarios of both by key, in the order of A and then of B."""
    before, after = ({result.key: result for result in report.results} for report in (a, b))
    for key in [*before, *(key for key in after if key not in before)]:
        yield key, before.get(key), after.get(key)


def _verdicts(a: Report, b: Report) -> Iterator[Row]:
    for key, before, after in _pairs(a, b):
        was, is_now = (reading.standing(result) if result else NONE for result in (before, after))
        yield key, was, is_now, "" if was == is_now else "changed"


def _checks(a: Report, b: Report) -> Iterator[Row]:
    for key, before, after in _pairs(a, b):
        was, is_now = ({check.name: check for check in result.checks} if result else {} for result in (before, after))
        for name in dict.fromkeys([*was, *is_now]):
            one, other = was.get(name), is_now.get(name)
            if one is None or other is None or one.passed != other.passed:
                yield key, name, _check(one), _check(other)


def _check(check: Check | None) -> str:
    return NONE if check is None else f"{'held' if check.passed else 'FAILED'}: {check.found}"


def _different(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Row]:
    for name in dict.fromkeys([*a, *b]):
        if a.get(name) != b.get(name):
            yield name, flat(a[name]) if name in a else NONE, flat(b[name]) if name in b else NONE


def _latencies(a: Report, b: Report) -> Iterator[Row]:
    for key, before, after in _pairs(a, b):
        was, is_now = (
            {latency.operation: latency for latency in result.latencies} if result else {} for result in (before, after)
        )
        for operation in dict.fromkeys([*was, *is_now]):
            yield _named(key, before, after), operation, *_sides(was.get(operation), is_now.get(operation))


def _sides(one: Latency | None, other: Latency | None) -> Row:
    if one is None or other is None:
        p50s, p95s = (
            (number(getattr(side, name)) if side else NONE for side in (one, other)) for name in ("p50", "p95")
        )
        return (*p50s, NONE, *p95s, NONE, "")
    return (
        *(number(one.p50), number(other.p50), ratio(one.p50, other.p50)),
        *(number(one.p95), number(other.p95), ratio(one.p95, other.p95), _tendency(one.p95, other.p95)),
    )


def _tendency(before: float, after: float) -> str:
    if after > before * (1 + SAME):
        return "slower"
    return "faster" if after < before / (1 + SAME) else ""


def _figures(a: Report, b: Report) -> Iterator[Row]:
    for key, before, after in _pairs(a, b):
        was, is_now = (
            {figure.name: figure for figure in result.figures} if result else {} for result in (before, after)
        )
        for name in dict.fromkeys([*was, *is_now]):
            one, other = was.get(name), is_now.get(name)
            values = [f"{number(side.value)} {side.unit}".rstrip() if side else NONE for side in (one, other)]
            yield _named(key, before, after), name, *values, ratio(one.value, other.value) if one and other else NONE


def _named(key: str, before: Result | None, after: Result | None) -> str:
    """The scenario, with a warning where what it measured counts for nothing."""
    runs = [run for run, side in (("A", before), ("B", after)) if side and reading.standing(side) == "INVALID"]
    return f"{key} (INVALID in {' and '.join(runs)})" if runs else key
