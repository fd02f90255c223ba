"""The pages in a real browser: at a desk and on a phone, light and dark, on paper."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from stress.report import compare, page
from stress.report.differences import LatencyDifference
from tests.accessibility import list_axe_violations, open_details
from tests.browser import open_chromium
from tests.stress import sample, sample_extreme
from tests.stress.pages import PHONE, open_page
from tests.stylesheets import compute_contrast, read_colours

DESK = 1280
VERDICTS = {
    "mixed": "6 of 8 promises hold.",
    "passing": "All 8 promises hold.",
    "extreme": "None of 2 promises hold.",
    "compare": "6 of 8 promises held in A, 8 of 8 in B.",
}
SMALLEST_PX = 8.0  # of any text in a chart, as it is seen
BEYOND_THE_EDGE = """
    const aside = e => e && (getComputedStyle(e).position === "absolute" || aside(e.parentElement));
    return [...document.querySelectorAll("body *")]
        .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !aside(e))
        .map(e => e.tagName + " " + e.textContent.slice(0, 40));
"""
STYLE = Path(page.__file__).with_name("style.css").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the pages of the sample."""
    folder = tmp_path_factory.mktemp("pages")
    mixed, elsewhere = sample.make_mixed_report(), sample.make_other_report()
    tested = LatencyDifference("slower", "slower")
    tests = {(result.key, one.operation): tested for result in mixed.results for one in result.latencies}
    (folder / "compare.html").write_text(compare.compare_html(mixed, elsewhere, tests), encoding="utf-8")
    return {
        "mixed": page.write_page(sample.make_mixed_report(), folder / "mixed"),
        "passing": page.write_page(sample.make_passing_report(), folder / "passing"),
        "extreme": page.write_page(sample_extreme.make_extreme_report(), folder / "extreme"),
        "compare": folder / "compare.html",
    }


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with open_chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


def keep(browser: webdriver.Chrome, path: Path) -> None:
    """A picture of the whole page."""
    width, height = browser.execute_script(
        "return [document.documentElement.clientWidth, document.documentElement.scrollHeight]"
    )
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    path.write_bytes(base64.b64decode(shot["data"]))


def list_complaints(browser: webdriver.Chrome) -> list[dict[str, Any]]:
    """Return what the browser has logged about the page."""
    entries: list[dict[str, Any]] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return entries


def list_fetched_addresses(browser: webdriver.Chrome) -> set[str]:
    """Return every address that was fetched."""
    entries: list[dict[str, Any]] = browser.get_log("performance")  # type: ignore[no-untyped-call]
    events = [json.loads(entry["message"])["message"] for entry in entries]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return {url for url in sent if not url.startswith("data:")}


@pytest.mark.parametrize("width", [DESK, 800, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["mixed", "passing", "extreme", "compare"])
def test_a_page_is_read_without_scrolling_sideways(
    browser: webdriver.Chrome, pages: dict[str, Path], tmp_path: Path, name: str, scheme: str, width: int
) -> None:
    """The verdict is seen first, nothing is cut off, no chart is too small to read, and nothing is asked for."""
    list_fetched_addresses(browser)
    open_page(browser, pages[name], width=width, scheme=scheme)
    keep(browser, tmp_path / f"{name}-{scheme}-{width}.png")
    verdict = browser.find_element(By.TAG_NAME, "h1")
    assert verdict.is_displayed()
    assert verdict.rect["y"] + verdict.rect["height"] < 900
    assert verdict.text == VERDICTS[name]
    overflow = browser.execute_script(BEYOND_THE_EDGE)
    assert overflow == []
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('svg text')].filter(e => e.textContent && e.getClientRects().length)"
        ".map(e => parseFloat(getComputedStyle(e).fontSize) * e.getScreenCTM().a)"
    )
    assert min(sizes, default=SMALLEST_PX) >= SMALLEST_PX
    dark = browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(21, 22, 24)"
    assert dark == (scheme == "dark")
    assert list_complaints(browser) == []
    assert list_fetched_addresses(browser) == {pages[name].as_uri()}


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["mixed", "passing", "extreme", "compare"])
def test_axe_finds_nothing_on_a_page(
    browser: webdriver.Chrome, pages: dict[str, Path], name: str, scheme: str, width: int
) -> None:
    """Everything that is folded is opened, so that it is judged too."""
    open_page(browser, pages[name], width=width, scheme=scheme)
    open_details(browser)
    assert list_axe_violations(browser) == []


def test_the_page_is_read_without_scripts(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    """A browser that forbids scripts shows every scenario, check and chart."""
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        open_page(browser, pages["mixed"], width=DESK)
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    results = sample.make_mixed_report().results
    checks = browser.find_elements(By.CSS_SELECTOR, "article.scenario .checks tbody tr")
    assert len(browser.find_elements(By.CSS_SELECTOR, "article.scenario")) == len(results) == 8
    assert len(checks) == sum(len(result.checks) for result in results) == 25
    assert all(check.is_displayed() for check in checks)
    assert all(drawn.is_displayed() for drawn in browser.find_elements(By.CSS_SELECTOR, ".chart > svg"))


def test_on_paper_the_page_is_light_and_whole(
    browser: webdriver.Chrome, pages: dict[str, Path], tmp_path: Path
) -> None:
    """Dark readers print on white too, and nothing is folded away."""
    open_page(browser, pages["mixed"], width=720, scheme="dark", media="print")
    keep(browser, tmp_path / "print.png")
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", range(3), ids=["light", "dark", "paper"])
@pytest.mark.parametrize("paper", ["paper", "faint", "fail-wash", "invalid-wash"])
def test_every_colour_of_text_stands_out(scheme: int, paper: str) -> None:
    """4.5 to 1 (WCAG AA) against whatever it may stand on; lines of charts 3 to 1 against the page."""
    schemes = read_colours(STYLE)
    assert len(schemes) == 3
    colours = schemes[scheme]
    texts = ["ink", "dim", "pass", "fail", "invalid", "skipped"] if paper == "paper" else ["ink", "fail", "dim"]
    texts += ["invalid"] if paper == "invalid-wash" else []
    assert {name: ratio for name in texts if (ratio := compute_contrast(colours[name], colours[paper])) < 4.5} == {}
    if paper == "paper":
        lines = ("c1", "c2", "c3", "c4", "fail", "pass", "invalid")
        assert {name: ratio for name in lines if (ratio := compute_contrast(colours[name], colours[paper])) < 3} == {}
