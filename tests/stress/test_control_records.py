"""The results of controls are kept for the code that they are of, and can't be edited; each has its turn in CI."""

import json
import re
import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stress.control_record import ControlRecord, summarise_doubts
from stress.controls import records
from stress.controls.__main__ import SCENARIO_S, choose_run, main, parse_arguments
from stress.controls.choice import TENTHS, choose_controls, choose_tenth, choose_within, find_turn
from stress.controls.guarded_code import GuardedCode
from stress.controls.model import FILE, NegativeControl, read_controls
from tests.services import ROOT
from tests.stress.broken_checkouts import PLAN, make_checkout, patch_of, put_files
from tests.stress.test_controls import ASKED, DROPPED, EDITED, HARNESS, RED

CONTROLS = read_controls(FILE.read_text(encoding="utf-8"))
THREE = (EDITED, ASKED, DROPPED)
MARGIN = 1.25  # between a control that took long and the time limit
SOURCES = {
    "stress/verdict.py": "BAR = 50\n",
    "stress/run.py": "from stress.scenarios import agents, health\nfrom stress.scenarios.settings import SHORT\n",
    "stress/scenarios/__init__.py": "",
    "stress/scenarios/agents.py": 'from stress.scenarios.earnings import STEP\nPROMISE = "It holds."\n',
    "stress/scenarios/earnings.py": "import stress.scenarios.shared_steps\nSTEP = 1\n",
    "stress/scenarios/health.py": 'from stress.scenarios import shared_steps\nPROMISE = "It holds."\n',
    "stress/scenarios/settings.py": "SHORT = 1\n",
    "stress/scenarios/shared_steps.py": "STEP = 1\n",
    "stress/report/page.py": "PAGE = 1\n",
    "stress/controls/model.py": "JUDGE = 1\n",
    "stress/controls/controls.toml": "",
    "functions/agents/agents/app.py": "CALLS = 1\n",
    "docs/index.md": "Welcome.\n",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkout with a service and a harness, of which the three controls are all that there are."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("stress.controls.__main__.read_controls", lambda _text: THREE)
    monkeypatch.setattr(records, "read_controls", lambda _text: THREE)
    put_files(make_checkout(tmp_path), SOURCES)
    return tmp_path


def record(root: Path, plan: dict[str, Any], *only: str) -> dict[str, ControlRecord]:
    """Run controls as `make stress-controls` does, each as planned; return what is kept then."""
    run_planned(root, plan, "--record", *(part for name in only for part in ("--only", name)))
    return records.read_records(root)


def run_planned(root: Path, plan: dict[str, Any], *options: str) -> int:
    """Run controls, each as planned; return the exit status."""
    shutil.rmtree(root / "reports", ignore_errors=True)  # a run's folder is named by the second
    (root / PLAN).write_text(json.dumps(plan))
    return main(options, root, HARNESS)


def list_doubts(root: Path) -> dict[str, str]:
    """Return what a report of the checkout as it is now says about each control, if it proves nothing."""
    return {each.name: each.doubt for each in records.list_records(root) if each.doubt}


# ---- what is kept ---------------------------------------------------------------------------------------------------
def test_each_result_says_what_turned_red_and_in_which_code(root: Path) -> None:
    """Alone or with others; the commit, whether the checkout differed from it, and what the control guards."""
    kept = record(root, {"edited": {**RED, "difference": "mails"}, "asked": RED, "dropped": {"status": "PASS"}})
    assert [(each.name, each.detected, each.status) for each in kept.values()] == [
        ("edited", True, "FAIL"), ("asked", True, "FAIL"), ("dropped", False, "PASS")]  # fmt: skip
    assert [(each.red, each.others) for each in kept.values()] == [
        ("Deadlocks", ["mails"]),
        ("Deadlocks", []),
        ("", []),
    ]
    assert all(re.fullmatch(r"[0-9a-f]{12} with changes", each.commit) for each in kept.values())
    assert kept["edited"].guards == GuardedCode(root).describe(EDITED)
    assert all(each.seconds > 0 and each.when for each in kept.values())


def test_a_run_of_some_controls_replaces_only_theirs(root: Path) -> None:
    """The others keep what they had; one that is written down no longer is dropped."""
    before = record(root, dict.fromkeys(["edited", "asked", "dropped"], RED))
    after = record(root, {"asked": {"status": "PASS"}}, "asked")
    assert (after["edited"], after["dropped"]) == (before["edited"], before["dropped"])
    assert (before["asked"].detected, after["asked"].detected) == (True, False)
    records.merge_records(root, [], [EDITED, DROPPED])
    assert list(records.read_records(root)) == ["edited", "dropped"]


def test_nothing_is_kept_of_controls_that_did_not_run(root: Path) -> None:
    """Nothing is kept either if the unbroken system is red, or nobody asked for a record."""
    assert record(root, {"unbroken": RED}) == {}
    (root / records.FILE).unlink()
    assert run_planned(root, {"edited": {"status": "PASS"}}) == 1
    assert not (root / records.FILE).exists()


@pytest.mark.parametrize(
    "edit",
    [
        ('"detected": false', '"detected": true'),
        ('"red": "Deadlocks"', '"red": "Another check"'),
        ('"outcome": "green"', '"outcome": "red"'),
        ('"guards": {\n    "service": "', '"guards": {\n    "service": "0'),
        ('"signature": "', '"signature": "AAAA'),
    ],
)
def test_an_edited_result_is_found(root: Path, edit: tuple[str, str]) -> None:
    """Nothing of the file counts then, no run adds to it, and a report says so."""
    record(root, {"edited": RED, "asked": {"status": "PASS"}})
    text = (root / records.FILE).read_text()
    (root / records.FILE).write_text(text.replace(*edit, 1))
    assert (root / records.FILE).read_text() != text
    with pytest.raises(records.EditedRecords):
        records.read_records(root)
    assert all("not as it was signed" in doubt for doubt in list_doubts(root).values())
    assert len(list_doubts(root)) == len(THREE)
    with pytest.raises(SystemExit, match="delete it"):
        main(["--record"], root, HARNESS)


# ---- whether it still holds -----------------------------------------------------------------------------------------
ALL_RED = dict.fromkeys(["edited", "asked", "dropped"], RED)


def test_a_control_that_was_detected_in_the_same_code_leaves_no_doubt(root: Path) -> None:
    """Files that decide nothing about a control may change: pages, documents, other controls, another scenario."""
    record(root, ALL_RED)
    harmless = ("stress/report/page.py", "stress/controls/controls.toml", "docs/index.md")
    put_files(root, dict.fromkeys(harmless, "CHANGED = 1\n"))
    assert list_doubts(root) == {}
    assert summarise_doubts(records.list_records(root)) == ""
    put_files(root, {"stress/scenarios/health.py": SOURCES["stress/scenarios/health.py"] + "MORE = 1\n"})
    assert list_doubts(root) == {"asked": "older than the code: the harness has changed since"}


@pytest.mark.parametrize(
    ("module", "older"),
    [
        ("agents", {"edited"}),
        ("earnings", {"edited"}),
        ("health", {"asked"}),
        ("shared_steps", {"edited", "asked"}),  # of the one directly, of the other by way of a module
        ("settings", {"edited", "dropped", "asked"}),  # of the run, whatever its scenarios
        ("__init__", {"edited", "dropped", "asked"}),
    ],
)
def test_a_module_of_scenarios_is_guarded_for_those_that_import_it(root: Path, module: str, older: set[str]) -> None:
    """So a change of what one scenario alone uses makes only its controls older."""
    record(root, ALL_RED)
    name = f"stress/scenarios/{module}.py"
    put_files(root, {name: SOURCES[name] + "MORE = 1\n"})
    assert list_doubts(root).keys() == older


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("functions/agents/agents/app.py", "service"),
        ("migrations/0002.sql", "service"),
        ("template.yaml", "service"),
        ("local/gateway.py", "service"),
        ("stress/verdict.py", "harness"),
        ("stress/controls/model.py", "harness"),
        ("judge/verify.py", "harness"),
    ],
)
def test_controls_that_are_older_than_the_code_say_so(root: Path, name: str, part: str) -> None:
    """Be the change committed or not, of a file or a new one."""
    record(root, ALL_RED)
    put_files(root, {name: "CHANGED = 1\n"})
    assert list_doubts(root) == dict.fromkeys(ALL_RED, f"older than the code: the {part} has changed since")
    assert summarise_doubts(records.list_records(root)) == "Of 3 controls 3 are older than the code they guard."


def test_a_control_that_is_written_otherwise_has_to_run_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its break and its expectation are part of what it shows; its explanation is not."""
    record(root, ALL_RED)
    changed = (replace(EDITED, patch=patch_of("code/service.py", "LIMIT = 5", "LIMIT = 9")), replace(ASKED, why="So."))
    monkeypatch.setattr(records, "read_controls", lambda _text: changed)
    assert list_doubts(root) == {"edited": "older than the code: the control has changed since"}


def test_one_that_was_not_detected_or_never_ran_is_a_doubt(root: Path) -> None:
    """A run without any control has no fewer."""
    record(root, {"edited": RED, "asked": {"status": "PASS"}}, "edited", "asked")
    assert list_doubts(root) == {"asked": "not detected: green PASS", "dropped": "never run"}
    found = records.list_records(root)
    assert summarise_doubts(found) == "Of 3 controls 2 were not detected, or never run."
    assert "No result of a control" in summarise_doubts([])


# ---- CI's tenth -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("total", [1, 9, 10, 17, 43, 60])
@pytest.mark.parametrize("first", [0, 7, 1234])
def test_ten_consecutive_turns_have_each_control_once(total: int, first: int) -> None:
    """Whichever turn is the first, and however many controls there are."""
    names = [f"control-{number}" for number in range(total)]
    controls = [NegativeControl(name, "", f"scenario-{n % 4}", option="--x") for n, name in enumerate(names)]
    turns = [choose_tenth(controls, turn) for turn in range(first, first + TENTHS)]
    assert sorted(control.name for turn in turns for control in turn) == sorted(names)
    assert max(map(len, turns)) - min(map(len, turns)) <= 1


def test_a_tenth_has_few_scenarios_and_no_control_is_always_its_last() -> None:
    """Each scenario costs a run of the unbroken system; the last may have no time left."""
    chosen = [choose_tenth(CONTROLS, turn) for turn in range(TENTHS)]
    assert max(len({control.scenario for control in tenth}) for tenth in chosen) <= 3
    lasts = {choose_tenth(CONTROLS, turn * TENTHS)[-1].name for turn in range(len(chosen[0]))}
    assert lasts == {control.name for control in chosen[0]}


def test_a_tenth_begins_with_what_should_end_in_time_and_the_unbroken_system_runs_only_for_that() -> None:
    """By what each took last: the scenario of one that takes too long would cost its own run for nothing."""
    controls = [NegativeControl(f"{of}-{n}", "", of, option="--x") for of in ("slow", "quick") for n in range(3)]
    took_s = {"slow-0": 250.0, "slow-1": 90.0, "slow-2": 270.0, "quick-0": 60.0, "quick-1": 300.0, "quick-2": 50.0}

    def choose(within_s: float, took_s: dict[str, float]) -> list[str]:
        return [control.name for control in choose_within(controls, took_s, within_s)]

    assert choose(240, took_s) == ["quick-0", "quick-2"]  # 60 s for the scenario, and then 60 s and 50 s
    assert choose(169, took_s) == ["quick-0"]
    assert choose(340, took_s) == ["slow-1"]
    assert choose(float("inf"), took_s) == [control.name for control in controls]
    assert choose(240, {}) == [control.name for control in controls]  # nobody knows
    assert choose(10, took_s) == ["slow-0"]  # a run of none would show nothing


def test_the_turn_is_the_number_of_changes_and_is_printed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same commit has the same tenth, anywhere; the line says how to repeat it."""
    assert find_turn(root) == 1
    chosen = choose_run(CONTROLS, parse_arguments(["--tenth"]), root)
    assert (
        chosen == choose_tenth(CONTROLS, 1) == choose_run(CONTROLS, parse_arguments(["--tenth", "--turn", "1"]), root)
    )
    assert choose_run(CONTROLS, parse_arguments(["--only", "retry-off"]), root) == choose_controls(
        CONTROLS, ["retry-off"]
    )
    assert capsys.readouterr().out.startswith("turn 1 (again: --tenth --turn 1): ")
    assert find_turn(Path("/")) > 20_000  # no repository: days


def test_a_control_for_which_there_is_no_time_left_is_named_and_fails_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """CI's table says so; one that ran decides, and a run in which none could begin has shown nothing."""
    monkeypatch.setenv("STAGE_NOTE", str(tmp_path / "note"))
    monkeypatch.setattr("stress.controls.__main__.time", SimpleNamespace(monotonic=count(step=25).__next__))
    assert run_planned(root, ALL_RED, "--within", "90") == 0
    assert "SKIPPED for want of time: dropped\n" in capsys.readouterr().out
    assert (tmp_path / "note").read_text() == "SKIPPED for want of time: dropped"
    assert run_planned(root, {"asked": {"status": "PASS"}}, "--within", "90") == 1
    assert run_planned(root, {}, "--within", "0") == 1


def test_a_control_that_would_take_too_long_is_named_and_its_scenario_is_not_run(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is known from its last result."""
    kept = record(root, ALL_RED).values()
    records.merge_records(root, [replace(each, seconds=1000.0 * (each.name == "asked")) for each in kept], THREE)
    capsys.readouterr()
    assert run_planned(root, ALL_RED, "--within", "240") == 0
    assert "SKIPPED for want of time: asked\n" in capsys.readouterr().out


def test_no_control_comes_near_the_time_limit() -> None:
    """One that reaches it has no result, however well its scenario would have seen it: 300 s were too few for one."""
    assert max(each.seconds for each in records.read_records(ROOT).values()) * MARGIN <= SCENARIO_S
