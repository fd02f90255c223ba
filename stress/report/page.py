"""report.html: one file with all results of a run, readable without scripts, network or account."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stress.model import ReadinessReport
from stress.report import (
    charts,
    check_rows,
    consistency,
    fault_marks,
    formatting,
    histogram,
    near_misses,
    ratio_picture,
    recorded_values,
    timeline,
)

FILE = "report.html"
_HERE = Path(__file__).parent
_FUNCTIONS: tuple[Any, ...] = (
    consistency.judge_result,
    consistency.list_doubts,
    consistency.is_generator_late,
    consistency.has_too_few_samples,
    consistency.summarise_reconciliation,
    formatting.format_interval,
    formatting.format_more,
    charts.draw_line_chart,
    check_rows.fold_checks,
    histogram.draw_histogram,
    ratio_picture.draw_ratio,
    ratio_picture.draw_ratio_legend,
)
_FILTERS: tuple[Any, ...] = (
    formatting.format_number,
    formatting.format_clock,
    formatting.format_duration,
    formatting.format_moment,
    formatting.join_names,
    formatting.flatten_setting,
    formatting.split_interval,
    fault_marks.format_when,
    formatting.format_count,
    recorded_values.mark_recorded,
    consistency.describe_checks,
)


def render_page(report: ReadinessReport) -> str:
    """Return the page. Whatever a scenario wrote is text in it, never markup."""
    return render_template(
        "page.html.j2",
        report=report,
        score=consistency.score_report(report),
        evidence=consistency.summarise_evidence(report),
        misses=near_misses.find_near_misses(report),
        contradictions=consistency.find_contradictions(report),
        numbered=list(enumerate(report.results, 1)),
        faults=[(fault_marks.name_fault(index), fault) for index, fault in enumerate(report.timeline.faults)],
        timelines=[(name, timeline.draw_timeline(report, width)) for name, width in timeline.WIDTHS.items()],
    )


def write_page(report: ReadinessReport, folder: Path) -> Path:
    """Write `folder`/report.html, creating the folder if it is missing; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    path.write_text(render_page(report), encoding="utf-8")
    return path


def render_template(template: str, **values: object) -> str:
    """Return a template of this folder, rendered with the style and functions that all pages have."""
    return _make_environment().get_template(template).render(**values)


@cache
def _make_environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup((_HERE / "style.css").read_text(encoding="utf-8"))  # noqa: S704 — our own file
    environment.globals.update(style=style, marks=consistency.MARKS, meanings=consistency.MEANINGS)
    environment.globals.update({function.__name__: function for function in _FUNCTIONS})
    environment.filters.update({function.__name__: function for function in _FILTERS})
    return environment
