"""Rules that a page in a browser keeps to so that anybody can use it: axe-core's, and some of our own.

axe-core is a file that `make axe` installs by npm; where there is none, its rules are not checked and the test says so.
"""

import itertools
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

AXE = Path(__file__).with_name("axe") / "node_modules/axe-core/axe.min.js"
AXE_S = 60.0
RUN = "axe.run(document, {resultTypes: ['violations']}).then(arguments[0], e => arguments[0]({error: String(e)}))"
# Elements that end beyond the right edge, but for those that are out of the flow, such as text for screen readers.
BEYOND_THE_EDGE = """
    const aside = e => e && (getComputedStyle(e).position === "absolute" || aside(e.parentElement));
    return [...document.querySelectorAll("body *")]
        .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !aside(e))
        .map(e => e.tagName + " " + e.textContent.slice(0, 40));
"""
UNNAMED = """
    const text = e => (e.getAttribute("aria-label") || e.textContent || e.title || "").trim();
    const fields = [...document.querySelectorAll("input:not([type=hidden]), textarea, select")];
    const actions = [...document.querySelectorAll("a, button, summary")];
    return [...fields.filter(e => !e.labels.length && !e.getAttribute("aria-label")), ...actions.filter(e => !text(e))]
        .map(e => e.outerHTML.slice(0, 80));
"""
HEADINGS = "return [...document.querySelectorAll('h1, h2, h3, h4')].map(e => Number(e.tagName[1]))"
LANDMARKS = "return ['header', 'nav', 'main', 'footer'].filter(e => !document.querySelector(e))"


def list_layout_faults(browser: webdriver.Chrome) -> list[str]:
    """Return what is wrong with the open page by rules that need no axe: edges, names, headings, landmarks."""
    levels: list[int] = browser.execute_script(HEADINGS)
    skipped = [f"h{after} follows h{before}" for before, after in itertools.pairwise(levels) if after > before + 1]
    faults = [f"beyond the edge: {each}" for each in browser.execute_script(BEYOND_THE_EDGE)]
    faults += [f"has no name: {each}" for each in browser.execute_script(UNNAMED)]
    faults += [f"is missing: {each}" for each in browser.execute_script(LANDMARKS)]
    return [*faults, *skipped, *([] if levels.count(1) == 1 else [f"{levels.count(1)} headings of level 1"])]


def open_details(browser: webdriver.Chrome) -> None:
    """Open all that is folded on the open page, so that it is judged too."""
    browser.execute_script("document.querySelectorAll('details').forEach(e => { e.open = true; })")


def list_axe_violations(browser: webdriver.Chrome) -> list[str]:
    """Return axe-core's violations on the open page; skip the test if axe-core is not installed."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed: make axe (needs npm)")
    browser.set_script_timeout(AXE_S)
    browser.execute_script(AXE.read_text(encoding="utf-8"))
    found: dict[str, Any] = browser.execute_async_script(RUN)
    assert "error" not in found, found["error"]
    return [f"{rule['id']}: {rule['help']} {node['target']}" for rule in found["violations"] for node in rule["nodes"]]
