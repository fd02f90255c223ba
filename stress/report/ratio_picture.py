"""Pictures of ratios: on a logarithmic scale around 1, the band of what is noise, the ratio, and its interval."""

import math
from collections.abc import Iterable

from markupsafe import Markup

from stress.model import Estimate
from stress.report.formatting import format_estimate, format_interval, format_tick
from stress.report.noise import NoiseBand
from stress.report.svg import Scale, make_element, make_path, make_svg

WIDTH, HEIGHT = 180, 18
LEGEND_HEIGHT = 34
EDGE = 6  # pixels left and right of the scale, for a mark at its end
REACHES = (1.25, 1.5, 2, 3, 5, 10, 20, 50, 100)  # of the scale, to both sides of 1


def choose_reach(ratios: Iterable[float]) -> float:
    """Return how far the scale of a table reaches, so that all of its ratios are on it: 2 is from 1/2 to 2."""
    farthest = max((max(ratio, 1 / ratio) for ratio in ratios if 0 < ratio < math.inf), default=1.0)
    return next((reach for reach in REACHES if farthest <= reach), REACHES[-1])


def draw_ratio(ratio: Estimate, band: NoiseBand, reach: float) -> Markup:
    """Draw one ratio over its band; what is beyond the scale is at its edge."""
    text = f"B / A is {format_estimate(ratio)}, noise is {format_interval(band.low, band.high)}"
    place = "within" if band.contains(ratio.value) else "outside"
    return make_svg(WIDTH, HEIGHT, "B / A", text, *_draw_parts(ratio, band, reach, place))


def draw_ratio_legend(reach: float) -> Markup:
    """Draw the scale of a table's pictures, with its ends and an example on it."""
    scale = _make_scale(reach)
    example, band = Estimate(reach**0.7, reach**0.5, reach**0.9, 1), NoiseBand(reach**-0.3, reach**0.3)
    ticks = [
        make_element("text", text, class_="tick", x=scale.find_pixel(at), y=LEGEND_HEIGHT - 3, text_anchor=anchor)
        for at, text, anchor in (
            (1 / reach, f"{1 / reach:.2g}", "start"),
            (1.0, "1", "middle"),
            (reach, format_tick(reach), "end"),
        )
    ]
    text = f"Logarithmic, from {1 / reach:.2g} to {reach:g}"
    return make_svg(WIDTH, LEGEND_HEIGHT, "Scale of B / A", text, *_draw_parts(example, band, reach, "outside"), *ticks)


def _draw_parts(ratio: Estimate, band: NoiseBand, reach: float, place: str) -> list[Markup]:
    scale, middle = _make_scale(reach), HEIGHT / 2
    left, right, low, high = (scale.find_pixel(value) for value in (band.low, band.high, ratio.low, ratio.high))
    return [
        make_element("rect", class_="noise", x=left, y=1, width=max(1.0, right - left), height=HEIGHT - 2),
        make_element("line", class_="axis", x1=scale.find_pixel(1), x2=scale.find_pixel(1), y1=0, y2=HEIGHT),
        make_path([(low, middle), (high, middle)], class_=f"whisker {place}"),
        make_element("circle", class_=f"ratio {place}", cx=scale.find_pixel(ratio.value), cy=middle, r=3.5),
    ]


def _make_scale(reach: float) -> Scale:
    return Scale(1 / reach, reach, EDGE, WIDTH - EDGE, log=True)
