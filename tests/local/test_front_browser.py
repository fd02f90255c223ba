"""The front page in a real browser: at a desk and on a phone, light and dark, by keyboard, and without scripts."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from local.front.page import TEMPLATES, render_front, render_trace
from tests.accessibility import list_axe_violations, list_layout_faults, open_details
from tests.browser import open_chromium
from tests.local.sample_front import SIGNED_IN, make_front_view, make_trace_view
from tests.stress.pages import open_page
from tests.stress.test_browser import keep, list_complaints, list_fetched_addresses
from tests.stylesheets import compute_contrast, read_colours

API = "http://127.0.0.1:3000/api"
DESK, PHONE = 1280, 390
TEXTS = ("ink", "dim", "accent", "good", "bad", "refused")
WASHES = {"ink": ("faint", "bad-wash", "good-wash"), "dim": ("faint",), "accent": ("bad-wash",)}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the pages as files: of somebody who has just signed in, of a form that failed, and of a trace."""
    folder = tmp_path_factory.mktemp("pages")
    rendered = {
        "front": render_front(make_front_view(), api=API, signed_in=SIGNED_IN, notice="signed-in"),
        "failed": render_front(make_front_view(), api=API, problem="Nobody was signed in: nobody is registered."),
        "trace": render_trace(make_trace_view()),
    }
    paths = {name: folder / f"{name}.html" for name in rendered}
    for name, answer in rendered.items():
        paths[name].write_bytes(answer.body)
    return paths


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with open_chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.mark.parametrize("width", [DESK, 800, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["front", "failed", "trace"])
def test_a_page_is_used_at_every_width(
    browser: webdriver.Chrome, pages: dict[str, Path], tmp_path: Path, name: str, scheme: str, width: int
) -> None:
    """Nothing is cut off or without a name, its headings are in order, and it asks nobody for anything."""
    list_fetched_addresses(browser)
    open_page(browser, pages[name], width=width, scheme=scheme)
    keep(browser, tmp_path / f"{name}-{scheme}-{width}.png")
    assert list_layout_faults(browser) == []
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    dark = browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(21, 22, 24)"
    assert dark == (scheme == "dark")
    assert list_complaints(browser) == []
    # The browser's own first tab may still be loading.
    asked = {address for address in list_fetched_addresses(browser) if not address.startswith("chrome://")}
    assert asked == {pages[name].as_uri()}


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["front", "failed", "trace"])
def test_axe_finds_nothing_on_a_page(
    browser: webdriver.Chrome, pages: dict[str, Path], name: str, scheme: str, width: int
) -> None:
    """Every ? and every list is opened, so that what they hide is judged too."""
    open_page(browser, pages[name], width=width, scheme=scheme)
    open_details(browser)
    assert list_axe_violations(browser) == []
    assert list_layout_faults(browser) == []


def test_a_page_is_used_by_keyboard(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    """Tab leads through all of it in the order that it is read, visibly; Enter opens a ?."""
    open_page(browser, pages["front"], width=DESK)
    wanted = browser.execute_script(
        "return [...document.querySelectorAll('a[href], button, summary, textarea, input:not([type=hidden])')]"
        ".filter(e => e.checkVisibility()).length"
    )
    body, reached, seen = browser.find_element(By.TAG_NAME, "body"), [], True
    body.send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "To the sign-in"
    for _ in range(wanted):
        here = browser.switch_to.active_element
        reached.append(here.id)
        seen = seen and browser.execute_script("return getComputedStyle(arguments[0]).outlineStyle !== 'none'", here)
        here.send_keys(Keys.TAB)
    assert len(set(reached)) == wanted > 30
    assert seen, "the focus can't be seen somewhere"
    help_of_circuits = browser.find_element(By.CSS_SELECTOR, "#circuits summary")
    help_of_circuits.send_keys(Keys.ENTER)
    assert browser.find_element(By.CSS_SELECTOR, "#circuits .help p").is_displayed()


def test_a_form_on_a_phone_is_large_enough_for_a_finger(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    """44 pixels high, as WCAG's enhanced target size has it; the ? has 24 at least."""
    open_page(browser, pages["front"], width=PHONE)
    heights = browser.execute_script(
        "return [...document.querySelectorAll('button, .button, input:not([type=hidden])')]"
        ".map(e => e.getBoundingClientRect().height)"
    )
    assert min(heights) >= 44
    assert browser.execute_script("return document.querySelector('.help summary').getBoundingClientRect().height") >= 24


@pytest.mark.parametrize("scheme", range(2), ids=["light", "dark"])
def test_every_colour_of_text_of_the_front_page_stands_out(scheme: int) -> None:
    """4.5 to 1 (WCAG AA) against whatever it may stand on; also the buttons' text against their accent."""
    colours = read_colours((TEMPLATES / "style.css").read_text(encoding="utf-8"))[scheme]
    pairs = [(text, ground) for text in TEXTS for ground in ("paper", *WASHES.get(text, ()))]
    ratios = {pair: compute_contrast(colours[pair[0]], colours[pair[1]]) for pair in [*pairs, ("on-accent", "accent")]}
    assert {pair: ratio for pair, ratio in ratios.items() if ratio < 4.5} == {}


def test_a_page_s_links_stay_on_this_machine(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    """Every address that a page leads to is the local cloud's, and every form is sent there."""
    for path in pages.values():
        open_page(browser, path, width=DESK)
        links = browser.execute_script(
            "return [...document.querySelectorAll('a, form')]"
            ".map(e => e.getAttribute('href') || e.getAttribute('action'))"
        )
        assert links
        assert [link for link in links if urlsplit(link).netloc or not link.startswith(("/_local/", "#"))] == []
