"""The faults of a run on its timeline: a letter above each, and its time shaded. Numbers are those of scenarios."""

from collections.abc import Sequence
from string import ascii_uppercase

from markupsafe import Markup

from stress.model import FaultPeriod
from stress.report.formatting import format_clock
from stress.report.svg import Scale, join_elements, make_element
from stress.report.text_width import assign_levels, clamp_middle, measure_text

LETTER_PX = 9.5
HEIGHT = 14  # pixels of a letter's background
PADDING, GAP = 7, 2  # pixels around its letters together, and from one to the next


def name_fault(index: int) -> str:
    """Return the letter of a fault, counted from 0: A to Z, then AA, AB and so on."""
    name = ""
    while index >= 0:
        index, place = divmod(index, len(ascii_uppercase))
        name, index = ascii_uppercase[place] + name, index - 1
    return name


def format_when(fault: FaultPeriod) -> str:
    """Return when a fault was in force: 1:05, or 1:05 to 1:20; once if it began and ended within a second."""
    began, ended = format_clock(fault.began_s), format_clock(fault.began_s if fault.ended_s is None else fault.ended_s)
    return began if began == ended else f"{began} to {ended}"


def draw_fault_letters(faults: Sequence[FaultPeriod], time: Scale, top: float, right: float) -> tuple[Markup, float]:
    """Draw the faults' letters within `right`, on as many levels as keep them apart; return them and the y below."""
    named = sorted(((fault.began_s, name_fault(index)) for index, fault in enumerate(faults)), key=lambda each: each[0])
    widths = [max(measure_text(name, LETTER_PX, bold=True) + PADDING, HEIGHT) for _, name in named]
    middles = [
        clamp_middle(time.find_pixel(began), width, 0, right) for (began, _), width in zip(named, widths, strict=True)
    ]
    spans = [(middle - width / 2, middle + width / 2) for middle, width in zip(middles, widths, strict=True)]
    levels = assign_levels(spans, GAP)
    letters = [
        _draw_letter(name, middle, width, top + level * (HEIGHT + GAP))
        for (_, name), middle, width, level in zip(named, middles, widths, levels, strict=True)
    ]
    return join_elements(letters), top + (max(levels, default=-1) + 1) * (HEIGHT + GAP)


def draw_fault_period(fault: FaultPeriod, time: Scale, top: float, bottom: float) -> Markup:
    """Draw the time of a fault as a shade, and its begin as a line."""
    x, width = time.find_pixel(fault.began_s), 0.0
    if fault.ended_s is not None:
        width = time.find_pixel(fault.ended_s) - x
    return join_elements(
        (
            make_element("rect", class_="fault", x=x, y=top, width=width, height=bottom - top),
            make_element("line", class_="fault-edge", x1=x, x2=x, y1=top, y2=bottom),
        )
    )


def _draw_letter(name: str, middle: float, width: float, top: float) -> Markup:
    return join_elements(
        (
            make_element("rect", class_="badge", x=middle - width / 2, y=top, width=width, height=HEIGHT, rx=3),
            make_element("text", name, class_="badge-letter", x=middle, y=top + 10.4, text_anchor="middle"),
        )
    )
