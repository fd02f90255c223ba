"""Headless Chromium, as Debian packages it; where it is not installed its tests are skipped, in CI they fail."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

WAIT_S = 30  # enough for a page on a machine whose two processors are busy with other tests
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root, as in CI, gets no other
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",  # the browser's own errands are not what is tested
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1600",
    "--force-device-scale-factor=1",
)

T = TypeVar("T")


@contextmanager
def open_chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """Yield a browser with an empty profile."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        if os.environ.get("CI"):
            pytest.fail("chromium and chromium-driver are not installed, and this is CI")
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    options = Options()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield started
    finally:
        started.quit()


def wait_on_page(browser: webdriver.Chrome, look: Callable[[webdriver.Chrome], T]) -> T:
    """Wait until a look at the page finds something, and return that.

    A look may fall between two pages, or on an element that the page is just drawing anew. Chromium has several errors
    for that, not all of which WebDriver knows by name; each of them means that it is too early.
    """
    return WebDriverWait(browser, WAIT_S, ignored_exceptions=[WebDriverException]).until(look)


def leave_page(browser: webdriver.Chrome, leave: Callable[[], object]) -> None:
    """Do what leaves the page, and wait until another document has taken its place, also at the same address."""
    is_loaded = "return document.readyState === 'complete' && performance.timeOrigin !== arguments[0]"
    before = browser.execute_script("return performance.timeOrigin")
    leave()
    wait_on_page(browser, lambda b: b.execute_script(is_loaded, before))


def find_visible(browser: webdriver.Chrome, selector: str) -> WebElement | None:
    """Return the first element of a CSS selector that can be seen, None where there is none."""
    return next((e for e in browser.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed()), None)


def wait_for_element(browser: webdriver.Chrome, selector: str) -> WebElement:
    """Wait until an element can be seen; return it."""
    found = wait_on_page(browser, lambda b: find_visible(b, selector))
    assert found is not None
    return found


def read_text(browser: webdriver.Chrome, selector: str) -> str:
    """Return the text of what can be seen now, "" where nothing can; looks anew, since a page draws parts again."""
    found = find_visible(browser, selector)
    return found.text if found else ""
