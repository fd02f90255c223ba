"""Charts of a dashboard as inline SVG: lines over time, with a legend that names each line's last value."""

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape

from local.dashboard.widgets import ChartWidget, MetricLine, Point

COLUMN, ROW = 42, 30  # pixels of the picture for a column and a row of the grid
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 8, 18
TICKS = 4  # of the time axis at most
COLOURS = 10  # that the style distinguishes
FindPixel = Callable[[Point], Point]
STEPS_S = (60, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600)


def draw_chart(chart: ChartWidget, *, start: float, end: float) -> str:
    """Return the chart of a widget between two times, in seconds since the epoch, as a figure."""
    width, height = chart.place.width * COLUMN, max(110, (chart.place.height - 2) * ROW)
    values = [value for line in chart.lines for _, value in line.points]
    low = chart.low if chart.low is not None else min([0.0, *values])
    high = chart.high if chart.high is not None else round_up(max([low, *values]))
    high = high if high > low else low + 1.0
    right, floor = width - RIGHT, height - BOTTOM

    def find_pixel(point: Point) -> Point:
        x = LEFT + (point[0] - start) / (end - start) * (right - LEFT)
        y = floor - (min(max(point[1], low), high) - low) / (high - low) * (floor - TOP)
        return x, y

    parts = [
        *_draw_grid(low, high, right, floor),
        *_draw_times(start, end, find_pixel, floor),
        *(_draw_line(line, number, find_pixel) for number, line in enumerate(chart.lines)),
    ]
    if not values:
        parts.append(
            f'<text class="none" x="{(LEFT + right) / 2:.0f}" y="{(TOP + floor) / 2 - 8:.0f}">nothing yet</text>'
        )
    described = f"{chart.title}: " + "; ".join(f"{line.label} {_format_last(line)}" for line in chart.lines)
    return (
        f"<figure><figcaption>{escape(chart.title)}</figcaption>"
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(described)}">{"".join(parts)}</svg>'
        f"{_draw_legend(chart.lines)}</figure>"
    )


def round_up(value: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20 … that is not less than a value; 1 for small ones but 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= value * (1 - 1e-9))


def format_value(value: float) -> str:
    """Return a value with three significant digits or as a whole number, and with a comma before thousands."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _draw_grid(low: float, high: float, right: float, floor: float) -> Iterator[str]:
    for share in (0.0, 0.5, 1.0):
        y = floor - share * (floor - TOP)
        yield f'<line class="grid" x1="{LEFT}" x2="{right:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="y" x="{LEFT - 5}" y="{y + 3.5:.1f}">{format_value(low + share * (high - low))}</text>'


def _draw_times(start: float, end: float, find_pixel: FindPixel, floor: float) -> Iterator[str]:
    step = next((step for step in STEPS_S if (end - start) / step <= TICKS), STEPS_S[-1])
    for tick in range(math.ceil(start / step), math.floor(end / step) + 1):
        at = tick * step
        clock = datetime.fromtimestamp(at, UTC).strftime("%H:%M")
        yield f'<text class="x" x="{find_pixel((at, 0.0))[0]:.0f}" y="{floor + 14:.0f}">{clock}</text>'


def _draw_line(line: MetricLine, number: int, find_pixel: FindPixel) -> str:
    if not line.points:
        return ""
    # A gap of more than two periods is drawn as one: nothing is known of it.
    path, before = "", -math.inf
    for at, value in line.points:
        x, y = find_pixel((at, value))
        path += f"{'L' if at - before <= 2 * line.period_s else 'M'}{x:.1f} {y:.1f}"
        before = at
    x, y = find_pixel(line.points[-1])
    colour = number % COLOURS + 1
    return f'<path class="c{colour}" d="{path}"/><circle class="c{colour}" cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>'


def _draw_legend(lines: Sequence[MetricLine]) -> str:
    items = [
        f'<li><i class="c{number % COLOURS + 1}"></i>{escape(line.label)} <b>{_format_last(line)}</b></li>'
        for number, line in enumerate(lines)
    ]
    return f"<ul>{''.join(items)}</ul>"


def _format_last(line: MetricLine) -> str:
    return format_value(line.points[-1][1]) if line.points else "-"
