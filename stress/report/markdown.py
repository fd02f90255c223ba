"""report.md: the page in short, to fit into the comment of a pull request."""

import re
from collections.abc import Sequence
from pathlib import Path

from stress.control_record import ControlRecord
from stress.model import Assertion, Percentile, ReadinessReport, ScenarioResult
from stress.report import consistency
from stress.report.fault_marks import format_when, name_fault
from stress.report.formatting import (
    flatten_setting,
    format_duration,
    format_moment,
    format_more,
    format_number,
    format_percentile,
    join_names,
)
from stress.report.recorded_values import write_plainly

FILE = "report.md"
MOST_CHARACTERS = 60_000  # a comment holds 65,536
MOST_DIFFERENCES = 5  # of one scenario
MOST_CHECKS = 20  # failed ones of one scenario
MOST_LETTERS = 240  # of one text
SHOWN: tuple[Percentile, ...] = ("p50", "p95", "p99")

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#])")


def format_markdown(report: ReadinessReport) -> str:
    """Return the verdict, a row for each scenario, all problems in full, and the conditions."""
    score = consistency.score_report(report)
    parts = [
        f"## {consistency.MARKS[score.verdict]} {score.verdict}: {score.headline}",
        "\n".join(f"- {consistency.MARKS[status]} {escape_text(sentence)}" for status, sentence in score.rest),
        escape_text(consistency.summarise_evidence(report)),
        "\n".join(f"> **Contradiction.** {escape_text(claim)}" for claim in consistency.find_contradictions(report)),
        f"{escape_text(format_moment(report.started_at))}, {format_duration(report.duration_s)}, "
        f"profile {escape_text(report.profile)}, against {escape_text(report.target)}.",
        _format_scenarios(report.results),
        *(
            _format_problems(result)
            for result in report.results
            if consistency.judge_result(result) not in ("PASS", "SKIPPED")
        ),
        _format_latencies(report.results),
        _format_faults(report),
        _format_controls(report.controls),
        _format_conditions(report),
        "INVALID means that nothing was learned (too few samples, a bar within the interval of what was found, or a "
        "late load generator); it is not PASS.",
    ]
    return "\n\n".join(_drop_what_exceeds([part for part in parts if part])) + "\n"


def write_markdown(report: ReadinessReport, folder: Path) -> Path:
    """Write `folder`/report.md, creating the folder if it is missing; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    path.write_text(format_markdown(report), encoding="utf-8")
    return path


def escape_text(value: object) -> str:
    """Return a value on one line that Markdown takes for text: no markup, no link, no mention."""
    line = " ".join(str(value).split())
    short = line if len(line) <= MOST_LETTERS else line[: MOST_LETTERS - 1] + "…"
    return _SPECIAL.sub(r"\\\1", short.replace("&", "&amp;")).replace("@", "&#64;").replace("://", ":&#47;/")


def format_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with aligned columns, readable in a terminal as well. Cells are not escaped."""
    widths = [max(3, *(len(row[column]) for row in (headers, *rows))) for column in range(len(headers))]
    lines = [headers, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _format_scenarios(results: Sequence[ScenarioResult]) -> str:
    rows = [
        [
            f"{consistency.MARKS[consistency.judge_result(result)]} {consistency.judge_result(result)}",
            escape_text(result.title),
            consistency.describe_checks(result).replace(" checks held", ""),
            f"{format_number(result.samples)} of {format_number(result.samples_wanted)}",
            f"{format_number(result.lag.p99)} of {format_number(result.lag.bar)} ms" if result.lag else "none",
            consistency.summarise_reconciliation(result),
        ]
        for result in results
    ]
    return format_table(["", "promise", "checks held", "samples", "generator lag, p99", "reconciliation"], rows)


def _format_problems(result: ScenarioResult) -> str:
    status = consistency.judge_result(result)
    lines = [f"### {consistency.MARKS[status]} {status}: {escape_text(result.title)}", escape_text(result.promise)]
    if doubts := consistency.list_doubts(result):
        lines.append(f"**Why:** {join_names(doubts)}.")
    found = [
        *_format_failed([check for check in sorted(result.checks, key=_sort_undecided_last) if not check.passed]),
        *_format_differences(result),
    ]
    notes = [f"- {escape_text(note)}" for note in result.notes]
    return "\n\n".join([*lines, *filter(None, ["\n".join(found), "\n".join(notes)])])


def _format_failed(checks: Sequence[Assertion]) -> list[str]:
    lines = [
        f"- {'?' if check.undecided else '✕'} **{escape_text(check.name)}**: "
        f"wanted {escape_text(write_plainly(check.wanted))}, found **{escape_text(write_plainly(check.found))}**"
        + (f", undecided: {format_more(check.more_samples)} would decide" if check.undecided else "")
        for check in checks[:MOST_CHECKS]
    ]
    more = len(checks) - len(lines)
    return [*lines, f"- and {format_number(more)} checks more"] if more else lines


def _sort_undecided_last(check: Assertion) -> bool:
    return check.undecided


def _format_differences(result: ScenarioResult) -> list[str]:
    reconciliation = result.reconciliation
    listed = reconciliation.differences[:MOST_DIFFERENCES]
    more = len(reconciliation.differences) - len(listed) + reconciliation.more_differences
    lines = [
        f"- ≠ {escape_text(one.what)} {escape_text(one.subject)}: answered {escape_text(one.answered)}, "
        f"found **{escape_text(one.found)}**"
        for one in listed
    ]
    return [*lines, f"- and {format_number(more)} differences more"] if more else lines


def _format_latencies(results: Sequence[ScenarioResult]) -> str:
    rows = [
        [
            escape_text(result.key),
            escape_text(one.operation),
            format_number(one.calls),
            *(format_percentile(one, name) for name in SHOWN),
            format_number(one.most),
        ]
        for result in results
        for one in result.latencies
    ]
    if not rows:
        return ""
    return _fold_section(
        "Latencies, ms, with their intervals at 95 %",
        format_table(["scenario", "operation", "calls", *SHOWN, "max"], rows),
    )


def _format_faults(report: ReadinessReport) -> str:
    rows = [
        [name_fault(index), escape_text(fault.name), format_when(fault)]
        for index, fault in enumerate(report.timeline.faults)
    ]
    return _fold_section("Faults", format_table(["", "fault", "when"], rows)) if rows else ""


def _format_controls(controls: Sequence[ControlRecord]) -> str:
    rows = [
        [
            consistency.MARKS["INVALID" if control.doubt else "PASS"],
            escape_text(control.name),
            escape_text(control.scenario),
            escape_text(control.red or "none"),
            str(len(control.others)),
            escape_text(control.commit or "none"),
            escape_text(control.doubt or "detected in this code"),
        ]
        for control in controls
    ]
    headers = ["", "control", "scenario", "what turned red", "others", "commit", "state"]
    return _fold_section("Negative controls", format_table(headers, rows)) if rows else ""


def _format_conditions(report: ReadinessReport) -> str:
    rows = [
        [escape_text(name), escape_text(flatten_setting(value))]
        for name, value in (*report.environment.items(), *report.settings.items())
    ]
    return _fold_section("Environment and settings", format_table(["name", "value"], rows)) if rows else ""


def _fold_section(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"


def _drop_what_exceeds(parts: Sequence[str]) -> list[str]:
    """Return the parts that fit into a comment, each whole; the most important come first."""
    kept: list[str] = []
    left = MOST_CHARACTERS
    for part in parts:
        if len(part) + 2 <= left:
            kept.append(part)
            left -= len(part) + 2
    left_out = len(parts) - len(kept)
    return [*kept, f"**{left_out} parts were left out for length:** report.html has them."] if left_out else kept
