"""A page that tells a reader anything else than its report is found, whatever stands in attributes."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from judge.page_elements import read_page
from judge.page_text import compare_words, list_words
from stress.model import Estimate, Figure, ReadinessReport
from stress.report.page import render_page
from stress.report.store import save
from tests.stress import sample

MIXED = sample.make_mixed_report()
# The parts of a page that say something about a scenario: headings, table cells, terms and their values, notes.
TOLD = re.compile(
    r'<tr class="(?:held|open|broken)">.*?</tr>|<tr><th scope="row">.*?</tr>|<d[dt]>.*?</d[dt]>|<h2[^>]*>.*?</h2>'
    r'|<p class="promise">.*?</p>|<ul class="notes">.*?</ul>|<span class="badge-word.*?</span>',
    re.DOTALL,
)
TEXT = re.compile(r"(?<=>)[^<>]*[\w✓✕][^<>]*(?=<)")
UNJUDGED = re.compile(r"<dt>Took</dt>.*?</dd>|<small>[^<]* would decide</small>")
EVERY = 7  # text is tried: all of them would take a minute


def read_report(report: ReadinessReport, folder: Path) -> dict[str, Any]:
    """Return the report as report.json has it."""
    found: dict[str, Any] = json.loads(save(report, folder).read_bytes())
    return found


def find_faults(report: dict[str, Any], page: str) -> list[str]:
    """Return what differs; that the page can't be read, if it has not the parts that a report's page has."""
    try:
        return list(compare_words(report, page))
    except ValueError as error:
        return [str(error)]


def list_places(page: str) -> list[tuple[int, int]]:
    """Return where the texts are that say something about a scenario."""
    begin, end = page.index("<article"), page.rindex("</article>")
    left_out = [range(*match.span()) for match in UNJUDGED.finditer(page)]
    places = [text.span() for told in TOLD.finditer(page, begin, end) for text in TEXT.finditer(page, *told.span())]
    return [place for place in places if not any(place[0] in each for each in left_out)]


@pytest.mark.parametrize("report", [MIXED, sample.make_passing_report()], ids=["mixed", "passing"])
def test_a_page_says_what_its_report_says(report: ReadinessReport, tmp_path: Path) -> None:
    """Checks in rounds, undecided and failed ones, intervals, dashes, differences, controls, conditions."""
    assert find_faults(read_report(report, tmp_path), render_page(report)) == []


def test_a_text_that_is_missing_or_has_a_word_more_is_found(tmp_path: Path) -> None:
    """Wherever it stands in a scenario's part of the page."""
    page, report = render_page(MIXED), read_report(MIXED, tmp_path)
    places = list_places(page)
    assert len(places) > 300
    missed = [
        (page[begin:end], put)
        for begin, end in places[::EVERY]
        for put in ("", f"{page[begin:end]} 7")
        if not find_faults(report, page[:begin] + put + page[end:])
    ]
    assert missed == []


@pytest.mark.parametrize(
    ("shown", "instead"),
    [
        ("<h1>6 of 8 promises hold.</h1>", "<h1>8 of 8 promises hold.</h1>"),
        ("<h1>6 of 8 promises hold.</h1>", "<h1>All 8 promises hold.</h1>"),
        ("✕</i>FAIL</span></p>\n<h1>", "●</i>PASS</span></p>\n<h1>"),
        ("<th scope", "<th hidden scope"),
        ("<article", '<article style="display: none"'),
        ("</article>", "</article><article></article>"),
    ],
)
def test_another_verdict_and_what_is_hidden_are_found(shown: str, instead: str, tmp_path: Path) -> None:
    """The first line, the badge, a cell, a whole scenario."""
    page = render_page(MIXED)
    assert shown in page
    assert find_faults(read_report(MIXED, tmp_path), page.replace(shown, instead)) != []


def test_a_browser_shows_no_attribute_no_title_of_a_drawing_and_nothing_hidden() -> None:
    """Only words count that a reader sees."""
    page = read_page(
        '<head><title>a</title></head><p title="b">c<svg><title>d</title><text>e</text></svg>'
        '<br><i hidden>f</i><i style="display : none">g</i><img alt="h">i</p><style>j</style></b>k'
    )
    assert page.text == "c e i k"


@pytest.mark.parametrize(
    ("recorded", "shown"),
    [
        ("{201: 1250, 503: 2}", "1,250 × 201, 2 × 503"),
        ("{'a': [], 'b': True}", "a none, b yes"),
        ("[]", "none"),
        ("1,250 × 201", "1,250 × 201"),
        ("(a) is no value", "(a) is no value"),
        ("50 ", "50"),
    ],
)
def test_recorded_values_and_their_words_on_the_page_are_the_same(recorded: str, shown: str) -> None:
    """The order and the page's commas in numbers don't matter."""
    assert list_words(recorded) == list_words(shown)
    assert list_words(recorded) != list_words(f"{shown} 1")


def test_a_ratio_to_nothing_is_shown_without_an_upper_end(tmp_path: Path) -> None:
    """Such a number is a text in report.json."""
    ratio = Figure("after ÷ before", math.inf, "×", estimate=Estimate(math.inf, 14.4, math.inf, 110))
    results = [replace(MIXED.results[0], figures=[ratio]), *MIXED.results[1:]]
    report = read_report(replace(MIXED, results=results), tmp_path)
    page = render_page(replace(MIXED, results=results))
    assert find_faults(report, page) == []
    assert find_faults(report, page.replace("∞", "15")) != []
    assert find_faults(report, page.replace("at least 14.4", "at least 24.4")) != []
