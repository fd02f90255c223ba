"""report.html: one file with all that a run has found, to be read without scripts, network or account."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stress.model import Report, Result
from stress.report import charts, reading, timeline, words

FILE = "report.html"
_HERE = Path(__file__).parent


def page(report: Report) -> str:
    """The page. Whatever a scenario wrote is text in it, never markup."""
    return render(
        "page.html.j2",
        report=report,
        score=reading.score(report.results),
        contradictions=reading.contradictions(report),
        numbered=list(enumerate(report.results, 1)),
        faults=list(enumerate(report.timeline.faults, 1)),
        timelines=[
            ("wide", timeline.timeline_chart(report, timeline.WIDE)),
            ("narrow", timeline.timeline_chart(report, timeline.NARROW)),
        ],
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
    for function in (reading.standing, reading.late, reading.audit, charts.line_chart, charts.histogram):
        environment.globals[function.__name__] = function
    for function in (words.number, words.clock, words.span, timeline.when, flat, key_figure):
        environment.filters[function.__name__] = function
    return environment


def flat(value: Any) -> str:
    """A setting as text: nested ones as `name value` pairs."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {flat(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(flat(inner) for inner in value)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return str(value)


def key_figure(result: Result) -> str:
    """The checks that held, of all: for the table of contents."""
    return f"{sum(check.passed for check in result.checks)} of {len(result.checks)}"
