"""Two runs are held against each other, and what can't be compared is said."""

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from stress.__main__ import main
from stress.model import Estimate, ReadinessReport
from stress.report import compare, store
from stress.report.compared_figures import format_ratio
from stress.samples import FILE, write_samples
from tests.stress import sample
from tests.stress.calls import make_call, make_sample, set_times
from tests.stress.sample_results import make_latency
from tests.stress.test_page import REACHES_OUT, make_hostile_report


def read_rows(title: str) -> list[tuple[str, ...]]:
    """Return one table of the comparison of the sample with a run elsewhere."""
    return list_rows(sample.make_mixed_report(), sample.make_other_report(), title)


def list_rows(a: ReadinessReport, b: ReadinessReport, title: str) -> list[tuple[str, ...]]:
    """Return the rows of one table of a comparison."""
    return next(table.rows for table in compare.build_tables(a, b) if table.title == title)


def test_changed_verdicts_and_checks_are_named() -> None:
    """What held in both runs is left out."""
    assert [row for row in read_rows("Verdicts") if row[3]] == [
        ("claims", "FAIL", "PASS", "changed"),
        ("capacity", "INVALID", "PASS", "changed"),
    ]
    assert read_rows("Checks that changed") == [
        ("claims", "Acknowledged claims that are there", "FAILED: 898: 2 are missing", "held: 900"),
        ("claims", "Write gap beyond the promotion", "FAILED: 1,640 ms", "held: 105 ms"),
        ("capacity", "p95 at 80 % of the knee", "undecided: 341 ms (322 to 371), n = 14,120", "held: 96 ms"),
    ]


def test_figures_stand_side_by_side_with_their_ratio() -> None:
    """Each has its number of samples, its interval, and the noise of its ratio; an INVALID scenario says so."""
    latencies = {row[:2]: row[2:] for row in read_rows("Latencies")}
    counts, (a, b), (ratio, noise), word = split_row(latencies["pool", "POST /members, p50"])
    assert counts == ("1,600", "1,600")
    assert re.fullmatch(r"38 ms \([\d.]+ to [\d.]+\)", a)
    assert re.fullmatch(r"49\.8 ms \([\d.]+ to [\d.]+\)", b)
    assert re.fullmatch(r"1\.31 \([\d.]+ to [\d.]+\)", ratio)
    assert re.fullmatch(r"0\.\d+ to 1\.\d+", noise)
    assert word == "not tested"
    figures = {row[:2]: row[2:] for row in read_rows("Other figures")}
    assert figures["capacity (INVALID in A)", "knee"] == ("310 requests/s (296 to 321)", "288 requests/s", "0.93")


def split_row(cells: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], str]:
    """Return the counts, the values, the ratio with its noise, and the word of a row."""
    return cells[0:2], cells[2:4], cells[4:6], cells[6]


def test_figures_and_checks_with_an_interval_are_compared_with_it() -> None:
    """A ratio within its noise is called that; one beyond it is higher or lower."""
    a = sample.make_mixed_report()
    knee = a.results[6].figures[0]
    assert knee.estimate is not None
    faster = replace(knee, value=620, estimate=Estimate(620, 600, 640, 9_000))
    b = replace(a, results=[*a.results[:6], replace(a.results[6], figures=[faster]), a.results[7]])
    rows = {row[1]: row[2:] for row in list_rows(a, b, "Figures and checks with an interval")}
    assert rows["knee"] == (
        "14,120", "9,000", "310 requests/s (296 to 321)", "620 requests/s (600 to 640)", "2 (1.91 to 2.12)",
        "0.915 to 1.08", "higher",
    )  # fmt: skip
    assert rows["Answers at p95"][0] == "360"
    assert rows["Answers at p95"][-1] == "within noise"


def test_operations_with_too_few_calls_are_named_and_not_compared() -> None:
    """Five calls have no median: they are no row of dashes, but said with their numbers."""
    few = make_latency("DELETE /members/{number}", 5, 20)
    a = sample.make_mixed_report()
    b = replace(a, results=[replace(a.results[0], latencies=[*a.results[0].latencies, few]), *a.results[1:]])
    (table,) = [table for table in compare.build_tables(a, b) if table.title == "Latencies"]
    assert not any("DELETE" in row[1] for row in table.rows)
    assert any("pool DELETE /members/{number} (0 and 5)" in note for note in table.notes)


def test_other_conditions_are_said() -> None:
    """Environment and settings, only where they differ."""
    assert read_rows("Conditions that differ") == [
        ("processor", "2 cores, x86-64", "4 cores, arm64"),
        ("commit", "f51b614, clean", "0a24069, clean"),
        ("database connections", "10", "20"),
    ]


def test_what_only_one_run_has_is_shown_as_missing() -> None:
    """A scenario that was not tried is not left out of sight."""
    a, b = sample.make_passing_report(), make_hostile_report()
    verdicts = {row[0]: row[1:] for row in compare.build_tables(a, b)[0].rows}
    assert verdicts["pool"] == ("PASS", "-", "changed")
    assert len(verdicts) == 9


@pytest.mark.parametrize(("before", "after", "written"), [(2, 3, "1.50"), (0, 0, "="), (0, 1, "-"), (3, 0, "0.00")])
def test_a_ratio_of_nothing_is_none(before: float, after: float, written: str) -> None:
    """Nothing is divided by zero."""
    assert format_ratio(before, after) == written


def test_the_comparison_is_written_as_a_page_and_printed_as_text(tmp_path: Path) -> None:
    """It is made from two runs' folders; the page needs no other file, and escapes its texts."""
    store.save(sample.make_mixed_report(), tmp_path / "a")
    store.save(make_hostile_report(), tmp_path / "b")
    out = tmp_path / "new" / "compare.html"
    printed = compare.write_comparison(tmp_path / "a", tmp_path / "b", out)
    assert printed.startswith("## 6 of 8 promises held in A, 0 of 1 in B.")
    widths = {len(line) for line in printed.split("### Verdicts\n\n")[1].split("\n\n")[0].splitlines()}
    assert len(widths) == 1
    made = out.read_text(encoding="utf-8")
    assert REACHES_OUT.findall(made) == []
    assert "6 of 8 promises held in A, 0 of 1 in B." in made


def test_a_comparison_adds_nothing_to_a_reports_folder(tmp_path: Path) -> None:
    """A report is signed with all of its files, and one more would be found as a change."""
    for name in ("a", "b"):
        store.save(sample.make_mixed_report(), tmp_path / name)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["report.json"]
    assert "6 of 8" in (tmp_path / "b-compared.html").read_text(encoding="utf-8")


def test_latencies_of_runs_with_their_raw_calls_are_tested(tmp_path: Path) -> None:
    """The ratio stands with its interval, and a word only where the calls bear it."""
    dice, factors = random.Random(5), {"a": 1.0, "b": 1.3}
    for name, factor in factors.items():
        store.save(sample.make_mixed_report(), tmp_path / name)
        kept = []
        for operation, times in (("POST /members", factor), ("GET /members/{number}", 1.0)):
            made = replace(make_sample(make_call(operation)), scenario="pool")
            kept += [set_times(made, sent_s=0.0, done_s=times * dice.lognormvariate(-3, 0.3)) for _ in range(300)]
        write_samples(kept, tmp_path / name / FILE)
    printed = compare.write_comparison(tmp_path / "a", tmp_path / "b", tmp_path / "c.html")
    lines = {
        cells[1].strip(): [cell.strip() for cell in cells[2:]]
        for cells in (line.strip("|").split("|") for line in printed.splitlines() if line.startswith("| pool"))
        if "p50" in cells[1] and len(cells) > 8
    }
    posted, read = (next(row for name, row in lines.items() if name.startswith(start)) for start in ("POST", "GET"))
    assert posted[-1] == "slower"
    assert read[-1] == "within noise"
    assert posted[:2] == ["1,600", "1,600"]
    assert "<b>slower</b>" in (tmp_path / "c.html").read_text(encoding="utf-8")
