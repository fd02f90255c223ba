"""report.html: one file with all that a run has found, to be read without scripts, network or account."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stress.model import Report
from stress.report import charts, reading, timeline, words

FILE = "report.html"
_HERE = Path(__file__).parent
_FUNCTIONS: tuple[Any, ...] = (
    reading.standing,
    reading.doubts,
    reading.late,
    reading.short,
    reading.audit,
    charts.line_chart,
    charts.histogram,
)
_FILTERS: tuple[Any, ...] = (
    words.number,
    words.clock,
    words.span,
    words.moment,
    words.several,
    words.flat,
    timeline.when,
    reading.checks_held,
)


def page(report: Report) -> str:
    """The page. Whatever a scenario wrote is text in it, never markup."""
    return render(
        "page.html.j2",
        report=report,
        score=reading.score(report.results),
        evidence=reading.evidence(report.results),
        contradictions=reading.contradictions(report),
        numbered=list(enumerate(report.results, 1)),
        faults=list(enumerate(report.timeline.faults, 1)),
        timelines=[(name, timeline.timeline_chart(report, width)) for name, width in timeline.WIDTHS.items()],
    )


def write(report: Report, folder: Path) -> Path:
    """Write `folder`/report.html, making the folder where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    path.write_text(page(report), encoding="utf-8")
    return path


def render(template: str, **facts: object) -> str:
    """A template of this folder with the style and the words that all pages have."""
    return _environment().get_template(template).render(**facts)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup((_HERE / "style.css").read_text(encoding="utf-8"))  # noqa: S704 — our own file
    environment.globals.update(style=style, marks=reading.MARKS, meanings=reading.MEANINGS)
    environment.globals.update({function.__name__: function for function in _FUNCTIONS})
    environment.filters.update({function.__name__: function for function in _FILTERS})
    return environment
