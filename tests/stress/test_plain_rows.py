"""The tables of checks are read without Python and without the same row eight times."""

from dataclasses import replace

import pytest

from stress.model import Assertion
from stress.report.check_rows import fold_checks
from stress.report.page import render_page
from stress.report.recorded_values import mark_recorded, write_plainly
from tests.stress import sample, sample_results
from tests.stress.test_consistency import replace_result

ROUND = Assertion("Low jobs still waiting", passed=True, wanted="≥ 1", found="946")


@pytest.mark.parametrize(
    ("recorded", "plain"),
    [
        ("{201: 60}", "60 × 201"),
        ("{201: 1, 409: 1900}", "1 × 201, 1,900 × 409"),
        ("{}", "none"),
        ("[]", "none"),
        ("([], [], 0)", "none, none, 0"),
        ("(503, 'unavailable', True)", "503, unavailable, yes"),
        ("('promoted', '')", "promoted, none"),
        ("{'roles': [50], 'database': 55}", "roles 50, database 55"),
        ("{'1': 1.0}", "1 1.0"),
        ("['AgentsErrorsAlarm', 'JobsErrorsAlarm']", "AgentsErrorsAlarm, JobsErrorsAlarm"),
        ("{'lost': 6} of them there", "{'lost': 6} of them there"),
        ("[not a list", "[not a list"),
        ("50, in 72 looks", "50, in 72 looks"),
        ("0", "0"),
    ],
)
def test_recorded_values_are_written_in_words(recorded: str, plain: str) -> None:
    """What is no list or count of Python stays as it was recorded."""
    assert write_plainly(recorded) == plain


def test_a_value_in_words_keeps_what_was_recorded_as_its_title() -> None:
    """So a reader, and a judge of the page, finds it; a text is text."""
    assert mark_recorded("{201: 60}") == '<span title="as recorded: {201: 60}">60 × 201</span>'
    assert mark_recorded("0") == "0"
    assert mark_recorded("['<b>']") == '<span title="as recorded: [&#39;&lt;b&gt;&#39;]">&lt;b&gt;</span>'


def test_a_check_of_several_rounds_is_one_row_if_it_held_in_all() -> None:
    """Another bar is another row, and one that failed stands by itself."""
    checks = [
        ROUND,
        replace(ROUND, found="960"),
        replace(ROUND, wanted="≥ 2"),
        replace(ROUND, passed=False, found="0"),
        replace(ROUND, passed=False, undecided=True, found="1"),
        replace(ROUND, found="946"),
    ]
    rows = fold_checks(checks)
    assert [(row.check.passed, row.check.wanted, row.values, row.times) for row in rows] == [
        (True, "≥ 1", ["946", "960", "946"], 3),
        (True, "≥ 2", ["946"], 1),
        (False, "≥ 1", ["0"], 1),
        (False, "≥ 1", ["1"], 1),
    ]
    assert fold_checks([ROUND, ROUND])[0].values == ["946"]


def test_the_page_shows_each_value_of_a_row_of_rounds() -> None:
    """One tick, how often, and all that was found."""
    checks = [ROUND, replace(ROUND, found="960"), *[replace(ROUND, name="Each", found="{201: 5}")] * 2]
    pool = replace(sample_results.make_pool(), checks=checks)
    page = render_page(replace_result(sample.make_passing_report(), pool))
    assert "Low jobs still waiting <small>2 times</small>" in page
    assert "946; 960" in page
    assert '5 × 201</span> <span class="dim">each time</span>' in page
    assert "4 of 4 checks held" in page
