"""The dashboard as one page without scripts; it loads nothing from anywhere, and reloads itself for whoever asks."""

from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import parse_qs

from local.dashboard.charts import draw_chart
from local.dashboard.widgets import AlarmState, AlarmWidget, ChartWidget, Dashboard, HeadingWidget, Widget
from local.http_server import HttpResponse

PAGE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
REFRESH_S = 30
RANGES_MIN = (15, 60, 180)  # minutes that the page can show
RINGS = "ALARM"


def read_range_s(query: str) -> float:
    """Return the seconds that a query string asks for by `minutes`; the shortest range if it asks for no other."""
    wanted = parse_qs(query).get("minutes", [""])[0]
    return 60.0 * next((minutes for minutes in RANGES_MIN if str(minutes) == wanted), RANGES_MIN[0])


def wants_reload(query: str) -> bool:
    """Return whether a query string asks for a page that reloads itself: not by default, since reading takes time."""
    return bool(parse_qs(query).get("reload"))


def render_dashboard(dashboard: Dashboard, *, reloads: bool = False) -> HttpResponse:
    """Return the page of a dashboard."""
    ringing = _list_ringing(dashboard)
    told = f"{len(ringing)} of its alarms ring" if ringing else "no alarm rings"
    page = PAGE.substitute(
        refresh=f'<meta http-equiv="refresh" content="{REFRESH_S}">' if reloads else "",
        name=escape(dashboard.name),
        told=told,
        tone="alarm" if ringing else "ok",
        ranges=_render_ranges(dashboard.end - dashboard.start, reloads=reloads),
        until=datetime.fromtimestamp(dashboard.end, UTC).strftime("%H:%M:%S"),
        widgets="".join(_render_widget(widget, dashboard) for widget in dashboard.widgets),
    )
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", POLICY),
        ("Cache-Control", "no-store"),
    ]
    return HttpResponse(200, headers, page.encode("utf-8", "replace"))


def _list_ringing(dashboard: Dashboard) -> set[str]:
    lists = [widget.alarms for widget in dashboard.widgets if isinstance(widget, AlarmWidget)]
    return {alarm.name for alarms in lists for alarm in alarms if alarm.state == RINGS}


def _render_ranges(shown_s: float, *, reloads: bool) -> str:
    links, kept = [], "&amp;reload=1" if reloads else ""
    for minutes in RANGES_MIN:
        here = ' aria-current="true"' if round(shown_s / 60) == minutes else ""
        links.append(f'<a href="?minutes={minutes}{kept}"{here}>{minutes} minutes</a>')
    shown = f"?minutes={shown_s / 60:.0f}"
    links.append(
        f'<a href="{shown}">stay still</a>' if reloads else f'<a href="{shown}&amp;reload=1">reload by itself</a>'
    )
    return " · ".join(links)


def _render_widget(widget: Widget, dashboard: Dashboard) -> str:
    place = widget.place
    style = (
        f"grid-column: {place.x + 1} / span {place.width}; grid-row: {place.y + 1} / span {place.height}; min-width: 0"
    )
    return f'<div style="{style}">{_render_content(widget, dashboard)}</div>'


def _render_content(widget: Widget, dashboard: Dashboard) -> str:
    match widget:
        case ChartWidget():
            return draw_chart(widget, start=dashboard.start, end=dashboard.end)
        case AlarmWidget():
            items = "".join(map(_render_alarm, widget.alarms)) or '<li class="ok">none</li>'
            return f"<section><h2>{escape(widget.title)}</h2><ul>{items}</ul></section>"
        case HeadingWidget():
            return f"<h2>{escape(widget.text)}</h2>"


def _render_alarm(alarm: AlarmState) -> str:
    tone = "alarm" if alarm.state == RINGS else "ok"
    state = "rings" if alarm.state == RINGS else "quiet"
    return f'<li title="{escape(alarm.description)}">{escape(alarm.name)} <span class="{tone}">{state}</span></li>'
