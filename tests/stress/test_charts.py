"""A point lies where its axis says, on every scale; and what is drawn is described in words as well."""

import re
from dataclasses import replace
from itertools import pairwise
from xml.etree.ElementTree import Element, fromstring

import pytest

from stress.model import BUCKETS_MS, Chart, ChartLine, Interval, Latency
from stress.report.charts import draw_line_chart
from stress.report.fault_marks import name_fault
from stress.report.histogram import draw_histogram, find_bucket_position
from stress.report.svg import Scale, choose_linear_ticks, choose_log_ticks
from stress.report.timeline import WIDTHS, draw_band, draw_timeline, split_nonzero
from tests.stress import sample
from tests.stress.sample_results import make_latency


def parse_markup(markup: str) -> Element:
    """Return the markup as a tree; it must be well-formed."""
    return fromstring(f"<x>{markup}</x>")


def find_by_class(tree: Element, name: str) -> list[Element]:
    """Return the elements of one class."""
    return [element for element in tree.iter() if element.get("class") == name]


def read_axis_value(ticks: list[tuple[float, float]], pixel: float, *, log: bool) -> float:
    """Return the value of a pixel, read off the ticks on both sides of it as a person would."""
    (low, start), (high, end) = next(
        pair
        for pair in pairwise(ticks)
        if min(pair[0][1], pair[1][1]) - 0.01 <= pixel <= max(pair[0][1], pair[1][1]) + 0.01
    )
    share = (pixel - start) / (end - start)
    return float(low * (high / low) ** share if log else low + (high - low) * share)


def find_position(mark: Element) -> tuple[float, float]:
    """Return where a marker is, be it a circle or a shape that was moved there."""
    moved = re.fullmatch(r"translate\((.*) (.*)\)", mark.get("transform", ""))
    x, y = moved.groups() if moved else (mark.get("cx", ""), mark.get("cy", ""))
    return float(x), float(y)


def read_tick(text: str) -> float:
    """Return the value of a tick: 5,000 or 20k."""
    return float(text.replace(",", "").removesuffix("k")) * (1000 if text.endswith("k") else 1)


def read_ticks(tree: Element, axis: str) -> list[tuple[float, float]]:
    """Return the texts along an axis, and the pixel of each."""
    at = {"x": "x", "y": "y"}[axis]
    shift = 3.6 if axis == "y" else 0.0  # text stands on its baseline, not on its middle
    return [(read_tick(one.text or ""), float(one.get(at, "")) - shift) for one in find_by_class(tree, f"tick {axis}")]


@pytest.mark.parametrize("log", [False, True], ids=["linear", "logarithmic"])
def test_a_known_point_lands_where_the_axis_says(log: bool) -> None:
    """Read off the written ticks, each marker gives its point back."""
    points = [(12.0, 18.0), (250.0, 40.0), (400.0, 333.0), (610.0, 4100.0)]
    tree = parse_markup(
        draw_line_chart(Chart("t", "requests", "ms", [ChartLine("after", points)], bar=350, bar_name="bar", log=log))
    )
    found = [
        (
            read_axis_value(read_ticks(tree, "x"), x, log=False),
            read_axis_value(read_ticks(tree, "y"), y, log=log),
        )
        for x, y in map(find_position, find_by_class(tree, "mark"))
    ]
    assert len(found) == len(points)
    for (x, y), (wanted_x, wanted_y) in zip(found, points, strict=True):
        assert x == pytest.approx(wanted_x, abs=2)
        assert y == pytest.approx(wanted_y, rel=0.02, abs=0 if log else 10)
    bar = find_by_class(tree, "bar")[0]
    assert read_axis_value(read_ticks(tree, "y"), float(bar.get("y1", "")), log=log) == pytest.approx(
        350, rel=0.02, abs=0 if log else 10
    )


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 322), (3, 3), (-4, 9), (0.001, 0.0042), (0, 1e6)])
def test_linear_ticks_enclose_what_is_shown_in_even_steps(low: float, high: float) -> None:
    """Few, even, and beyond both ends."""
    made = choose_linear_ticks(low, high, 5)
    assert made[0] <= low
    assert made[-1] >= high
    assert 2 <= len(made) <= 8
    gaps = [b - a for a, b in pairwise(made)]
    assert gaps == pytest.approx([gaps[0]] * len(gaps))


@pytest.mark.parametrize(("low", "high"), [(18, 4100), (1, 1), (3, 7), (0.02, 90_000), (100, 1000)])
def test_logarithmic_ticks_enclose_what_is_shown(low: float, high: float) -> None:
    """Powers of ten, or 1, 2 and 5 of them, rising."""
    made = choose_log_ticks(low, high, 7)
    assert made[0] <= low
    assert made[-1] >= high
    assert made == sorted(set(made))
    assert len(made) >= 2
    assert {f"{tick:e}"[0] for tick in made} <= {"1", "2", "5"}


def test_what_lies_beyond_a_scale_is_put_at_its_edge() -> None:
    """Nothing is drawn outside of its chart, a zero on a logarithmic scale included."""
    scale = Scale(1, 1000, 100, 0, log=True)
    assert [scale.find_pixel(value) for value in (0, 1, 1000, 5000)] == [100, 100, 0, 0]


def test_a_distribution_shows_every_call() -> None:
    """The counts on the columns are the histogram's, and the columns are as high as they say."""
    one = make_latency("POST /claims", 900, 47, 0.7)
    tree = parse_markup(draw_histogram(one))
    counts = [int((text.text or "0").replace(",", "")) for text in find_by_class(tree, "count") if text.text]
    assert sum(counts) == 900
    heights = [
        float(column.get("height", "")) for column in find_by_class(tree, "column") if float(column.get("height", ""))
    ]
    tallest = max(heights)
    assert heights == pytest.approx([max(tallest * count / max(counts), 1.5) for count in counts], abs=0.02)
    svg = next(element for element in tree.iter() if element.tag == "svg")
    assert "p95 160 (144 to 181) ms" in svg.get("aria-label", "")


def test_a_percentile_is_marked_in_its_bucket() -> None:
    """It stands at its share of the bucket; beyond the last bucket, in the middle of the space there."""
    assert find_bucket_position(0.5) == 0.5
    assert find_bucket_position(1.5) == 1.5
    assert find_bucket_position(BUCKETS_MS[-1]) == len(BUCKETS_MS)
    assert find_bucket_position(99_999) == len(BUCKETS_MS) + 0.5


def test_no_calls_draw_no_distribution() -> None:
    """An operation that was never called says so."""
    nothing = Latency("GET /claims", 0, 0, 0, 0, 0, 0, (0,) * 20)
    assert "no calls" in draw_histogram(nothing)
    assert "<svg" not in draw_histogram(nothing)


def test_a_band_is_as_long_as_its_states_and_higher_the_worse() -> None:
    """Open is tallest; half-open is hatched; closed is a thin line. Labels say it if there is space, titles always."""
    states = [Interval("closed", 0, 50), Interval("half-open", 50, 60), Interval("open", 60, 100)]
    drawn, bottom = draw_band("email", states, Scale(0, 100, 0, 1000), 20)
    tree = parse_markup(drawn)
    rects = [element for element in tree.iter() if element.tag == "rect"]
    assert [(float(r.get("x", "")), float(r.get("width", ""))) for r in rects] == [(0, 500), (500, 100), (600, 400)]
    heights = [float(r.get("height", "")) for r in rects]
    assert heights[0] < heights[1] < heights[2]
    assert all(float(r.get("y", "")) + float(r.get("height", "")) == bottom for r in rects)
    assert [r.findtext("title") for r in rects][2] == "open from 1:00 to 1:40"
    assert {"open", "half-open"} <= {element.text for element in tree.iter() if element.tag == "text"}


@pytest.mark.parametrize("width", list(WIDTHS.values()), ids=list(WIDTHS))
def test_every_fault_is_marked_and_described(width: int) -> None:
    """Its letter above, its shade below at its time, its name in the text alternative; letters never overlap."""
    report = sample.make_mixed_report()
    tree = parse_markup(draw_timeline(report, width))
    badges = [(float(b.get("x", "")), float(b.get("y", ""))) for b in find_by_class(tree, "badge")]
    assert len(badges) == len(find_by_class(tree, "fault")) == len(report.timeline.faults)
    assert all(abs(a[0] - b[0]) >= 14 or abs(a[1] - b[1]) >= 14 for a in badges for b in badges if a is not b)
    assert [letter.text for letter in find_by_class(tree, "badge-letter")] == list("ABCDEFGH")
    label = next(element for element in tree.iter() if element.tag == "svg").get("aria-label", "")
    named = [f"Fault {name_fault(n)}: {fault.name}, " for n, fault in enumerate(report.timeline.faults)]
    assert all(name in label for name in named)
    assert re.search(r"storage: closed from 0:00 to 4:55, open from 4:55 to 5:04", label)


def test_a_quiet_run_draws_no_line_of_errors() -> None:
    """Only stretches with errors are drawn, each from the zero before to the zero after."""
    points = [(0.0, 0.0), (1.0, 0.0), (2.0, 4.0), (3.0, 5.0), (4.0, 0.0), (5.0, 0.0), (6.0, 1.0)]
    assert split_nonzero(points) == [points[1:5], points[5:]]
    report = sample.make_passing_report()
    quiet = replace(report, timeline=replace(report.timeline, errors=[(float(s), 0.0) for s in range(402)]))
    assert find_by_class(parse_markup(draw_timeline(quiet, WIDTHS["wide"])), "errors") == []


def test_intervals_are_drawn_as_a_band_and_said_in_words() -> None:
    """The band has the corners of the intervals, and the axis holds them; an end at infinity is at the edge."""
    points, low, high = [(1.0, 50.0), (2.0, 60.0)], [(1.0, 40.0), (2.0, 45.0)], [(1.0, 70.0), (2.0, 99.0)]
    tree = parse_markup(draw_line_chart(Chart("t", "x", "ms", [ChartLine("after", points, low, high)])))
    (band,) = find_by_class(tree, "interval-band")
    corners = [tuple(map(float, pair.split())) for pair in band.get("d", "").removeprefix("M").split("L")]
    ticks = read_ticks(tree, "y")
    found = [round(read_axis_value(ticks, y, log=False)) for _, y in corners]
    assert found == [40, 45, 99, 70]
    label = next(element for element in tree.iter() if element.tag == "svg").get("aria-label", "")
    assert "50 (40 to 70) at 1, 60 (45 to 99) at 2." in label
    endless = ChartLine("after", points, low, [(1.0, float("inf")), (2.0, float("inf"))])
    assert len(find_by_class(parse_markup(draw_line_chart(Chart("t", "x", "ms", [endless]))), "interval-band")) == 1
    assert (
        find_by_class(parse_markup(draw_line_chart(Chart("t", "x", "ms", [ChartLine("a", points)]))), "interval-band")
        == []
    )


def test_a_distribution_of_too_few_calls_marks_no_percentile() -> None:
    """Of five calls there is none, of sixty the middle only."""
    few, some = make_latency("GET /a", 5, 20), make_latency("GET /a", 60, 20)
    assert find_by_class(parse_markup(draw_histogram(few)), "percentile") == []
    names = [mark.text for mark in find_by_class(parse_markup(draw_histogram(some)), "percentile-name")]
    assert names == ["p50"]


def test_faults_have_letters_where_scenarios_have_numbers() -> None:
    """After Z come two letters, so that each fault of a long run has a name of its own."""
    assert [name_fault(index) for index in (0, 25, 26, 51, 52, 701, 702)] == ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]
    assert len({name_fault(index) for index in range(1000)}) == 1000
