"""report.md: the page's facts in short, as they fit into the comment of a pull request."""

import re
from collections.abc import Sequence
from pathlib import Path

from stress.model import Check, Report, Result
from stress.report import reading
from stress.report.timeline import when
from stress.report.words import flat, moment, number, several, span

FILE = "report.md"
MOST_CHARACTERS = 60_000  # a comment holds 65,536
MOST_DIFFERENCES = 5  # of one scenario
MOST_CHECKS = 20  # failed ones of one scenario
MOST_LETTERS = 240  # of one text

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#])")


def markdown(report: Report) -> str:
    """The verdict, a row for each scenario, what is wrong in full, and the conditions."""
    score = reading.score(report.results)
    parts = [
        f"## {reading.MARKS[score.verdict]} {score.verdict}: {score.headline}",
        "\n".join(f"- {reading.MARKS[status]} {text(sentence)}" for status, sentence in score.rest),
        text(reading.evidence(report.results)),
        "\n".join(f"> **Contradiction.** {text(claim)}" for claim in reading.contradictions(report)),
        f"{text(moment(report.started_at))}, {span(report.duration_s)}, profile {text(report.profile)}, "
        f"against {text(report.target)}.",
        _scenarios(report.results),
        *(_trouble(result) for result in report.results if reading.standing(result) not in ("PASS", "SKIPPED")),
        _latencies(report.results),
        _faults(report),
        _conditions(report),
        "INVALID means that nothing was learned (too few samples, or a late load generator); it is not PASS.",
    ]
    return "\n\n".join(_fitting([part for part in parts if part])) + "\n"


def write(report: Report, folder: Path) -> Path:
    """Write `folder`/report.md, making the folder where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    path.write_text(markdown(report), encoding="utf-8")
    return path


def text(value: object) -> str:
    """A value on one line that Markdown takes for text: no markup, no link, no mention."""
    line = " ".join(str(value).split())
    short = line if len(line) <= MOST_LETTERS else line[: MOST_LETTERS - 1] + "…"
    return _SPECIAL.sub(r"\\\1", short.replace("&", "&amp;")).replace("@", "&#64;").replace("://", ":&#47;/")


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are even, so that it is read in a terminal as well. Cells are taken as they are."""
    widths = [max(3, *(len(row[column]) for row in (headers, *rows))) for column in range(len(headers))]
    lines = [headers, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _scenarios(results: Sequence[Result]) -> str:
    rows = [
        [
            f"{reading.MARKS[reading.standing(result)]} {reading.standing(result)}",
            text(result.title),
            reading.checks_held(result).replace(" checks held", ""),
            f"{number(result.samples)} of {number(result.samples_wanted)}",
            f"{number(result.lag.p99)} of {number(result.lag.bar)} ms" if result.lag else "none",
            reading.audit(result),
        ]
        for result in results
    ]
    return table(["", "promise", "checks held", "samples", "generator lag, p99", "audit"], rows)


def _trouble(result: Result) -> str:
    status = reading.standing(result)
    lines = [f"### {reading.MARKS[status]} {status}: {text(result.title)}", text(result.promise)]
    if doubts := reading.doubts(result):
        lines.append(f"**Why:** {several(doubts)}.")
    found = [*_failed([check for check in result.checks if not check.passed]), *_differences(result)]
    notes = [f"- {text(note)}" for note in result.notes]
    return "\n\n".join([*lines, *filter(None, ["\n".join(found), "\n".join(notes)])])


def _failed(checks: Sequence[Check]) -> list[str]:
    lines = [
        f"- ✕ **{text(check.name)}**: wanted {text(check.wanted)}, found **{text(check.found)}**"
        for check in checks[:MOST_CHECKS]
    ]
    more = len(checks) - len(lines)
    return [*lines, f"- ✕ and {number(more)} failed checks more"] if more else lines


def _differences(result: Result) -> list[str]:
    audit = result.reconciliation
    listed = audit.differences[:MOST_DIFFERENCES]
    more = len(audit.differences) - len(listed) + audit.more_differences
    lines = [
        f"- ≠ {text(one.what)} {text(one.subject)}: told {text(one.told)}, found **{text(one.found)}**"
        for one in listed
    ]
    return [*lines, f"- and {number(more)} differences more"] if more else lines


def _latencies(results: Sequence[Result]) -> str:
    rows = [
        [text(result.key), text(one.operation), *map(number, (one.calls, one.p50, one.p95, one.p99, one.most))]
        for result in results
        for one in result.latencies
    ]
    if not rows:
        return ""
    return _folded("Latencies, ms", table(["scenario", "operation", "calls", "p50", "p95", "p99", "most"], rows))


def _faults(report: Report) -> str:
    rows = [[text(fault.name), when(fault)] for fault in report.timeline.faults]
    return _folded("Faults", table(["fault", "when"], rows)) if rows else ""


def _conditions(report: Report) -> str:
    rows = [[text(name), text(flat(value))] for name, value in (*report.environment.items(), *report.settings.items())]
    return _folded("Environment and settings", table(["name", "value"], rows)) if rows else ""


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"


def _fitting(parts: Sequence[str]) -> list[str]:
    """The parts that fit into a comment, each whole; the most important come first."""
    kept: list[str] = []
    room = MOST_CHARACTERS
    for part in parts:
        if len(part) + 2 <= room:
            kept.append(part)
            room -= len(part) + 2
    left_out = len(parts) - len(kept)
    return [*kept, f"**{left_out} parts were left out for length:** report.html has them."] if left_out else kept
