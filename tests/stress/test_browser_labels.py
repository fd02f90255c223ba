"""The labels of the report's charts in a real browser: whole, apart from each other, and as dark as their colour."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from selenium import webdriver

from stress.model import BUCKETS_MS, Chart, ChartLine, FaultPeriod, Interval, ReadinessReport
from stress.report import compare, page
from stress.report.text_width import measure_text
from tests.browser import open_chromium
from tests.stress import sample, sample_extreme, sample_results
from tests.stress.pages import open_page

WIDTHS = (1280, 800, 390, 360)
SLACK_PX = 1.0  # a line of text is a little higher than its letters
# Every text of a chart that is seen, with its box; those of one chart are compared with each other.
TEXTS = """
    return [...document.querySelectorAll("svg")].filter(s => s.getClientRects().length).map(s => {
        const frame = s.getBoundingClientRect();
        const texts = [...s.querySelectorAll("text")].filter(t => t.textContent && t.getClientRects().length);
        return {
            frame: [frame.left, frame.top, frame.right, frame.bottom],
            texts: texts.map(t => {
                const box = t.getBoundingClientRect(), high = box.height / 5;
                let opacity = 1;
                for (let e = t; e && e.nodeType === 1; e = e.parentElement) opacity *= getComputedStyle(e).opacity;
                const style = getComputedStyle(t);
                return {
                    text: t.textContent, opacity, size: parseFloat(style.fontSize), weight: style.fontWeight,
                    length: t.getComputedTextLength(),
                    box: [box.left, box.top + high, box.right, box.bottom - high],
                };
            }),
        };
    });
"""
# Whatever is cut by its own box: text that an ellipsis or a hidden overflow takes away, or that leaves its cell.
CUT = """
    return [...document.querySelectorAll("body *:not(svg *)")]
        .filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1)
        .filter(e => !["absolute", "fixed"].includes(getComputedStyle(e).position))
        .filter(e => !e.closest("thead") || getComputedStyle(e.closest("thead")).position !== "absolute")
        .map(e => e.tagName + "." + e.className + " " + e.textContent.trim().slice(0, 40));
"""


def make_crowded_report() -> ReadinessReport:
    """Return a run with many scenarios of a few seconds, faults beyond the alphabet, and long names of services."""
    made = sample.make_mixed_report()
    results = [
        replace(made.results[1], key=f"scenario-with-a-long-key-{number}", began_s=began, ended_s=ended)
        for number, (began, ended) in enumerate(
            [(0, 200), (200, 203), (203, 204), (204, 206), *_make_short_stretches()]
        )
    ]
    faults = [FaultPeriod(f"a fault of which there are many, number {n}", 300 + n / 2, 301 + n / 2) for n in range(60)]
    services = ("evidence store of documents", "identity", "a_service_without_any_space_in_its_very_long_name" * 2)
    circuits = {name: [Interval("half-open", 0, 30), Interval("open", 30, 60)] for name in services}
    timeline = replace(made.timeline, faults=faults, circuits=circuits, throughput=[(1.0, 1_234_567.0), (2.0, 0.0)])
    charts = [
        Chart("Wide numbers", "calls", "ms", [ChartLine("a", [(1e5, 2e6), (9e6, 9e7)])], 4e7, "the bar of this chart"),
        Chart("Small numbers", "s", "share", [ChartLine("a", [(0.00012, 0.000021), (0.00055, 0.000081)])]),
    ]
    latencies = [
        replace(sample_results.make_latency("everywhere", 20_000, 40), histogram=(12_345,) * (len(BUCKETS_MS) + 1)),
        replace(sample_results.make_latency("all alike", 900, 40), p50=34.9, p95=34.95),
        replace(sample_results.make_latency("at once", 900, 40), p50=0.1, p95=0.1, histogram=(900,) + (0,) * 19),
        replace(sample_results.make_latency("late", 900, 9), p50=90_000, p95=95_000, histogram=(0,) * 18 + (1, 899)),
    ]
    results[0] = replace(results[0], charts=charts, latencies=latencies)
    return replace(made, results=results, timeline=timeline)


def make_slower_report() -> ReadinessReport:
    """Return a run whose long names and extreme ratios a comparison must find room for."""
    made = sample.make_other_report()
    first = made.results[0]
    far = [replace(one, p50=9_000.0, intervals={"p50": (2.0, 90_000.0)}) for one in first.latencies]
    named = replace(sample_results.make_latency("GET /members/" + "a_long_name_" * 9, 900, 40), calls=1_234_567)
    return replace(made, results=[replace(first, latencies=[*far, named]), *made.results[1:]])


def _make_short_stretches() -> list[tuple[float, float]]:
    return [(float(at), at + 8.0) for at in range(206, 390, 8)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return pages with ordinary, with extreme and with crowded labels."""
    folder = tmp_path_factory.mktemp("pages")
    reports = {
        "mixed": sample.make_mixed_report(),
        "extreme": sample_extreme.make_extreme_report(),
        "crowded": make_crowded_report(),
    }
    (folder / "compare.html").write_text(compare.compare_html(reports["mixed"], make_slower_report()), encoding="utf-8")
    made = {name: page.write_page(report, folder / name) for name, report in reports.items()}
    return {**made, "compare": folder / "compare.html"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with open_chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["mixed", "extreme", "crowded", "compare"])
def test_no_label_is_clipped_or_covers_another(
    browser: webdriver.Chrome, pages: dict[str, Path], name: str, width: int
) -> None:
    """Each text of a chart is within it, none lies on another, none fades, and none ends in an ellipsis."""
    open_page(browser, pages[name], width=width)
    charts = browser.execute_script(TEXTS)
    texts = [each for chart in charts for each in chart["texts"]]
    assert len(texts) > (2 if name == "compare" else 40)
    assert [
        each["text"] for chart in charts for each in chart["texts"] if not is_within(each["box"], chart["frame"])
    ] == []
    assert [pair for chart in charts for pair in list_overlaps(chart["texts"])] == []
    assert {each["text"] for each in texts if each["opacity"] < 1} == set()
    assert {each["text"] for each in texts if "…" in each["text"]} == set()
    assert browser.execute_script(CUT) == []
    narrower = {
        (each["text"], each["length"], measure_text(each["text"], each["size"], bold=int(each["weight"]) > 500))
        for each in texts
    }
    assert [each for each in narrower if each[1] > each[2] + SLACK_PX] == []


def is_within(box: list[float], frame: list[float]) -> bool:
    """Return whether a box is inside of a frame."""
    return (
        box[0] >= frame[0] - SLACK_PX
        and box[1] >= frame[1] - SLACK_PX
        and box[2] <= frame[2] + SLACK_PX
        and box[3] <= frame[3] + SLACK_PX
    )


def list_overlaps(texts: list[dict[str, object]]) -> list[tuple[str, str]]:
    """Return the pairs of texts that cover each other."""
    return [
        (str(one["text"]), str(other["text"]))
        for index, one in enumerate(texts)
        for other in texts[index + 1 :]
        if do_overlap(one["box"], other["box"])  # type: ignore[arg-type]
    ]


def do_overlap(one: list[float], other: list[float]) -> bool:
    """Return whether two boxes have more than an edge in common."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return wide > SLACK_PX and high > SLACK_PX
