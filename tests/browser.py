"""Headless Chromium, as Debian packages it; where it is not installed its tests are skipped, in CI they fail."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

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
