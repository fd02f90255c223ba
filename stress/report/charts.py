"""Charts as inline SVG, drawn by hand: lines over a linear or logarithmic axis, and distributions as bars.

Colours come from the page's style, so that a chart is dark where the page is; lines differ by dash and marker as well.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stress.model import BUCKETS_MS, Chart, Latency, Line, Point
from stress.report.svg import Scale, joined, linear_ticks, log_ticks, path, picture, tag
from stress.report.words import number

WIDTH = 360  # what a phone shows; wider columns scale it up
HEIGHT = 214
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 12, 36
KINDS = 4  # of lines that the style tells apart
MARKED_POINTS = 40  # a line of more points is drawn without markers
TOLD_POINTS = 12  # a line of more points is told by its ends and extremes


@dataclass(frozen=True)
class Axes:
    """The two scales of a chart and the values at which they are labelled."""

    x: Scale
    y: Scale
    x_ticks: Sequence[float]
    y_ticks: Sequence[float]

    def at(self, point: Point) -> Point:
        """The pixels of a point."""
        return self.x.at(point[0]), self.y.at(point[1])


def line_chart(chart: Chart) -> Markup:
    """A chart with its bar, markers and legend, as a figure."""
    points = [point for line in chart.lines for point in line.points]
    if not points:
        return _figure(chart.title, chart.y, tag("p", "Nothing was measured.", class_="dim"))
    axes = _axes(chart, points)
    drawn = picture(
        WIDTH,
        HEIGHT,
        chart.title,
        _told(chart),
        grid(axes),
        tag("text", chart.x, class_="name", x=(axes.x.start + axes.x.end) / 2, y=HEIGHT - 3, text_anchor="middle"),
        *(drawn_line(line, index, axes) for index, line in enumerate(chart.lines, _first_kind(chart))),
        _bar(chart, axes),
    )
    note = f"{chart.y}, logarithmic" if axes.y.log else chart.y
    return _figure(chart.title, note, drawn, legend([line.name for line in chart.lines]))


def grid(axes: Axes, write_x: Callable[[float], str] = number) -> Markup:
    """Lines across at each y tick, ticks below at each x, and both written."""
    floor = axes.y.start
    across = [
        joined(
            (
                tag("line", class_="grid", x1=axes.x.start, x2=axes.x.end, y1=y, y2=y),
                tag("text", number(tick), class_="tick y", x=axes.x.start - 6, y=y + 3.6, text_anchor="end"),
            )
        )
        for tick in axes.y_ticks
        for y in [axes.y.at(tick)]
    ]
    along = [
        joined(
            (
                tag("line", class_="axis", x1=x, x2=x, y1=floor, y2=floor + 4),
                tag("text", write_x(tick), class_="tick x", x=x, y=floor + 15, text_anchor="middle"),
            )
        )
        for tick in axes.x_ticks
        for x in [axes.x.at(tick)]
    ]
    return joined([*across, *along, tag("line", class_="axis", x1=axes.x.start, x2=axes.x.end, y1=floor, y2=floor)])


def drawn_line(line: Line, index: int, axes: Axes) -> Markup:
    """One line, with a marker at each point where they are few enough to be told apart."""
    kind = index % KINDS + 1
    pixels = [axes.at(point) for point in line.points]
    if not pixels:
        return Markup("")
    markers = [_marker(kind, x, y) for x, y in pixels] if len(pixels) <= MARKED_POINTS else []
    return tag("g", path(pixels, class_="stroke"), *markers, class_=f"line kind-{kind}")


def legend(names: Sequence[str]) -> Markup:
    """The names of lines beside a piece of each."""
    pieces = [
        tag("li", _piece(index % KINDS + 1), tag("span", name)) for index, name in enumerate(names) if len(names) > 1
    ]
    return tag("ul", *pieces, class_="legend") if pieces else Markup("")


def histogram(latency: Latency) -> Markup:
    """Draw how the calls of one operation spread over the buckets, with p50 and p95 marked where they fall."""
    shown = _shown_buckets(latency.histogram)
    if not shown:
        return _figure(latency.operation, "no calls", Markup(""))
    height, floor = 122, 104
    x = Scale(0, len(shown), LEFT - 22, WIDTH - RIGHT)
    y = Scale(0, max(latency.histogram), floor, 32)
    bars = [_bucket(position, latency.histogram[bucket], x, y) for position, bucket in enumerate(shown)]
    counts = [_count(position, latency.histogram[bucket], x, y) for position, bucket in enumerate(shown)]
    edges = [_edge(position, bucket, x, floor, len(shown)) for position, bucket in enumerate(shown)]
    drawn = picture(
        WIDTH,
        height,
        f"{latency.operation}: how long calls took",
        _spread(latency),
        *bars,
        *_percentiles(latency, shown, x, floor),
        *counts,
        tag("line", class_="axis", x1=x.start, x2=x.end, y1=floor, y2=floor),
        *edges,
        tag("text", "ms", class_="tick", x=0, y=floor + 13),
    )
    return _figure(latency.operation, f"{number(latency.calls)} calls", drawn)


def _axes(chart: Chart, points: list[Point]) -> Axes:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    if chart.bar is not None:
        ys.append(chart.bar)
    positive = [y for y in ys if y > 0]
    log = chart.log and bool(positive)
    y_ticks = log_ticks(min(positive), max(positive), 7) if log else linear_ticks(min(0, *ys), max(ys), 5)
    x_ticks = linear_ticks(0 if min(xs) < max(xs) / 2 else min(xs), max(xs), 6)
    return Axes(
        Scale(x_ticks[0], x_ticks[-1], LEFT, WIDTH - RIGHT),
        Scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP, log=log),
        x_ticks,
        y_ticks,
    )


def _bar(chart: Chart, axes: Axes) -> Markup:
    if chart.bar is None:
        return Markup("")
    y = axes.y.at(chart.bar)
    below = y < TOP + 14
    return joined(
        (
            tag("line", class_="bar", x1=axes.x.start, x2=axes.x.end, y1=y, y2=y),
            tag("text", chart.bar_name or "bar", class_="bar-name", x=axes.x.start + 5, y=y + (12 if below else -5)),
        )
    )


def _marker(kind: int, x: float, y: float) -> Markup:
    if kind == 1:
        return tag("circle", class_="mark", cx=x, cy=y, r=3)
    shapes = {2: "M-3-3h6v6h-6z", 3: "M0-4 4 3h-8z", 4: "M0-4 4 0 0 4-4 0z"}
    return tag("path", class_="mark", d=shapes[kind], transform=f"translate({x:.1f} {y:.1f})")


def _piece(kind: int) -> Markup:
    stroke = path([(0, 5), (26, 5)], class_="stroke")
    content = tag("g", stroke, _marker(kind, 13.0, 5.0), class_=f"line kind-{kind}")
    return tag("svg", content, viewBox="0 0 26 10", class_="piece", aria_hidden="true")


def _first_kind(chart: Chart) -> int:
    """A line by itself is the solid one."""
    return 1 if len(chart.lines) == 1 else 0


def _told(chart: Chart) -> str:
    bar = f" {chart.bar_name or 'The bar'}: {number(chart.bar)}." if chart.bar is not None else ""
    return f"{chart.y} by {chart.x}.{bar} " + " ".join(_told_line(line) for line in chart.lines)


def _told_line(line: Line) -> str:
    if len(line.points) <= TOLD_POINTS:
        return f"{line.name}: " + (", ".join(f"{number(y)} at {number(x)}" for x, y in line.points) or "nothing") + "."
    least, most = (choose(line.points, key=lambda point: point[1]) for choose in (min, max))
    return (
        f"{line.name}: {len(line.points)} points, least {number(least[1])} at {number(least[0])}, "
        f"most {number(most[1])} at {number(most[0])}."
    )


def _shown_buckets(counts: Sequence[int]) -> range:
    """From the bucket before the first call to the one after the last: what lies beyond is empty."""
    filled = [index for index, count in enumerate(counts) if count]
    return range(max(0, filled[0] - 1), min(len(counts), filled[-1] + 2)) if filled else range(0)


def _bucket(position: int, count: int, x: Scale, y: Scale) -> Markup:
    left, width, top = x.at(position) + 1, x.at(position + 1) - x.at(position) - 2, _top(count, y)
    return tag("rect", class_="column", x=left, y=top, width=width, height=y.start - top)


def _count(position: int, count: int, x: Scale, y: Scale) -> Markup:
    middle = (x.at(position) + x.at(position + 1)) / 2
    text = number(count) if count else ""
    return tag("text", text, class_="count", x=middle, y=_top(count, y) - 4, text_anchor="middle")


def _top(count: int, y: Scale) -> float:
    """A single call among thousands is still seen."""
    return min(y.at(count), y.start - 1.5) if count else y.start


def _edge(position: int, bucket: int, x: Scale, floor: float, shown: int) -> Markup:
    """The upper limit of a bucket, at its right edge; where many are shown, every second."""
    if bucket >= len(BUCKETS_MS) or (shown > 12 and position % 2):
        return Markup("")
    limit = BUCKETS_MS[bucket]
    written = f"{limit // 1000}k" if limit >= 1000 else str(limit)
    return tag("text", written, class_="tick x", x=x.at(position + 1), y=floor + 13, text_anchor="middle")


def _percentiles(latency: Latency, shown: range, x: Scale, floor: float) -> list[Markup]:
    return [
        joined(
            (
                tag("line", class_="percentile", x1=at, x2=at, y1=13, y2=floor),
                tag("text", name, class_="percentile-name", x=at + shift, y=10, text_anchor=anchor),
            )
        )
        for name, value, shift, anchor in (("p50", latency.p50, 2, "end"), ("p95", latency.p95, -2, "start"))
        for at in [x.at(bucket_position(value) - shown.start)]
    ]


def bucket_position(value: float) -> float:
    """Return where among the buckets a latency falls: 2.5 is the middle of the third."""
    lower = 0.0
    for index, upper in enumerate(BUCKETS_MS):
        if value <= upper:
            return index + (value - lower) / (upper - lower)
        lower = float(upper)
    return len(BUCKETS_MS) + 0.5


def _spread(latency: Latency) -> str:
    limits = [*(f"to {number(limit)} ms" for limit in BUCKETS_MS), "beyond"]
    counted = [f"{count} {limit}" for count, limit in zip(latency.histogram, limits, strict=True) if count]
    return f"p50 {number(latency.p50)} ms, p95 {number(latency.p95)} ms. Calls: " + ", ".join(counted) + "."


def _figure(title: str, note: str, *content: str) -> Markup:
    caption = tag("figcaption", tag("b", title), " ", tag("span", note))
    return tag("figure", caption, *content, class_="chart")
