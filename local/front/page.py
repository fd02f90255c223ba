"""The front page and the page of a trace, rendered by Jinja from the templates beside this module, without scripts."""

from dataclasses import asdict
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.circuits import describe_release
from local.front.docs_page import hash_source
from local.front.model import CircuitLine, FrontView, TraceView
from local.front.people import ABILITIES, ROLES, SignedIn, build_address
from local.http_server import HttpResponse

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")
POLICY = (
    "default-src 'none'; style-src {style}; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# the states that a circuit's forms can force, and what each means
FORCES = {
    "open": "hold it open: nothing is sent, jobs wait",
    "closed": "hold it closed: every job is tried",
    "auto": "let it open and close by itself",
}
# what a notice after a form says; an address can choose among these texts, a circuit and a number of released jobs
NOTICES = {
    "open": "The circuit is held open.",
    "closed": "The circuit is held closed.",
    "auto": "The circuit works by itself again.",
    "signed-in": "Signed in. The docs page has the token.",
    "signed-out": "Signed out.",
    "admin-needed": "Sign in as admin first: the list of jobs is open to admins only.",
}
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400


def render_front(
    view: FrontView,
    *,
    api: str,
    signed_in: SignedIn | None = None,
    notice: str = "",
    circuit: str = "",
    released: int | None = None,
    woken: bool = True,
    problem: str = "",
) -> HttpResponse:
    """Return the front page; `api` is the API's address, `problem` why a form had no effect.

    `notice` is the effect of a form; if it forced a `circuit`, `released` jobs were let go, None if that is not known,
    and the relay was `woken` for them.
    """
    forced = next((line for line in view.circuits.found if line.name == circuit and notice in FORCES), None)
    return _render(
        "front.html.j2",
        status=502 if problem else 200,
        view=view,
        api=api,
        signed_in=signed_in,
        notice=_write_notice(notice, forced, released, woken=woken),
        lists_jobs=bool(forced and (forced.held_jobs or released)),
        problem=problem,
        people=[(role, build_address(role), ABILITIES[role]) for role in ROLES],
        forces=FORCES,
    )


def render_trace(view: TraceView) -> HttpResponse:
    """Return the page of a trace, with 404 if nothing is known of the id."""
    return _render("trace.html.j2", status=200 if view.steps.found or view.requests else 404, view=view)


def _write_notice(notice: str, forced: CircuitLine | None, released: int | None, *, woken: bool) -> str:
    text = NOTICES.get(notice, "")
    return f"{text} {describe_release(asdict(forced), released, woken=woken)}" if forced else text


def format_age(seconds: int | None) -> str:
    """Return a duration as one reads it in passing: 12 s, 5 min, 3 h, 2 d; a dash for None."""
    if seconds is None:
        return "-"
    for unit_s, unit in ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds // unit_s} {unit}"
    return f"{seconds} s"


def format_clock(at: str) -> str:
    """Return the time of day of a time, in UTC, to the second; with the date if it is of another day than now."""
    moment = datetime.fromisoformat(at)
    is_today = moment.date() == datetime.now(moment.tzinfo).date()
    return moment.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S")


def judge_status(status: int) -> str:
    """Return the tone of a status: good, refused (the caller's) or bad (the service's)."""
    if status >= 500:
        return "bad"
    return "refused" if status >= 400 else "good"


def _render(template: str, *, status: int, **values: object) -> HttpResponse:
    page = _make_environment().get_template(template).render(**values)
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", POLICY.format(style=hash_source(_read_style()))),
        ("Cache-Control", "no-store"),
    ]
    return HttpResponse(status, headers, page.encode("utf-8", "replace"))


@cache
def _read_style() -> str:
    return (TEMPLATES / "style.css").read_text(encoding="utf-8")


@cache
def _make_environment() -> "Environment":
    # Imported at the first view, so that it doesn't delay the gateway's start.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["style"] = Markup(_read_style())  # noqa: S704 - our own file
    filters: dict[str, Any] = {"age": format_age, "clock": format_clock, "tone": judge_status}
    environment.filters.update(filters)
    return environment
