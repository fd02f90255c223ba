"""Charts as inline SVG: lines over a linear or logarithmic axis.

Colours come from the page's style, so that a chart is dark if the page is; lines also differ by dash and marker.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stress.model import Chart, ChartLine, Point
from stress.report.formatting import format_interval, format_number, format_tick
from stress.report.svg import (
    Scale,
    choose_linear_ticks,
    choose_log_ticks,
    join_elements,
    make_element,
    make_path,
    make_svg,
)
from stress.report.text_width import clamp_middle, measure_text, wrap_text

WIDTH = 360  # a phone's width; wider columns scale it up
HEIGHT = 214
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 12, 36
STYLES = 4  # of lines that the style distinguishes
MARKED_POINTS = 40  # a line of more points is drawn without markers
TEXT_PX, LINE_PX = 11, 12  # of ticks and names
LISTED_POINTS = 12  # the text of a line with more points has only its extremes


@dataclass(frozen=True)
class Axes:
    """The two scales of a chart and the values at which they are labelled."""

    x: Scale
    y: Scale
    x_ticks: Sequence[float]
    y_ticks: Sequence[float]

    def find_pixel(self, point: Point) -> Point:
        """Return the pixels of a point."""
        return self.x.find_pixel(point[0]), self.y.find_pixel(point[1])


def draw_line_chart(chart: Chart) -> Markup:
    """Draw a chart with its bar, markers and legend, as a figure."""
    points = [point for line in chart.lines for point in (*line.points, *line.low, *line.high)]
    points = [point for point in points if math.isfinite(point[1])]
    if not points:
        return wrap_figure(chart.title, chart.y, make_element("p", "Nothing was measured.", class_="dim"))
    axes = _make_axes(chart, points)
    name = wrap_text(chart.x, axes.x.end - axes.x.start, TEXT_PX)
    drawn = make_svg(
        WIDTH,
        HEIGHT + LINE_PX * (len(name) - 1),
        chart.title,
        _describe_chart(chart),
        draw_grid(axes),
        draw_lines_of_text(name, (axes.x.start + axes.x.end) / 2, HEIGHT - 3, class_="name", text_anchor="middle"),
        *(draw_line(line, index, axes) for index, line in enumerate(chart.lines, _choose_first_style(chart))),
        _draw_bar(chart, axes),
    )
    note = f"{chart.y}, logarithmic" if axes.y.log else chart.y
    return wrap_figure(chart.title, note, drawn, draw_legend([line.name for line in chart.lines]))


def draw_lines_of_text(lines: Sequence[str], x: float, y: float, **attributes: object) -> Markup:
    """Draw lines of text, the first at `y` and the others below."""
    return join_elements(
        make_element("text", line, x=x, y=y + LINE_PX * number, **attributes) for number, line in enumerate(lines)
    )


def draw_tick(x: float, y: float, text: str, right: float) -> Markup:
    """Draw a mark below an axis and its label, which ends within `right`."""
    middle = clamp_middle(x, measure_text(text, TEXT_PX), 0, right)
    return join_elements(
        (
            make_element("line", class_="axis", x1=x, x2=x, y1=y, y2=y + 4),
            make_element("text", text, class_="tick x", x=middle, y=y + 15, text_anchor="middle"),
        )
    )


def draw_grid(axes: Axes) -> Markup:
    """Draw lines across at each y tick, marks below at each x tick, and labels for both."""
    floor = axes.y.start
    across = [
        join_elements(
            (
                make_element("line", class_="grid", x1=axes.x.start, x2=axes.x.end, y1=y, y2=y),
                make_element(
                    "text", format_tick(tick), class_="tick y", x=axes.x.start - 6, y=y + 3.6, text_anchor="end"
                ),
            )
        )
        for tick in axes.y_ticks
        for y in [axes.y.find_pixel(tick)]
    ]
    along = [draw_tick(axes.x.find_pixel(tick), floor, format_tick(tick), axes.x.end + RIGHT) for tick in axes.x_ticks]
    return join_elements(
        [*across, *along, make_element("line", class_="axis", x1=axes.x.start, x2=axes.x.end, y1=floor, y2=floor)]
    )


def draw_line(line: ChartLine, index: int, axes: Axes) -> Markup:
    """Draw one line over the band of its intervals, with a marker at each point if there are few enough."""
    style = index % STYLES + 1
    pixels = [axes.find_pixel(point) for point in line.points]
    if not pixels:
        return Markup("")
    markers = [_draw_marker(style, x, y) for x, y in pixels] if len(pixels) <= MARKED_POINTS else []
    band = [axes.find_pixel(point) for point in (*line.low, *reversed(line.high))]
    area = [make_path(band, class_="interval-band")] if band else []
    return make_element("g", *area, make_path(pixels, class_="stroke"), *markers, class_=f"line kind-{style}")


def draw_legend(names: Sequence[str]) -> Markup:
    """Draw the names of lines beside a sample of each; nothing for a single line."""
    pieces = [
        make_element("li", _draw_sample(index % STYLES + 1), make_element("span", name))
        for index, name in enumerate(names)
        if len(names) > 1
    ]
    return make_element("ul", *pieces, class_="legend") if pieces else Markup("")


def _make_axes(chart: Chart, points: list[Point]) -> Axes:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    if chart.bar is not None:
        ys.append(chart.bar)
    positive = [y for y in ys if y > 0]
    log = chart.log and bool(positive)
    y_ticks = choose_log_ticks(min(positive), max(positive), 7) if log else choose_linear_ticks(min(0, *ys), max(ys), 5)
    x_ticks = choose_linear_ticks(0 if min(xs) < max(xs) / 2 else min(xs), max(xs), 6)
    return Axes(
        Scale(x_ticks[0], x_ticks[-1], LEFT, WIDTH - RIGHT),
        Scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP, log=log),
        x_ticks,
        y_ticks,
    )


def _draw_bar(chart: Chart, axes: Axes) -> Markup:
    if chart.bar is None:
        return Markup("")
    y = axes.y.find_pixel(chart.bar)
    lines = wrap_text(chart.bar_name or "bar", axes.x.end - axes.x.start - 10, TEXT_PX)
    above = y - 5 - LINE_PX * (len(lines) - 1)
    first = above if above > TOP + 9 else y + 12
    return join_elements(
        (
            make_element("line", class_="bar", x1=axes.x.start, x2=axes.x.end, y1=y, y2=y),
            draw_lines_of_text(lines, axes.x.start + 5, first, class_="bar-name"),
        )
    )


def _draw_marker(style: int, x: float, y: float) -> Markup:
    if style == 1:
        return make_element("circle", class_="mark", cx=x, cy=y, r=3)
    shapes = {2: "M-3-3h6v6h-6z", 3: "M0-4 4 3h-8z", 4: "M0-4 4 0 0 4-4 0z"}
    return make_element("path", class_="mark", d=shapes[style], transform=f"translate({x:.1f} {y:.1f})")


def _draw_sample(style: int) -> Markup:
    stroke = make_path([(0, 5), (26, 5)], class_="stroke")
    content = make_element("g", stroke, _draw_marker(style, 13.0, 5.0), class_=f"line kind-{style}")
    return make_element("svg", content, viewBox="0 0 26 10", class_="piece", aria_hidden="true")


def _choose_first_style(chart: Chart) -> int:
    """Return the index of the first style: a single line is solid."""
    return 1 if len(chart.lines) == 1 else 0


def _describe_chart(chart: Chart) -> str:
    bar = f" {chart.bar_name or 'The bar'}: {format_number(chart.bar)}." if chart.bar is not None else ""
    return f"{chart.y} by {chart.x}.{bar} " + " ".join(_describe_line(line) for line in chart.lines)


def _describe_line(line: ChartLine) -> str:
    if len(line.points) <= LISTED_POINTS:
        return (
            f"{line.name}: " + (", ".join(map(_describe_point, line.points, _list_intervals(line))) or "nothing") + "."
        )
    least, most = (choose(line.points, key=lambda point: point[1]) for choose in (min, max))
    return (
        f"{line.name}: {len(line.points)} points, least {format_number(least[1])} at {format_number(least[0])}, "
        f"most {format_number(most[1])} at {format_number(most[0])}."
    )


def _list_intervals(line: ChartLine) -> list[str]:
    """Return the interval at each point in words, each empty if the line has none."""
    if len(line.low) != len(line.points) or len(line.high) != len(line.points):
        return [""] * len(line.points)
    return [f" ({format_interval(low, high)})" for (_, low), (_, high) in zip(line.low, line.high, strict=True)]


def _describe_point(point: Point, interval: str) -> str:
    return f"{format_number(point[1])}{interval} at {format_number(point[0])}"


def wrap_figure(title: str, note: str, *content: str) -> Markup:
    """Return a chart with its title and a note above it."""
    caption = make_element("figcaption", make_element("b", title), " ", make_element("span", note))
    return make_element("figure", caption, *content, class_="chart")
