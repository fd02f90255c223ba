"""The page says what the report says, as text, by itself, and with a tick only where a check held."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from stress.model import (
    Assertion,
    Chart,
    ChartLine,
    Difference,
    FaultPeriod,
    Figure,
    Interval,
    ReadinessReport,
    Reconciliation,
    Timeline,
)
from stress.report import page
from stress.report.markdown import format_markdown
from tests.stress import sample, sample_results
from tests.stress.test_consistency import replace_result

HOSTILE = "<script>alert(1)</script> & \"quoted\" 'single' {{ 7 * 7 }} ]]> <!--"
REACHES_OUT = re.compile(
    r"https?://|\bsrc\s*=|@import|url\((?!#hatch\))|<script|<link(?! rel=\"icon\" href=\"data:,\")"
)


def make_hostile_report() -> ReadinessReport:
    """Return a report in which every text that a scenario writes is markup."""
    result = replace(
        sample_results.make_claims(),
        title=HOSTILE,
        promise=HOSTILE,
        key=HOSTILE,
        checks=[Assertion(HOSTILE, passed=True, wanted=HOSTILE, found=HOSTILE)],
        figures=[Figure(HOSTILE, 1, HOSTILE, HOSTILE)],
        latencies=[sample_results.make_latency(HOSTILE, 20, 10)],
        answers={HOSTILE: 3},
        reconciliation=Reconciliation({HOSTILE: 1}, [Difference(HOSTILE, HOSTILE, HOSTILE, HOSTILE)]),
        charts=[Chart(HOSTILE, HOSTILE, HOSTILE, [ChartLine(HOSTILE, [(0, 1)]), ChartLine(HOSTILE, [])], 1, HOSTILE)],
        notes=[HOSTILE],
    )
    timeline = Timeline(
        faults=[FaultPeriod(HOSTILE, 1)],
        circuits={HOSTILE: [Interval(HOSTILE, 0, 400)]},
        health=[Interval(HOSTILE, 0, 400)],
    )
    texts = {HOSTILE: HOSTILE}
    return ReadinessReport(
        HOSTILE, 402, HOSTILE, HOSTILE, "PASS", 1, 1, [result], timeline, texts, {HOSTILE: [HOSTILE]}
    )


def test_what_a_scenario_wrote_is_text() -> None:
    """It becomes no element, attribute or template anywhere on the page."""
    made = page.render_page(make_hostile_report())
    assert "<script" not in made
    assert "<!--" not in made
    assert "alert(1)&lt;/script&gt; &amp; &#34;quoted&#34; &#39;single&#39; {{ 7 * 7 }}" in made
    assert len(re.findall(r'[^&]"quoted"', made)) == 0


@pytest.mark.parametrize(
    "report",
    [sample.make_mixed_report(), sample.make_passing_report(), make_hostile_report()],
    ids=["mixed", "passing", "hostile"],
)
def test_the_page_needs_nothing_but_itself(report: ReadinessReport) -> None:
    """No script, no address, nothing that is fetched; links lead into the page only."""
    made = page.render_page(report)
    assert REACHES_OUT.findall(made) == []
    assert {link for link in re.findall(r'href="([^"]*)"', made) if not link.startswith("#")} == {"data:,"}


def test_a_tick_stands_beside_checks_that_held_and_nowhere_else() -> None:
    """There are as many ticks as checks that held; a failed one has a cross and a word."""
    report = sample.make_mixed_report()
    checks = [check for result in report.results for check in result.checks]
    made = page.render_page(report)
    assert made.count("✓") == sum(check.passed for check in checks) == 22
    broken = re.findall(r'<tr class="broken">.*?</tr>', made, re.DOTALL)
    failed = [check for check in checks if not check.passed and not check.undecided]
    assert len(broken) == len(failed) == 2
    for row, check in zip(broken, failed, strict=True):
        assert check.name in row
        assert check.found in row
        assert "failed" in row
        assert "✓" not in row


def test_an_undecided_check_has_neither_a_tick_nor_a_cross() -> None:
    """It says how many samples would decide it, on the page and in the comment."""
    made = page.render_page(sample.make_mixed_report())
    (row,) = re.findall(r'<tr class="open">.*?</tr>', made, re.DOTALL)
    assert "341 ms (322 to 371)" in row
    assert "5,210 samples more would decide" in row
    assert "✓" not in row
    assert "✕" not in row
    said = "1 of its 3 checks could not be decided: 5,210 samples more would decide it"
    assert said in made
    comment = format_markdown(sample.make_mixed_report())
    assert said in comment
    assert "- ? **p95 at 80 % of the knee**: wanted at most 350 ms, found **341 ms (322 to 371)**, undecided" in comment


def test_figures_and_latencies_stand_with_their_intervals() -> None:
    """Sixty calls have no p95: a dash stands for it, never a number."""
    report = sample.make_mixed_report()
    made, comment = page.render_page(report), format_markdown(report)
    assert '310 <span class="dim">requests/s</span> <small>296 to 321</small>' in made
    (row,) = re.findall(r'<tr><th scope="row">welcome mail.*?</tr>', made, re.DOTALL)
    assert re.search(r'data-label="p50">\d+ <small>\d+ to \d+</small></td>', row)
    assert '<td data-label="p95">–</td><td data-label="p99">–</td>' in row
    (line,) = [line for line in comment.splitlines() if line.startswith("| priorities") and "welcome" in line]
    assert re.search(r"\| \d+ \(\d+ to \d+\) *\| – *\| – *\|", line)


def test_another_result_is_another_score() -> None:
    """The page counts; it does not repeat what the file claims."""
    report = sample.make_passing_report()
    assert "All 8 promises hold." in page.render_page(report)
    claims = replace(report.results[3], checks=[replace(report.results[3].checks[0], passed=False)])
    made = page.render_page(replace_result(report, claims))
    assert "7 of 8 promises hold." in made
    assert "was recorded as PASS, but 1 of its 1 checks did not hold: it is not counted." in made


def test_everything_that_was_found_is_on_the_page() -> None:
    """Differences, answers, figures, samples, lag, faults, environment and settings, all as they are."""
    report = sample.make_mixed_report()
    made = page.render_page(report)
    for result in report.results:
        texts = [result.title, result.promise, *result.answers, *result.notes, f"{result.samples:,}"]
        texts += [figure.name for figure in result.figures] + [latency.operation for latency in result.latencies]
        texts += [one.subject for one in result.reconciliation.differences] + [chart.title for chart in result.charts]
        assert [text for text in texts if text.replace("'", "&#39;") not in made] == []
    assert [fault.name for fault in report.timeline.faults if fault.name not in made] == []
    assert [value for value in report.environment.values() if value not in made] == []
    assert '14,120 <span class="dim">of 18,400 wanted</span> <b>too few</b>' in made
    assert "too late" in made
    assert "and 3 more, not listed" in made


def test_a_run_of_which_little_is_known_has_a_page() -> None:
    """No scenario, no second counted; and a scenario of which there is only the name."""
    empty = ReadinessReport("2026-11-25T08:14:03+00:00", 0, "quick", "local cloud", "INVALID", 0, 0, [])
    assert "Nothing was tried." in page.render_page(empty)
    bare = replace(
        sample_results.make_pool(), status="SKIPPED", checks=[], figures=[], latencies=[], lag=None, answers={}
    )
    made = page.render_page(replace(empty, total=1, results=[bare]))
    assert "None of 1 promise hold" in made
    assert "✓" not in made


def test_a_page_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    """The folder is made."""
    path = page.write_page(sample.make_passing_report(), tmp_path / "a" / "b")
    assert path == tmp_path / "a" / "b" / "report.html"
    assert path.read_text(encoding="utf-8") == page.render_page(sample.make_passing_report())


def test_the_comment_says_what_the_page_says_and_fits() -> None:
    """Verdict, failed checks, differences; nothing of it becomes markup, a mention or a link."""
    made = format_markdown(sample.make_mixed_report())
    assert made.startswith("## ✕ FAIL: 6 of 8 promises hold.")
    assert "**Acknowledged claims that are there**: wanted 900 of 900, found **898: 2 are missing**" in made
    assert "answered 201, state submitted, version 1, found **no such row**" in made
    assert "✓" not in made
    report = make_hostile_report()
    many = [
        Assertion(
            HOSTILE + "@somebody https://example.test | #1\n# title" * 9, passed=False, wanted="x" * 999, found="y"
        )
    ]
    made = format_markdown(replace(report, results=[replace(report.results[0], status="FAIL", checks=many * 99)] * 40))
    assert len(made) <= 65_536
    assert not re.search(r"(?<!\\)<(?!/?details>|/?summary>)|@|://|^# ", made, re.MULTILINE)
