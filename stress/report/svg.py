"""The parts of SVG that the charts need: elements, scales from data to pixels, and ticks at round values."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from stress.model import Point


def make_element(name: str, *content: str, **attributes: object) -> Markup:
    """Return one element, escaped; the attributes `class_` and `text_anchor` become class and text-anchor."""
    written = join_elements(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _format_attribute(value))
        for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, join_elements(content))


def join_elements(parts: Iterable[str]) -> Markup:
    """Return elements one after the other."""
    return Markup("").join(parts)


def make_svg(width: float, height: float, title: str, text: str, *content: str) -> Markup:
    """Return a whole SVG with its title and its text alternative; it scales to the available width."""
    return make_element(
        "svg",
        make_element("title", title),
        *content,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=f"{title}. {text}",
    )


def make_path(points: Iterable[Point], **attributes: object) -> Markup:
    """Return a line through pixels."""
    return make_element("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points), **attributes)


def _format_attribute(value: object) -> str:
    return f"{round(value, 2):g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Scale:
    """A scale that maps `low`…`high` of the data to `start`…`end` of the picture; values beyond are put at the edge."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def find_pixel(self, value: float) -> float:
        """Return the pixel of a value."""
        clamped = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(clamped / self.low) / math.log(self.high / self.low)
        else:
            share = (clamped - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def choose_linear_ticks(low: float, high: float, most: int) -> list[float]:
    """Return about `most` round values or fewer that enclose low…high."""
    step = _choose_step((high - low) / most) if high > low else 1.0
    first, last = math.floor(low / step), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, max(last, first + 1) + 1)]


def choose_log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return powers of ten that enclose low…high (both above 0), with 2 and 5 between them if there is room."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    first = max(index for index, value in enumerate(fine) if value <= low or index == 0)
    last = min(index for index, value in enumerate(fine) if value >= high or index == len(fine) - 1)
    shown = fine[first : max(last, first + 1) + 1]
    if len(shown) <= most:
        return shown
    return [10.0**decade for decade in decades]


def choose_time_ticks(duration: float, most: int) -> list[float]:
    """Return times in readable steps, of 5 s to hours."""
    steps = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
    step = next((s for s in steps if duration / s <= most), 4 * steps[-1])
    return [float(at) for at in range(0, int(duration) + 1, step)]


def _choose_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough * 0.999)
