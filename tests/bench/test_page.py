"""The page and its pictures show what the kept run has measured, and every figure with its bar."""

import copy

from bench.figures import read_figures
from bench.page import build_files, list_figures, read_measured


def test_the_page_shows_the_kept_run() -> None:
    """Otherwise: python -m bench --page."""
    outdated = {path.name for path, text in build_files(read_measured()).items() if path.read_text("utf-8") != text}
    assert outdated == set()


def test_each_figure_of_the_list_is_shown_with_its_bar() -> None:
    shown = [(figure["name"], figure["at_most"]) for figure in read_measured()["figures"]]
    assert shown == [(figure["name"], figure["at_most"]) for figure in read_figures()]


def test_a_bar_that_is_not_met_says_so() -> None:
    measured = copy.deepcopy(read_measured())
    measured["figures"] = [
        {"name": "A ratio", "value": value, "low": 0.5, "high": 1.5, "at_most": 1.0, "met": value <= 1.0}
        for value in (0.9, 1.1)
    ]
    assert [row[4] for row in list_figures(measured)] == ["met", "**not met**"]
