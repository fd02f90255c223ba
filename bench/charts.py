"""The pictures of the page, as SVG files with colours of their own: bars with intervals, and bars of stacked parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stress.report.svg import join_elements, make_element

WIDTH = 760
LABELS = 190  # pixels left of the bars
VALUES = 110  # right of the longest bar
ROW, GAP, TOP, BOTTOM = 22, 14, 34, 12
BAR = 14
INK, PALE, PAPER = "#1f2933", "#6b7785", "#ffffff"
# Told apart by people who see no colours as well: dark to light.
COLOURS = ("#1b4f72", "#2e86c1", "#85c1e9", "#d4ac0d", "#c8ccd0")


@dataclass(frozen=True)
class BarRow:
    """One bar: its label, its parts one behind the other, what stands behind it, and the ends of its interval."""

    label: str
    parts: Sequence[float]
    value: str
    low: float | None = None
    high: float | None = None


def draw_bars(title: str, groups: Mapping[str, Sequence[BarRow]], legend: Sequence[str] = ()) -> str:
    """Return a picture of groups of bars on one scale that begins at zero."""
    rows = [row for group in groups.values() for row in group]
    longest = max(max(sum(row.parts), row.high or 0.0) for row in rows)
    scale = (WIDTH - LABELS - VALUES) / longest
    drawn: list[Markup] = [_write(title, 12, 20, size=15, weight="bold"), *_draw_legend(legend)]
    y = TOP + (ROW if legend else 0)
    for name, group in groups.items():
        if name:
            drawn.append(_write(name, 12, y + BAR, weight="bold"))
            y += ROW
        for number, row in enumerate(group):
            drawn.append(_draw_row(row, y, scale, plain=None if legend else number))
            y += ROW
        y += GAP
    return _wrap(title, y - GAP + BOTTOM, drawn)


def _draw_row(row: BarRow, y: float, scale: float, plain: int | None) -> Markup:
    drawn = [_write(row.label, LABELS - 10, y + 11, anchor="end")]
    x = float(LABELS)
    for number, part in enumerate(row.parts):
        colour = COLOURS[number if plain is None else plain % len(COLOURS)]
        drawn.append(make_element("rect", x=x, y=y, width=part * scale, height=BAR, fill=colour))
        x += part * scale
    if row.low is not None and row.high is not None:
        low, high, middle = LABELS + row.low * scale, LABELS + row.high * scale, y + BAR / 2
        drawn.append(make_element("path", d=f"M{low:.1f} {middle}H{high:.1f}", stroke=INK, stroke_width=1.5))
        drawn.extend(
            make_element("path", d=f"M{end:.1f} {middle - 4}V{middle + 4}", stroke=INK, stroke_width=1.5)
            for end in (low, high)
        )
        x = max(x, high)
    drawn.append(_write(row.value, x + 7, y + 11))
    return join_elements(drawn)


def _draw_legend(legend: Sequence[str]) -> list[Markup]:
    drawn, x = [], float(LABELS)
    for name, colour in zip(legend, COLOURS, strict=False):
        drawn += [make_element("rect", x=x, y=TOP - 1, width=11, height=11, fill=colour), _write(name, x + 16, TOP + 9)]
        x += 30 + 7 * len(name)
    return drawn


def _write(
    text: str, x: float, y: float, *, size: int = 12, weight: str = "normal", anchor: str = "start", ink: str = INK
) -> Markup:
    attributes = {"x": x, "y": y, "font_size": size, "font_weight": weight, "text_anchor": anchor, "fill": ink}
    return make_element("text", text, **attributes)


def _wrap(title: str, height: float, drawn: Sequence[Markup]) -> str:
    paper = make_element("rect", width=WIDTH, height=height, fill=PAPER)
    attributes = {"viewBox": f"0 0 {WIDTH} {height:g}", "width": WIDTH, "height": height, "role": "img"}
    fonts = "system-ui, sans-serif"
    namespace = "http://www.w3.org/2000/svg"
    svg = make_element(
        "svg", make_element("title", title), paper, *drawn, xmlns=namespace, font_family=fonts, **attributes
    )
    return f"{svg}\n"
