"""The run over one axis: scenarios, throughput, errors, circuits and health, with the faults drawn across all."""

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from stress.model import ChartLine, FaultPeriod, Interval, Point, ReadinessReport, ScenarioResult, Timeline
from stress.report.charts import Axes, draw_grid, draw_line
from stress.report.formatting import format_clock, format_number
from stress.report.svg import (
    Scale,
    choose_linear_ticks,
    choose_time_ticks,
    join_elements,
    make_element,
    make_path,
    make_svg,
)

WIDTHS = {"wide": 1080, "middle": 700, "narrow": 336}  # pixels; drawn separately so that the text is readable
BADGE = 15  # pixels between the numbers of faults, so that they don't overlap
LETTER = 6.4  # pixels of one letter, at most
LEVELS: dict[str, int] = {
    "closed": 0, "healthy": 0, "half-open": 1, "half_open": 1, "degraded": 1, "open": 2, "unhealthy": 2,
}  # fmt: skip


def draw_timeline(report: ReadinessReport, width: int) -> Markup:
    """Draw the run, `width` pixels wide, one row below the other."""
    left, top = (52 if width < WIDTHS["middle"] else 62), 14.0
    time = Scale(0, max(report.duration_s, 1), left, width - 12)
    marks, top = _draw_fault_badges(report.timeline.faults, time, top)
    rows: list[Markup] = []
    strip, bottom = _draw_scenarios(report.results, time, top)
    rows.append(strip)
    for draw in (_draw_throughput, _draw_errors):
        row, bottom = draw(report.timeline, time, bottom + 30)
        rows.append(row)
    bottom += 12
    for name, intervals in _list_bands(report.timeline):
        row, bottom = draw_band(name, intervals, time, bottom + 7)
        rows.append(row)
    return make_svg(
        width,
        bottom + 38,
        "The run, second by second",
        describe_timeline(report),
        *(_draw_fault(fault, time, top, bottom + 4) for fault in report.timeline.faults),
        *rows,
        _draw_clock(time, bottom + 6, width),
        marks,
    )


def draw_band(name: str, intervals: Sequence[Interval], time: Scale, top: float) -> tuple[Markup, float]:
    """Draw one thing's states over time, worse ones higher; return it with the y where the band ends."""
    height = 15.0
    states = [_draw_state(interval, time, top, height) for interval in intervals]
    room = int((time.start - 6) / LETTER)
    short = name if len(name) <= room else name[: room - 1] + "…"
    label = make_element(
        "text",
        make_element("title", name),
        short,
        class_="band-name",
        x=time.start - 6,
        y=top + height - 3,
        text_anchor="end",
    )
    return make_element("g", label, *states, class_="band"), top + height


def describe_timeline(report: ReadinessReport) -> str:
    """Return the run in words, as the chart's text alternative."""
    line = report.timeline
    parts = [
        _describe_series("answers", line.throughput),
        _describe_series("errors", line.errors),
        _describe_series("refusals", line.refused),
        *(f"Fault {index}: {fault.name}, {format_when(fault)}." for index, fault in enumerate(line.faults, 1)),
        *(f"{name}: {_describe_states(intervals)}." for name, intervals in _list_bands(line)),
    ]
    return " ".join(parts)


def format_when(fault: FaultPeriod) -> str:
    """Return when a fault was in force: 1:05, or 1:05 to 1:20."""
    return (
        format_clock(fault.began_s)
        if fault.ended_s is None
        else f"{format_clock(fault.began_s)} to {format_clock(fault.ended_s)}"
    )


def _list_bands(line: Timeline) -> list[tuple[str, list[Interval]]]:
    return [*line.circuits.items(), *([("health", line.health)] if line.health else [])]


def _draw_fault_badges(faults: Sequence[FaultPeriod], time: Scale, top: float) -> tuple[Markup, float]:
    """Draw the faults' numbers, on as many levels as keep them apart; return them with the y below."""
    ends: list[float] = []
    badges: list[Markup] = []
    for index, fault in enumerate(faults, 1):
        x = time.find_pixel(fault.began_s)
        level = next((level for level, end in enumerate(ends) if x - end >= BADGE), len(ends))
        ends[level : level + 1] = [x]
        y = top + level * (BADGE + 1)
        badges.append(
            join_elements(
                (
                    make_element("circle", class_="badge", cx=x, cy=y - 4, r=7),
                    make_element("text", str(index), class_="badge-number", x=x, y=y - 0.4, text_anchor="middle"),
                )
            )
        )
    return join_elements(badges), top + len(ends) * (BADGE + 1) - 6


def _draw_fault(fault: FaultPeriod, time: Scale, top: float, bottom: float) -> Markup:
    x, width = time.find_pixel(fault.began_s), 0.0
    if fault.ended_s is not None:
        width = time.find_pixel(fault.ended_s) - x
    return join_elements(
        (
            make_element("rect", class_="fault", x=x, y=top, width=width, height=bottom - top),
            make_element("line", class_="fault-edge", x1=x, x2=x, y1=top, y2=bottom),
        )
    )


def _draw_scenarios(results: Sequence[ScenarioResult], time: Scale, top: float) -> tuple[Markup, float]:
    parts = [_draw_scenario(index, result, time, top) for index, result in enumerate(results, 1)]
    return join_elements(parts), top + 18


def _draw_scenario(index: int, result: ScenarioResult, time: Scale, top: float) -> Markup:
    x, width = time.find_pixel(result.began_s), time.find_pixel(result.ended_s) - time.find_pixel(result.began_s)
    names = (f"{index} {result.key}", str(index))
    title = make_element(
        "title", f"{index} {result.title}, {format_clock(result.began_s)} to {format_clock(result.ended_s)}"
    )
    name = next((name for name in names if len(name) * LETTER <= width), "")
    return join_elements(
        (
            make_element("rect", title, class_="stretch", x=x + 0.5, y=top, width=max(width - 1, 1.0), height=17),
            make_element("text", name, class_="stretch-name", x=x + width / 2, y=top + 12.3, text_anchor="middle"),
        )
    )


def _draw_throughput(line: Timeline, time: Scale, top: float) -> tuple[Markup, float]:
    axes = _make_axes([line.throughput], time, top, 118)
    pixels = [axes.find_pixel(point) for point in line.throughput]
    area = [(pixels[0][0], axes.y.start), *pixels, (pixels[-1][0], axes.y.start)] if pixels else []
    content = [make_path(area, class_="area")] if area else []
    stroke = draw_line(ChartLine("answers", line.throughput), 1, axes)
    return join_elements(
        (draw_grid(axes), *content, stroke, _draw_heading("answers a second", time, top))
    ), axes.y.start


def _draw_errors(line: Timeline, time: Scale, top: float) -> tuple[Markup, float]:
    axes = _make_axes([line.errors, line.refused], time, top, 58)
    lines = [
        make_path([axes.find_pixel(point) for point in stretch], class_=kind)
        for kind, points in (("refused", line.refused), ("errors", line.errors))
        for stretch in split_nonzero(points)
    ]
    return join_elements(
        (draw_grid(axes), *lines, _draw_heading("errors and refusals a second", time, top))
    ), axes.y.start


def split_nonzero(points: Sequence[Point]) -> list[list[Point]]:
    """Return the parts with values above zero, each with the zeros beside it: a quiet minute draws no line."""
    stretches: list[list[Point]] = []
    for before, point in pairwise(points):
        if before[1] <= 0 and point[1] <= 0:
            continue
        if stretches and stretches[-1][-1] == before:
            stretches[-1].append(point)
        else:
            stretches.append([before, point])
    return stretches


def _make_axes(series: Sequence[list[Point]], time: Scale, top: float, height: float) -> Axes:
    ticks = choose_linear_ticks(0, max((y for points in series for _, y in points), default=1) or 1, 3)
    return Axes(time, Scale(ticks[0], ticks[-1], top + height, top), [], ticks)


def _draw_heading(text: str, time: Scale, top: float) -> Markup:
    return make_element("text", text, class_="heading", x=time.start, y=top - 8)


def _draw_state(interval: Interval, time: Scale, top: float, height: float) -> Markup:
    x = time.find_pixel(interval.began_s)
    width = max(time.find_pixel(interval.ended_s) - x, 1.0)
    level = LEVELS.get(interval.state, 1)
    tall = (2.0, 12.0, height)[level]
    named = level > 0 and len(interval.state) * LETTER <= width
    return join_elements(
        (
            make_element(
                "rect",
                make_element("title", _describe_states([interval])),
                class_=f"state level-{level}",
                x=x,
                y=top + height - tall,
                width=width,
                height=tall,
            ),
            make_element(
                "text",
                interval.state,
                class_=f"state-name on-{level}",
                x=x + width / 2,
                y=top + height - 3.6,
                text_anchor="middle",
            )
            if named
            else Markup(""),
        )
    )


def _draw_clock(time: Scale, y: float, width: int) -> Markup:
    ticks = [
        join_elements(
            (
                make_element("line", class_="axis", x1=x, x2=x, y1=y, y2=y + 4),
                make_element("text", format_clock(at), class_="tick x", x=x, y=y + 16, text_anchor="middle"),
            )
        )
        for at in choose_time_ticks(time.high, width // 60)
        for x in [time.find_pixel(at)]
    ]
    name = make_element(
        "text", "time since the run began, min:s", class_="name", x=time.end, y=y + 31, text_anchor="end"
    )
    return join_elements([make_element("line", class_="axis", x1=time.start, x2=time.end, y1=y, y2=y), *ticks, name])


def _describe_series(name: str, points: Sequence[Point]) -> str:
    if not points:
        return f"No {name} were counted."
    most = max(points, key=lambda point: point[1])
    mean = sum(y for _, y in points) / len(points)
    highest = f"{format_number(most[1])} at most, at {format_clock(most[0])}"
    return f"{name.capitalize()} a second: {format_number(mean)} on average, {highest}."


def _describe_states(intervals: Sequence[Interval]) -> str:
    return ", ".join(
        f"{part.state} from {format_clock(part.began_s)} to {format_clock(part.ended_s)}" for part in intervals
    )
