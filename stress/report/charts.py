"""Charts as inline SVG: lines over a linear or logarithmic axis, and distributions as bars.

Colours come from the page's style, so that a chart is dark if the page is; lines also differ by dash and marker.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stress.model import BUCKETS_MS, Chart, ChartLine, Latency, Percentile, Point
from stress.report.formatting import format_interval, format_number, format_percentile
from stress.report.svg import (
    Scale,
    choose_linear_ticks,
    choose_log_ticks,
    join_elements,
    make_element,
    make_path,
    make_svg,
)

WIDTH = 360  # a phone's width; wider columns scale it up
HEIGHT = 214
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 12, 36
STYLES = 4  # of lines that the style distinguishes
MARKED_POINTS = 40  # a line of more points is drawn without markers
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
        return _wrap_figure(chart.title, chart.y, make_element("p", "Nothing was measured.", class_="dim"))
    axes = _make_axes(chart, points)
    drawn = make_svg(
        WIDTH,
        HEIGHT,
        chart.title,
        _describe_chart(chart),
        draw_grid(axes),
        make_element(
            "text", chart.x, class_="name", x=(axes.x.start + axes.x.end) / 2, y=HEIGHT - 3, text_anchor="middle"
        ),
        *(draw_line(line, index, axes) for index, line in enumerate(chart.lines, _choose_first_style(chart))),
        _draw_bar(chart, axes),
    )
    note = f"{chart.y}, logarithmic" if axes.y.log else chart.y
    return _wrap_figure(chart.title, note, drawn, draw_legend([line.name for line in chart.lines]))


def draw_grid(axes: Axes, write_x: Callable[[float], str] = format_number) -> Markup:
    """Draw lines across at each y tick, marks below at each x tick, and labels for both."""
    floor = axes.y.start
    across = [
        join_elements(
            (
                make_element("line", class_="grid", x1=axes.x.start, x2=axes.x.end, y1=y, y2=y),
                make_element(
                    "text", format_number(tick), class_="tick y", x=axes.x.start - 6, y=y + 3.6, text_anchor="end"
                ),
            )
        )
        for tick in axes.y_ticks
        for y in [axes.y.find_pixel(tick)]
    ]
    along = [
        join_elements(
            (
                make_element("line", class_="axis", x1=x, x2=x, y1=floor, y2=floor + 4),
                make_element("text", write_x(tick), class_="tick x", x=x, y=floor + 15, text_anchor="middle"),
            )
        )
        for tick in axes.x_ticks
        for x in [axes.x.find_pixel(tick)]
    ]
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
    area = [make_path(band, class_="band")] if band else []
    return make_element("g", *area, make_path(pixels, class_="stroke"), *markers, class_=f"line kind-{style}")


def draw_legend(names: Sequence[str]) -> Markup:
    """Draw the names of lines beside a sample of each; nothing for a single line."""
    pieces = [
        make_element("li", _draw_sample(index % STYLES + 1), make_element("span", name))
        for index, name in enumerate(names)
        if len(names) > 1
    ]
    return make_element("ul", *pieces, class_="legend") if pieces else Markup("")


def draw_histogram(latency: Latency) -> Markup:
    """Draw how the calls of one operation spread over the buckets, with p50 and p95 marked where they fall."""
    shown = _choose_buckets(latency.histogram)
    if not shown:
        return _wrap_figure(latency.operation, "no calls", Markup(""))
    height, floor = 122, 104
    x = Scale(0, len(shown), LEFT - 22, WIDTH - RIGHT)
    y = Scale(0, max(latency.histogram), floor, 32)
    bars = [_draw_bucket(position, latency.histogram[bucket], x, y) for position, bucket in enumerate(shown)]
    counts = [_draw_count(position, latency.histogram[bucket], x, y) for position, bucket in enumerate(shown)]
    edges = [_draw_edge(position, bucket, x, floor, len(shown)) for position, bucket in enumerate(shown)]
    drawn = make_svg(
        WIDTH,
        height,
        f"{latency.operation}: how long calls took",
        _describe_spread(latency),
        *bars,
        *_draw_percentiles(latency, shown, x, floor),
        *counts,
        make_element("line", class_="axis", x1=x.start, x2=x.end, y1=floor, y2=floor),
        *edges,
        make_element("text", "ms", class_="tick", x=0, y=floor + 13),
    )
    return _wrap_figure(latency.operation, f"{format_number(latency.calls)} calls", drawn)


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
    below = y < TOP + 14
    return join_elements(
        (
            make_element("line", class_="bar", x1=axes.x.start, x2=axes.x.end, y1=y, y2=y),
            make_element(
                "text", chart.bar_name or "bar", class_="bar-name", x=axes.x.start + 5, y=y + (12 if below else -5)
            ),
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


def _choose_buckets(counts: Sequence[int]) -> range:
    """Return the buckets from the one before the first call to the one after the last."""
    filled = [index for index, count in enumerate(counts) if count]
    return range(max(0, filled[0] - 1), min(len(counts), filled[-1] + 2)) if filled else range(0)


def _draw_bucket(position: int, count: int, x: Scale, y: Scale) -> Markup:
    left, width, top = (
        x.find_pixel(position) + 1,
        x.find_pixel(position + 1) - x.find_pixel(position) - 2,
        _find_top(count, y),
    )
    return make_element("rect", class_="column", x=left, y=top, width=width, height=y.start - top)


def _draw_count(position: int, count: int, x: Scale, y: Scale) -> Markup:
    middle = (x.find_pixel(position) + x.find_pixel(position + 1)) / 2
    text = format_number(count) if count else ""
    return make_element("text", text, class_="count", x=middle, y=_find_top(count, y) - 4, text_anchor="middle")


def _find_top(count: int, y: Scale) -> float:
    """Return the y of a column's top; a single call among thousands stays visible."""
    return min(y.find_pixel(count), y.start - 1.5) if count else y.start


def _draw_edge(position: int, bucket: int, x: Scale, floor: float, shown: int) -> Markup:
    """Draw the upper limit of a bucket at its right edge; every second one if many are shown."""
    if bucket >= len(BUCKETS_MS) or (shown > 12 and position % 2):
        return Markup("")
    limit = BUCKETS_MS[bucket]
    written = f"{limit // 1000}k" if limit >= 1000 else str(limit)
    return make_element(
        "text", written, class_="tick x", x=x.find_pixel(position + 1), y=floor + 13, text_anchor="middle"
    )


def _draw_percentiles(latency: Latency, shown: range, x: Scale, floor: float) -> list[Markup]:
    return [
        join_elements(
            (
                _draw_interval(latency.intervals.get(name), shown, x, floor),
                make_element("line", class_="percentile", x1=at, x2=at, y1=13, y2=floor),
                make_element("text", name, class_="percentile-name", x=at + shift, y=10, text_anchor=anchor),
            )
        )
        for name, value, shift, anchor in _list_marked(latency)
        if value is not None
        for at in [x.find_pixel(find_bucket_position(value) - shown.start)]
    ]


def _list_marked(latency: Latency) -> list[tuple[Percentile, float | None, int, str]]:
    """Return the percentiles that a distribution marks: name, value, shift of the label in pixels, and its anchor."""
    return [("p50", latency.p50, 2, "end"), ("p95", latency.p95, -2, "start")]


def _draw_interval(ends: tuple[float, float] | None, shown: range, x: Scale, floor: float) -> Markup:
    """Draw the interval of a percentile as a band behind its line; nothing without one."""
    if ends is None:
        return Markup("")
    left, right = (
        x.find_pixel(min(max(find_bucket_position(end), shown.start), shown.stop) - shown.start) for end in ends
    )
    return make_element("rect", class_="percentile-band", x=left, y=13, width=max(1.0, right - left), height=floor - 13)


def find_bucket_position(value: float) -> float:
    """Return where among the buckets a latency falls: 2.5 is the middle of the third."""
    lower = 0.0
    for index, upper in enumerate(BUCKETS_MS):
        if value <= upper:
            return index + (value - lower) / (upper - lower)
        lower = float(upper)
    return len(BUCKETS_MS) + 0.5


def _describe_spread(latency: Latency) -> str:
    limits = [*(f"to {format_number(limit)} ms" for limit in BUCKETS_MS), "beyond"]
    counted = [f"{count} {limit}" for count, limit in zip(latency.histogram, limits, strict=True) if count]
    percentiles: list[tuple[Percentile, float | None]] = [("p50", latency.p50), ("p95", latency.p95)]
    shown = [f"{name} {format_percentile(latency, name)} ms" for name, value in percentiles if value is not None]
    return f"{', '.join(shown) or 'Too few calls for a percentile'}. Calls: {', '.join(counted)}."


def _wrap_figure(title: str, note: str, *content: str) -> Markup:
    caption = make_element("figcaption", make_element("b", title), " ", make_element("span", note))
    return make_element("figure", caption, *content, class_="chart")
