"""The run over one axis: scenarios, throughput, errors, circuits and health, with the faults drawn across all."""

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from stress.model import ChartLine, Interval, Point, ReadinessReport, ScenarioResult, Timeline
from stress.report.charts import LINE_PX, TEXT_PX, Axes, draw_grid, draw_line, draw_lines_of_text, draw_tick
from stress.report.fault_marks import draw_fault_letters, draw_fault_period, format_when, name_fault
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
from stress.report.text_width import assign_levels, clamp_middle, measure_text, wrap_text

WIDTHS = {"wide": 1080, "middle": 700, "narrow": 336}  # pixels; drawn separately so that the text is readable
LEAST_LEFT, MOST_LEFT = 52, 0.25  # pixels, and share of the width, that names beside the rows may take
RIGHT = 12
SCENARIO_PX, STATE_PX = 10.5, 9.5
STRIP, BAND = 17, 15  # heights
LEVELS: dict[str, int] = {
    "closed": 0, "healthy": 0, "half-open": 1, "half_open": 1, "degraded": 1, "open": 2, "unhealthy": 2,
}  # fmt: skip


def draw_timeline(report: ReadinessReport, width: int) -> Markup:
    """Draw the run, `width` pixels wide, one row below the other."""
    bands = _list_bands(report.timeline)
    time = Scale(0, max(report.duration_s, 1), _choose_left([name for name, _ in bands], width), width - RIGHT)
    letters, top = draw_fault_letters(report.timeline.faults, time, 4.0, width)
    rows: list[Markup] = []
    strip, bottom = _draw_scenarios(report.results, time, top, width)
    rows.append(strip)
    for draw in (_draw_throughput, _draw_errors):
        row, bottom = draw(report.timeline, time, bottom + 30)
        rows.append(row)
    bottom += 12
    for name, intervals in bands:
        row, bottom = draw_band(name, intervals, time, bottom + 7)
        rows.append(row)
    return make_svg(
        width,
        bottom + 38,
        "The run, second by second",
        describe_timeline(report),
        *(draw_fault_period(fault, time, top, bottom + 4) for fault in report.timeline.faults),
        *rows,
        _draw_clock(time, bottom + 6, width),
        letters,
    )


def draw_band(name: str, intervals: Sequence[Interval], time: Scale, top: float) -> tuple[Markup, float]:
    """Draw one thing's states over time, worse ones higher; return it with the y where the band ends.

    Its name stands on the left, or above it if there is no room for it on the left.
    """
    if measure_text(name, TEXT_PX) <= time.start - 6:
        label = make_element("text", name, class_="band-name", x=time.start - 6, y=top + BAND - 3, text_anchor="end")
    else:
        lines = wrap_text(name, time.end - time.start, TEXT_PX)
        label = draw_lines_of_text(lines, time.start, top + LINE_PX - 2, class_="band-name")
        top += LINE_PX * len(lines) + 2
    states = [_draw_state(interval, time, top, BAND) for interval in intervals]
    return make_element("g", label, *states, class_="band"), top + BAND


def describe_timeline(report: ReadinessReport) -> str:
    """Return the run in words, as the chart's text alternative."""
    line = report.timeline
    parts = [
        _describe_series("answers", line.throughput),
        _describe_series("errors", line.errors),
        _describe_series("refusals", line.refused),
        *(f"Fault {name_fault(index)}: {fault.name}, {format_when(fault)}." for index, fault in enumerate(line.faults)),
        *(f"{name}: {_describe_states(intervals)}." for name, intervals in _list_bands(line)),
    ]
    return " ".join(parts)


def _list_bands(line: Timeline) -> list[tuple[str, list[Interval]]]:
    return [*line.circuits.items(), *([("health", line.health)] if line.health else [])]


def _choose_left(names: Sequence[str], width: int) -> float:
    """Return where the time begins, so that the names of the rows have room beside them, if they are short enough."""
    fitting = [measured for name in names if (measured := measure_text(name, TEXT_PX) + 8) <= MOST_LEFT * width]
    return max(LEAST_LEFT, *fitting) if fitting else LEAST_LEFT


def _draw_scenarios(results: Sequence[ScenarioResult], time: Scale, top: float, right: float) -> tuple[Markup, float]:
    """Draw the scenarios as a strip with their numbers, and keys where they fit; return it and the y below.

    The number of one that is too short for it stands below the strip.
    """
    numbered = list(enumerate(results, 1))
    strip = [_draw_scenario(index, result, time, top) for index, result in numbered]
    short = sorted(
        (clamp_middle(_find_middle(result, time), _measure_name(str(index)), 0, right), str(index))
        for index, result in numbered
        if not _name_scenario(index, result, time)
    )
    spans = [(middle - _measure_name(name) / 2, middle + _measure_name(name) / 2) for middle, name in short]
    levels = assign_levels(spans, gap=3)
    below = [
        make_element(
            "text", name, class_="stretch-name", x=x, y=top + STRIP + 10 + LINE_PX * level, text_anchor="middle"
        )
        for (x, name), level in zip(short, levels, strict=True)
    ]
    return join_elements([*strip, *below]), top + STRIP + 1 + LINE_PX * (max(levels, default=-1) + 1)


def _draw_scenario(index: int, result: ScenarioResult, time: Scale, top: float) -> Markup:
    x, width = time.find_pixel(result.began_s), time.find_pixel(result.ended_s) - time.find_pixel(result.began_s)
    title = make_element(
        "title", f"{index} {result.title}, {format_clock(result.began_s)} to {format_clock(result.ended_s)}"
    )
    name, middle = _name_scenario(index, result, time), _find_middle(result, time)
    return join_elements(
        (
            make_element("rect", title, class_="stretch", x=x + 0.5, y=top, width=max(width - 1, 1.0), height=STRIP),
            make_element("text", name, class_="stretch-name", x=middle, y=top + 12.3, text_anchor="middle"),
        )
    )


def _name_scenario(index: int, result: ScenarioResult, time: Scale) -> str:
    """Return the number and key of a scenario, or its number, or nothing, whatever fits into its stretch."""
    width = time.find_pixel(result.ended_s) - time.find_pixel(result.began_s)
    return next((name for name in (f"{index} {result.key}", str(index)) if _measure_name(name) <= width - 4), "")


def _measure_name(name: str) -> float:
    return measure_text(name, SCENARIO_PX)


def _find_middle(result: ScenarioResult, time: Scale) -> float:
    return (time.find_pixel(result.began_s) + time.find_pixel(result.ended_s)) / 2


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
    named = level > 0 and measure_text(interval.state, STATE_PX, bold=True) <= width - 2
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
        draw_tick(time.find_pixel(at), y, format_clock(at), width) for at in choose_time_ticks(time.high, width // 60)
    ]
    written = "h:min:s" if time.high >= 3600 else "min:s"
    name = make_element(
        "text", f"time since the run began, {written}", class_="name", x=time.end, y=y + 31, text_anchor="end"
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
