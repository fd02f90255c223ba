"""The run over one axis: scenarios, throughput, errors, circuits and health, with the faults drawn through all."""

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from stress.model import Fault, Interval, Line, Point, Report, Result, Timeline
from stress.report.charts import Axes, drawn_line, grid
from stress.report.svg import Scale, joined, linear_ticks, minute_ticks, path, picture, tag
from stress.report.words import clock, number

WIDTHS = {"wide": 1080, "middle": 700, "narrow": 336}  # pixels, each drawn for itself so that its text can be read
BADGE = 15  # pixels between the numbers of faults that would otherwise lie on each other
LETTER = 6.4  # pixels of one letter, generously
LEVELS: dict[str, int] = {
    "closed": 0, "healthy": 0, "half-open": 1, "half_open": 1, "degraded": 1, "open": 2, "unhealthy": 2,
}  # fmt: skip


def timeline_chart(report: Report, width: int) -> Markup:
    """The run, `width` pixels wide, each row under the one before."""
    left, top = (52 if width < WIDTHS["middle"] else 62), 14.0
    time = Scale(0, max(report.duration_s, 1), left, width - 12)
    marks, top = _badges(report.timeline.faults, time, top)
    rows: list[Markup] = []
    strip, bottom = _scenarios(report.results, time, top)
    rows.append(strip)
    for draw in (_throughput, _errors):
        row, bottom = draw(report.timeline, time, bottom + 30)
        rows.append(row)
    bottom += 12
    for name, intervals in _bands(report.timeline):
        row, bottom = band(name, intervals, time, bottom + 7)
        rows.append(row)
    return picture(
        width,
        bottom + 38,
        "The run, second by second",
        told(report),
        *(_shade(fault, time, top, bottom + 4) for fault in report.timeline.faults),
        *rows,
        _clock(time, bottom + 6, width),
        marks,
    )


def band(name: str, intervals: Sequence[Interval], time: Scale, top: float) -> tuple[Markup, float]:
    """One thing's states over time, the worse the higher, named where there is room; and where the band ends."""
    height = 15.0
    states = [_state(interval, time, top, height) for interval in intervals]
    room = int((time.start - 6) / LETTER)
    short = name if len(name) <= room else name[: room - 1] + "…"
    label = tag(
        "text", tag("title", name), short, class_="band-name", x=time.start - 6, y=top + height - 3, text_anchor="end"
    )
    return tag("g", label, *states, class_="band"), top + height


def told(report: Report) -> str:
    """The run in words, for those who can't see it."""
    line = report.timeline
    parts = [
        _told_series("answers", line.throughput),
        _told_series("errors", line.errors),
        _told_series("refusals", line.refused),
        *(f"Fault {index}: {fault.name}, {when(fault)}." for index, fault in enumerate(line.faults, 1)),
        *(f"{name}: {_told_states(intervals)}." for name, intervals in _bands(line)),
    ]
    return " ".join(parts)


def when(fault: Fault) -> str:
    """Return when a fault was there: 1:05, or 1:05 to 1:20."""
    return clock(fault.began_s) if fault.ended_s is None else f"{clock(fault.began_s)} to {clock(fault.ended_s)}"


def _bands(line: Timeline) -> list[tuple[str, list[Interval]]]:
    return [*line.circuits.items(), *([("health", line.health)] if line.health else [])]


def _badges(faults: Sequence[Fault], time: Scale, top: float) -> tuple[Markup, float]:
    """The faults' numbers, on as many levels as keep them apart; and where the rows may begin."""
    ends: list[float] = []
    badges: list[Markup] = []
    for index, fault in enumerate(faults, 1):
        x = time.at(fault.began_s)
        level = next((level for level, end in enumerate(ends) if x - end >= BADGE), len(ends))
        ends[level : level + 1] = [x]
        y = top + level * (BADGE + 1)
        badges.append(
            joined(
                (
                    tag("circle", class_="badge", cx=x, cy=y - 4, r=7),
                    tag("text", str(index), class_="badge-number", x=x, y=y - 0.4, text_anchor="middle"),
                )
            )
        )
    return joined(badges), top + len(ends) * (BADGE + 1) - 6


def _shade(fault: Fault, time: Scale, top: float, bottom: float) -> Markup:
    x, width = time.at(fault.began_s), 0.0
    if fault.ended_s is not None:
        width = time.at(fault.ended_s) - x
    return joined(
        (
            tag("rect", class_="fault", x=x, y=top, width=width, height=bottom - top),
            tag("line", class_="fault-edge", x1=x, x2=x, y1=top, y2=bottom),
        )
    )


def _scenarios(results: Sequence[Result], time: Scale, top: float) -> tuple[Markup, float]:
    parts = [_stretch(index, result, time, top) for index, result in enumerate(results, 1)]
    return joined(parts), top + 18


def _stretch(index: int, result: Result, time: Scale, top: float) -> Markup:
    x, width = time.at(result.began_s), time.at(result.ended_s) - time.at(result.began_s)
    names = (f"{index} {result.key}", str(index))
    title = tag("title", f"{index} {result.title}, {clock(result.began_s)} to {clock(result.ended_s)}")
    name = next((name for name in names if len(name) * LETTER <= width), "")
    return joined(
        (
            tag("rect", title, class_="stretch", x=x + 0.5, y=top, width=max(width - 1, 1.0), height=17),
            tag("text", name, class_="stretch-name", x=x + width / 2, y=top + 12.3, text_anchor="middle"),
        )
    )


def _throughput(line: Timeline, time: Scale, top: float) -> tuple[Markup, float]:
    axes = _axes([line.throughput], time, top, 118)
    pixels = [axes.at(point) for point in line.throughput]
    area = [(pixels[0][0], axes.y.start), *pixels, (pixels[-1][0], axes.y.start)] if pixels else []
    content = [path(area, class_="area")] if area else []
    stroke = drawn_line(Line("answers", line.throughput), 1, axes)
    return joined((grid(axes), *content, stroke, _heading("answers a second", time, top))), axes.y.start


def _errors(line: Timeline, time: Scale, top: float) -> tuple[Markup, float]:
    axes = _axes([line.errors, line.refused], time, top, 58)
    lines = [
        path([axes.at(point) for point in stretch], class_=kind)
        for kind, points in (("refused", line.refused), ("errors", line.errors))
        for stretch in above_zero(points)
    ]
    return joined((grid(axes), *lines, _heading("errors and refusals a second", time, top))), axes.y.start


def above_zero(points: Sequence[Point]) -> list[list[Point]]:
    """The stretches with something in them, each with the zeros beside it: a quiet minute draws no line."""
    stretches: list[list[Point]] = []
    for before, point in pairwise(points):
        if before[1] <= 0 and point[1] <= 0:
            continue
        if stretches and stretches[-1][-1] == before:
            stretches[-1].append(point)
        else:
            stretches.append([before, point])
    return stretches


def _axes(series: Sequence[list[Point]], time: Scale, top: float, height: float) -> Axes:
    ticks = linear_ticks(0, max((y for points in series for _, y in points), default=1) or 1, 3)
    return Axes(time, Scale(ticks[0], ticks[-1], top + height, top), [], ticks)


def _heading(text: str, time: Scale, top: float) -> Markup:
    return tag("text", text, class_="heading", x=time.start, y=top - 8)


def _state(interval: Interval, time: Scale, top: float, height: float) -> Markup:
    x = time.at(interval.began_s)
    width = max(time.at(interval.ended_s) - x, 1.0)
    level = LEVELS.get(interval.state, 1)
    tall = (2.0, 12.0, height)[level]
    named = level > 0 and len(interval.state) * LETTER <= width
    return joined((
        tag("rect", tag("title", _told_states([interval])), class_=f"state level-{level}", x=x, y=top + height - tall,
            width=width, height=tall),
        tag("text", interval.state, class_=f"state-name on-{level}", x=x + width / 2, y=top + height - 3.6,
            text_anchor="middle") if named else Markup(""),
    ))  # fmt: skip


def _clock(time: Scale, y: float, width: int) -> Markup:
    ticks = [
        joined(
            (
                tag("line", class_="axis", x1=x, x2=x, y1=y, y2=y + 4),
                tag("text", clock(at), class_="tick x", x=x, y=y + 16, text_anchor="middle"),
            )
        )
        for at in minute_ticks(time.high, width // 60)
        for x in [time.at(at)]
    ]
    name = tag("text", "time since the run began, min:s", class_="name", x=time.end, y=y + 31, text_anchor="end")
    return joined([tag("line", class_="axis", x1=time.start, x2=time.end, y1=y, y2=y), *ticks, name])


def _told_series(name: str, points: Sequence[Point]) -> str:
    if not points:
        return f"No {name} were counted."
    most = max(points, key=lambda point: point[1])
    mean = sum(y for _, y in points) / len(points)
    return f"{name.capitalize()} a second: {number(mean)} on average, {number(most[1])} at most, at {clock(most[0])}."


def _told_states(intervals: Sequence[Interval]) -> str:
    return ", ".join(f"{part.state} from {clock(part.began_s)} to {clock(part.ended_s)}" for part in intervals)
