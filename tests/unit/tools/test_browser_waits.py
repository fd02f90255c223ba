"""Looks at a page of a browser that is between two pages."""

import itertools
from collections.abc import Iterator
from typing import cast

import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException, WebDriverException

from tests import browser as browsers

BROWSER = cast(webdriver.Chrome, object())
BETWEEN_PAGES = WebDriverException("Node with given id does not belong to the document")


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up after two looks: WebDriver looks every half second."""
    monkeypatch.setattr(browsers, "WAIT_S", 0.6)


def test_an_error_of_chromium_between_two_pages_is_not_yet() -> None:
    looks: Iterator[str | WebDriverException] = iter([BETWEEN_PAGES, "found"])

    def look(_: webdriver.Chrome) -> str:
        answer = next(looks)
        if isinstance(answer, WebDriverException):
            raise answer
        return answer

    assert browsers.wait_on_page(BROWSER, look) == "found"


def test_an_error_that_stays_is_an_error() -> None:
    def look(_: webdriver.Chrome) -> str:
        next(looks)
        raise BETWEEN_PAGES

    looks = itertools.count()
    with pytest.raises(TimeoutException):
        browsers.wait_on_page(BROWSER, look)
    assert next(looks) > 1, "it looked again"
