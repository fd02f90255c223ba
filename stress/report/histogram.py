"""Distributions as bars in inline SVG: how the calls of an operation spread over the buckets of time."""

from collections.abc import Sequence

from markupsafe import Markup

from stress.model import BUCKETS_MS, Latency, Percentile
from stress.report.charts import LEFT, RIGHT, WIDTH, wrap_figure
from stress.report.formatting import format_count, format_number, format_percentile, format_tick
from stress.report.svg import Scale, join_elements, make_element, make_svg
from stress.report.text_width import measure_text

HEIGHT, FLOOR = 132, 114
HIGHEST = 42  # y of the tallest column's top; above it two lines of counts, and the percentiles' names
COUNT_PX, COUNT_LINE, COUNT_GAP = 9.5, 10, 3
NAME_PX = 10
NAMES_TOP = 13  # y at which the percentiles' lines begin
LABELLED_EDGES = 12  # with more buckets every second limit is written

Box = tuple[float, float, float]  # left, right, and the baseline of a text


def draw_histogram(latency: Latency) -> Markup:
    """Draw how the calls of one operation spread over the buckets, with p50 and p95 marked where they fall."""
    shown = _choose_buckets(latency.histogram)
    if not shown:
        return wrap_figure(latency.operation, "no calls", Markup(""))
    x = Scale(0, len(shown), LEFT - 22, WIDTH - RIGHT)
    y = Scale(0, max(latency.histogram), FLOOR, HIGHEST)
    bars = [_draw_bucket(position, latency.histogram[bucket], x, y) for position, bucket in enumerate(shown)]
    edges = [_draw_edge(position, bucket, x, len(shown)) for position, bucket in enumerate(shown)]
    drawn = make_svg(
        WIDTH,
        HEIGHT,
        f"{latency.operation}: how long calls took",
        _describe_spread(latency),
        *bars,
        *_draw_percentiles(latency, shown, x),
        *_draw_counts([latency.histogram[bucket] for bucket in shown], x, y),
        make_element("line", class_="axis", x1=x.start, x2=x.end, y1=FLOOR, y2=FLOOR),
        *edges,
        make_element("text", "ms", class_="tick", x=0, y=FLOOR + 13),
    )
    return wrap_figure(latency.operation, format_count(latency.calls, "call"), drawn)


def find_bucket_position(value: float) -> float:
    """Return where among the buckets a latency falls: 2.5 is the middle of the third."""
    lower = 0.0
    for index, upper in enumerate(BUCKETS_MS):
        if value <= upper:
            return index + (value - lower) / (upper - lower)
        lower = float(upper)
    return len(BUCKETS_MS) + 0.5


def _choose_buckets(counts: Sequence[int]) -> range:
    """Return the buckets from the one before the first call to the one after the last."""
    filled = [index for index, count in enumerate(counts) if count]
    return range(max(0, filled[0] - 1), min(len(counts), filled[-1] + 2)) if filled else range(0)


def _draw_bucket(position: int, count: int, x: Scale, y: Scale) -> Markup:
    left, top = x.find_pixel(position) + 1, _find_top(count, y)
    width = x.find_pixel(position + 1) - x.find_pixel(position) - 2
    return make_element("rect", class_="column", x=left, y=top, width=width, height=y.start - top)


def _draw_counts(counts: Sequence[int], x: Scale, y: Scale) -> list[Markup]:
    """Draw the counts above their columns; one that would cover another is a line higher."""
    placed: list[Box] = []
    drawn: list[Markup] = []
    for position, count in enumerate(counts):
        if not count:
            continue
        text = format_tick(count)
        middle = (x.find_pixel(position) + x.find_pixel(position + 1)) / 2
        half = measure_text(text, COUNT_PX) / 2
        baseline = _find_top(count, y) - 4
        while any(_covers(box, middle - half, middle + half, baseline) for box in placed):
            baseline -= 1
        placed.append((middle - half, middle + half, baseline))
        drawn.append(make_element("text", text, class_="count", x=middle, y=baseline, text_anchor="middle"))
    return drawn


def _covers(box: Box, left: float, right: float, baseline: float) -> bool:
    return left < box[1] + COUNT_GAP and box[0] < right + COUNT_GAP and abs(box[2] - baseline) < COUNT_LINE


def _find_top(count: int, y: Scale) -> float:
    """Return the y of a column's top; a single call among thousands stays visible."""
    return min(y.find_pixel(count), y.start - 1.5) if count else y.start


def _draw_edge(position: int, bucket: int, x: Scale, shown: int) -> Markup:
    """Draw the upper limit of a bucket at its right edge; every second one if many are shown."""
    if bucket >= len(BUCKETS_MS) or (shown > LABELLED_EDGES and position % 2):
        return Markup("")
    limit = BUCKETS_MS[bucket]
    written = f"{limit // 1000}k" if limit >= 1000 else str(limit)
    return make_element(
        "text", written, class_="tick x", x=x.find_pixel(position + 1), y=FLOOR + 13, text_anchor="middle"
    )


def _draw_percentiles(latency: Latency, shown: range, x: Scale) -> list[Markup]:
    marked = {
        name: x.find_pixel(find_bucket_position(value) - shown.start)
        for name, value in _list_marked(latency)
        if value is not None
    }
    ends = _place_names(marked)
    return [
        join_elements(
            (
                _draw_interval(latency.intervals.get(name), shown, x),
                make_element("line", class_="percentile", x1=at, x2=at, y1=NAMES_TOP, y2=FLOOR),
                make_element("text", name, class_="percentile-name", x=ends[name], y=10, text_anchor="end"),
            )
        )
        for name, at in marked.items()
    ]


def _list_marked(latency: Latency) -> list[tuple[Percentile, float | None]]:
    """Return the percentiles that a distribution marks, from left to right."""
    return [("p50", latency.p50), ("p95", latency.p95)]


def _place_names(marked: dict[Percentile, float]) -> dict[Percentile, float]:
    """Return where each name ends: p50 is left of its line and p95 right of it, within the chart and apart."""
    width = measure_text("p50", NAME_PX, bold=True)
    ends = {name: at + (2 if name == "p50" else width - 2) for name, at in marked.items()}
    edge = float(WIDTH)
    for name in reversed(ends):
        ends[name] = min(ends[name], edge)
        edge = ends[name] - width - 3
    return ends


def _draw_interval(ends: tuple[float, float] | None, shown: range, x: Scale) -> Markup:
    """Draw the interval of a percentile as a band behind its line; nothing without one."""
    if ends is None:
        return Markup("")
    left, right = (
        x.find_pixel(min(max(find_bucket_position(end), shown.start), shown.stop) - shown.start) for end in ends
    )
    height = FLOOR - NAMES_TOP
    return make_element(
        "rect", class_="percentile-band", x=left, y=NAMES_TOP, width=max(1.0, right - left), height=height
    )


def _describe_spread(latency: Latency) -> str:
    limits = [*(f"to {format_number(limit)} ms" for limit in BUCKETS_MS), "beyond"]
    counted = [f"{count} {limit}" for count, limit in zip(latency.histogram, limits, strict=True) if count]
    shown = [
        f"{name} {format_percentile(latency, name)} ms" for name, value in _list_marked(latency) if value is not None
    ]
    return f"{', '.join(shown) or 'Too few calls for a percentile'}. Calls: {', '.join(counted)}."
