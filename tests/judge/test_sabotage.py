"""The harness itself, sabotaged in a dozen ways, and who finds each.

Every report here is signed by the right key after it was sabotaged, as a harness that is wrong would sign it: whoever
changes a file later is found by its digest. What a run on a local cloud has to show is in controls.toml.
"""

import csv
import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from judge import same_run, verify
from judge.history.reading import UnreadableHistory, read_history
from stress.history import FILE as HISTORY
from stress.model import ReadinessReport
from stress.report import markdown, page
from stress.report.store import load, save
from stress.samples import write_samples
from stress.statement import SIGNER_FILE, STATEMENT_FILE, sign_report
from tests.judge.made_runs import CALLS, DETECTED, MISSED, ROOT, Samples, make_report, make_samples, write_run


@pytest.fixture(autouse=True)
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have all reports of a test signed by one key."""
    monkeypatch.setattr("stress.report_builder.SIGNING_KEY", tmp_path / "key.pem")
    return tmp_path / "key.pem"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a run in which nothing was sabotaged yet."""
    samples = make_samples(seed=1)
    return write_run(tmp_path / "run", told=samples, happened=samples)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Return the folder of another run."""
    samples = make_samples(seed=2)
    return write_run(tmp_path / "other", told=samples, happened=samples)


def list_finders(folder: Path) -> set[str]:
    """Return who finds something wrong: the digests of files, the figures computed again, the comparison of files."""
    faults = verify.verify_report(folder, folder / SIGNER_FILE).faults
    by_digest = {fault for fault in faults if "digest" in fault or "statement.json" in fault or "the names of" in fault}
    finders = {
        "digests": by_digest,
        "verify": set(faults) - by_digest,
        "same_run": same_run.find_contradictions(folder),
    }
    return {name for name, found in finders.items() if found}


def test_a_run_that_nobody_sabotaged_is_of_one_piece(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the programs have looked at everything: see below."""
    assert list_finders(folder) == set()
    assert same_run.main([str(folder)]) == 0
    assert capsys.readouterr().out == "OF ONE RUN\n"


# ---- what the harness could have done with its report, before it signed it ------------------------------------------
def _change_result(report: ReadinessReport, number: int, **changes: Any) -> ReadinessReport:
    results = list(report.results)
    results[number] = replace(results[number], **changes)
    return replace(report, results=results)


def halve_a_latency(report: ReadinessReport) -> ReadinessReport:
    """Show a p95 of half."""
    first, *rest = report.results[0].latencies
    return _change_result(report, 0, latencies=[replace(first, p95=(first.p95 or 0) / 2), *rest])


def leave_out_a_scenario(report: ReadinessReport) -> ReadinessReport:
    """Leave out the result of the second, whose calls are among the samples."""
    results = [result for result in report.results if result.key != "members"]
    return replace(report, results=results, passed=report.passed - 1, total=report.total - 1)


def count_a_dead_function_as_created(report: ReadinessReport) -> ReadinessReport:
    """Count each 502 as a 201."""
    answers = report.results[0].answers
    return _change_result(report, 0, answers={"201": sum(answers.values())})


def replace_settings(report: ReadinessReport) -> ReadinessReport:
    """Show other settings than those of the run."""
    return replace(report, settings={"mails a second": 1000})


def flip(name: str, found: str) -> Callable[[ReadinessReport], ReadinessReport]:
    """Return what has a check find something else, and pass nevertheless."""

    def flip_check(report: ReadinessReport) -> ReadinessReport:
        checks = [
            replace(c, passed=True, found=found, evidence=None) if c.name == name else c
            for c in report.results[0].checks
        ]
        return _change_result(report, 0, checks=checks)

    return flip_check


def edit_control(**changes: Any) -> Callable[[ReadinessReport], ReadinessReport]:
    """Return what edits the result of the control that stayed green."""

    def edit_control_result(report: ReadinessReport) -> ReadinessReport:
        return replace(report, controls=[DETECTED, replace(MISSED, **changes)])

    return edit_control_result


def pass_with_a_missed_control(report: ReadinessReport) -> ReadinessReport:
    """Call a full run PASS whose second control stayed green."""
    return replace(report, profile="full", verdict="PASS")


@pytest.mark.parametrize(
    ("sabotage", "finder"),
    [
        (halve_a_latency, "verify"),
        (count_a_dead_function_as_created, "verify"),
        (leave_out_a_scenario, "same_run"),
        (flip("Slowest of all", "40000 ms"), "same_run"),
        (flip("Answers of a dead function", "{502: 39}"), "same_run"),
        (flip("No call was answered otherwise than it should be", "{'register: 500': 2}"), "same_run"),
        (edit_control(detected=True), "same_run"),
        (edit_control(detected=True, outcome="red"), "same_run"),
        (pass_with_a_missed_control, "verify"),
        (pass_with_a_missed_control, "same_run"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_sabotaged_report_is_found_though_its_pages_agree_and_it_is_signed(
    folder: Path, key: Path, sabotage: Callable[[ReadinessReport], ReadinessReport], finder: str
) -> None:
    """Everything is written of the sabotaged report, as the harness would."""
    report = sabotage(load(folder))
    save(report, folder)
    page.write_page(report, folder)
    markdown.write_markdown(report, folder)
    sign_report(report, folder, ROOT, key)
    assert finder in list_finders(folder)
    assert "digests" not in list_finders(folder)


def test_settings_that_are_not_those_of_the_statement_are_found(folder: Path, key: Path) -> None:
    """The statement names the settings that the run had; here only the files' digests are renewed."""
    ran_with = load(folder)
    save(replace_settings(ran_with), folder)
    sign_report(ran_with, folder, ROOT, key)
    assert list_finders(folder) == {"same_run"}


# ---- what it could have done with its samples and its history -------------------------------------------------------
def drop_one_in_a_thousand(samples: Samples) -> Samples:
    """Drop each thousandth sample."""
    return [sample for number, sample in enumerate(samples) if number % 1000 != 500]


def halve_latencies(samples: Samples) -> Samples:
    """Have each call end after half of its time."""
    return [replace(each, done_s=each.sent_s + (each.done_s - each.sent_s) / 2) for each in samples]


def step_the_clock(samples: Samples) -> Samples:
    """Have the clock be a second ahead from the middle on."""
    return samples[: CALLS // 2] + [
        replace(each, meant_s=each.meant_s + 1, sent_s=each.sent_s + 1, done_s=each.done_s + 1)
        for each in samples[CALLS // 2 :]
    ]


def call_502_created(samples: Samples) -> Samples:
    """Rewrite each status 502 to 201."""
    return [replace(sample, status=201 if sample.status == 502 else sample.status) for sample in samples]


SABOTAGES = (drop_one_in_a_thousand, halve_latencies, step_the_clock, call_502_created)


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_sabotaged_samples_beside_a_true_report_are_found(
    folder: Path, key: Path, sabotage: Callable[[Samples], Samples]
) -> None:
    """The figures computed again are others."""
    write_samples(sabotage(make_samples(seed=1)), folder / "samples.csv.gz")
    sign_report(load(folder), folder, ROOT, key)
    assert list_finders(folder) >= {"verify"}


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_ledger_that_was_sabotaged_is_found_though_report_and_samples_agree(
    tmp_path: Path, sabotage: Callable[[Samples], Samples]
) -> None:
    """The history has what happened: it is written with what the database knows of it, and judged by that."""
    happened = make_samples(seed=1)
    folder = write_run(tmp_path / "run", told=sabotage(happened), happened=happened)
    assert "same_run" in list_finders(folder)


def _cut_lines(lines: list[str]) -> list[str]:
    return lines[:-20]


def _cut_lines_before_the_last(lines: list[str]) -> list[str]:
    return lines[:-20] + lines[-1:]


def _lose_a_call(lines: list[str]) -> list[str]:
    """Lose one line, and count the others right."""
    counts = json.loads(lines[-1])
    counts["lines"]["call"] -= 1
    return [*lines[:300], *lines[301:-1], json.dumps(counts) + "\n"]


@pytest.mark.parametrize("cut", [_cut_lines, _cut_lines_before_the_last, _lose_a_call])
def test_a_history_that_lacks_lines_is_found(folder: Path, key: Path, cut: Callable[[list[str]], list[str]]) -> None:
    """Cut at its end, with its last line put back, or a single call lost."""
    rewrite_history(folder, cut)
    sign_report(load(folder), folder, ROOT, key)
    assert list_finders(folder) == {"same_run"}
    if cut is not _lose_a_call:  # which the judge of histories can't know
        with pytest.raises(UnreadableHistory):
            read_history(folder / HISTORY)


def rewrite_history(folder: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Write the lines of the history anew."""
    with gzip.open(folder / HISTORY, "rt", encoding="utf-8") as file:
        lines = file.readlines()
    with gzip.open(folder / HISTORY, "wt", encoding="utf-8") as file:
        file.writelines(change(lines))


def test_a_history_that_is_not_there_is_found(folder: Path, key: Path) -> None:
    """It was judged, so there was one."""
    (folder / HISTORY).unlink()
    sign_report(load(folder), folder, ROOT, key)
    assert list_finders(folder) == {"same_run"}


# ---- another run's files --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "finder"),
    [
        ("report.json", "verify"),
        ("samples.csv.gz", "verify"),
        ("report.html", "same_run"),
        ("report.md", "same_run"),
        (HISTORY, "same_run"),
    ],
)
def test_another_runs_file_is_found(folder: Path, other: Path, key: Path, name: str, finder: str) -> None:
    """Copied and left, it is not the signed one; and signed, its figures are another run's."""
    if name == "report.md":
        shorten(other)
    shutil.copy(other / name, folder)
    assert "digests" in list_finders(folder)
    sign_report(load(folder), folder, ROOT, key)
    assert finder in list_finders(folder)


@pytest.mark.parametrize(
    ("shown", "instead"),
    [
        (">40 × 502<", '><span title="40 × 502">0 × 502</span><'),
        (">40 × 502<", "><span hidden>40 × 502</span>0 × 502<"),
        ("Answers of a dead function<", 'Answers of a function<i title="Answers of a dead function"></i><'),
        ("All 3 promises hold.</h1>", "All 30 promises hold.</h1>"),
        (": All 3 promises hold.", ": All 30 promises hold."),
        ('<td data-label="calls">', '<td data-label="calls">1'),
        ("<dt>mails a second</dt><dd>14<", "<dt>mails a second</dt><dd>140<"),
    ],
)
def test_a_page_that_shows_other_words_than_its_report_is_found(
    folder: Path, key: Path, shown: str, instead: str
) -> None:
    """Keeping the true words where no reader looks is no excuse."""
    pages = {path: path.read_text(encoding="utf-8") for path in (folder / page.FILE, folder / markdown.FILE)}
    assert any(shown in text for text in pages.values())
    for path, text in pages.items():
        path.write_text(text.replace(shown, instead), encoding="utf-8")
    sign_report(load(folder), folder, ROOT, key)
    assert list_finders(folder) == {"same_run"}


def shorten(folder: Path) -> None:
    """Write the short form of a run with fewer samples."""
    markdown.write_markdown(make_report(make_samples(seed=2)[10:]), folder)


def test_a_statement_that_was_signed_for_other_files_is_found(folder: Path, other: Path) -> None:
    """It was signed by the same key, for the same code."""
    shutil.copy(other / STATEMENT_FILE, folder)
    assert "digests" in list_finders(folder)


def drop_a_sample(folder: Path) -> None:
    """Drop one in a thousand of the file of samples."""
    write_samples(drop_one_in_a_thousand(make_samples(seed=1)), folder / "samples.csv.gz")


@pytest.mark.parametrize(
    "edit",
    [
        lambda folder: save(halve_a_latency(load(folder)), folder),
        lambda folder: save(leave_out_a_scenario(load(folder)), folder),
        lambda folder: save(replace_settings(load(folder)), folder),
        lambda folder: save(edit_control(detected=True)(load(folder)), folder),
        lambda folder: rewrite_history(folder, _lose_a_call),
        drop_a_sample,
    ],
)
def test_whoever_edits_a_finished_folder_is_found_by_its_digests(folder: Path, edit: Callable[[Path], object]) -> None:
    """The statement names each file as it was."""
    edit(folder)
    assert "digests" in list_finders(folder)


def test_a_folder_that_can_not_be_read_is_not_of_one_run(folder: Path) -> None:
    """The program says so, and ends with 1."""
    with (folder / "samples.csv.gz").open("wb") as file:
        file.write(b"\x1f\x8b")
    assert same_run.main([str(folder)]) == 1
    (folder / "report.json").write_text("{}")
    assert same_run.main([str(folder)]) == 1


def test_the_samples_have_the_columns_that_are_compared(folder: Path) -> None:
    """A column that is renamed must not make all calls alike."""
    with gzip.open(folder / "samples.csv.gz", "rt", newline="") as file:
        first = next(csv.DictReader(file))
    assert {"scenario", "operation", "key", "sent_s", "done_s", "status", "problem"} <= first.keys()


@pytest.mark.parametrize(
    ("scenario", "found"),
    [
        ("pool", []),
        ("pool, setup", []),
        ("setup", []),
        ("restore, setup", ["scenario restore: it has 1 calls, and no result"]),
    ],
)
def test_calls_that_prepare_a_scenario_need_its_result(scenario: str, found: list[str]) -> None:
    """Calls that prepare users of all scenarios need none."""
    report = {"results": [{"key": "pool"}]}
    assert list(same_run.compare_scenarios(report, [{"scenario": scenario}])) == found
