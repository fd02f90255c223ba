"""Negative controls: each breaks what is there today, and only the scenario that saw it counts as red."""

import io
import json
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from local.layer_build import link_path
from stress.controls.__main__ import ControlRun, main
from stress.controls.checkout_copies import apply_patch, copy_checkout
from stress.controls.choice import choose_controls
from stress.controls.control_table import ControlTable
from stress.controls.harness_runs import run_harness
from stress.controls.model import (
    FILE,
    GENERATOR_LATE,
    SAMPLES_MISSING,
    InvalidControl,
    NegativeControl,
    judge,
    judge_unbroken,
    read_controls,
)
from stress.run import SCENARIOS
from tests.failover.servers import wait_until
from tests.services import ROOT
from tests.stress import broken_checkouts
from tests.stress.broken_checkouts import (
    CALLS,
    LATE,
    PLAN,
    RULES,
    STARTED,
    make_checkout,
    make_report,
    make_result,
    patch_of,
    put_files,
    read_everything,
)

CONTROLS = read_controls(FILE.read_text(encoding="utf-8"))
HARNESS = (sys.executable, broken_checkouts.__file__)
FEWEST = 71  # raise it with each control that is added


# ---- what is written down -------------------------------------------------------------------------------------------
def test_no_control_goes_missing() -> None:
    """The number only grows; each control names a scenario that there is and says what it breaks in a sentence."""
    assert len(CONTROLS) >= FEWEST
    assert {control.scenario for control in CONTROLS} == set(SCENARIOS)  # each has one at least
    assert all(control.why.endswith(".") and control.why.count(".") == 1 for control in CONTROLS)


def test_every_dropped_constraint_is_one_that_there_is() -> None:
    """Its name is the one that the migrations give it."""
    dropped = {name for control in CONTROLS for name in re.findall(r"DROP CONSTRAINT (\w+)", control.sql)}
    assert "accounts_email_key" in dropped
    migrations = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "migrations").glob("*.sql"))
    assert [name for name in sorted(dropped) if f"CONSTRAINT {name} UNIQUE" not in migrations] == []


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", "exactly one of"),
        ("sql = 'SELECT 1'\noption = '--stall'", "exactly one of"),
        ("option = '--stall'\nexpects = 'typo'", "expects"),
        ("patch = 'no-such.patch'", "no-such.patch"),
        (
            "option = '--stall'\n[[control]]\nname = 'a'\nwhy = ''\nscenario = 'health'\noption = '--stall'",
            "duplicate names: a",
        ),
    ],
)
def test_a_control_that_is_not_written_down_properly_is_refused(table: str, words: str) -> None:
    """Broken in no way or in two ways, a field that nobody reads, one that is missing, a name used twice."""
    with pytest.raises(InvalidControl, match=words):
        read_controls(f"[[control]]\nname = 'a'\nwhy = ''\nscenario = 'health'\n{table}")


# ---- the judge ------------------------------------------------------------------------------------------------------
def control(**changes: Any) -> NegativeControl:
    """Return a control of the scenario "agents"."""
    return NegativeControl(
        "limiter-open", "No one is refused.", "agents", **{"option": "--x", "expect": "exactly 5", **changes}
    )


SAW_IT = make_result("agents", "FAIL", failed="20 at once: exactly 5 accepted")


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (SAW_IT, "red"),
        (make_result("agents", "INVALID", failed="20 at once: exactly 5 accepted", lag=LATE), "red"),
        (make_result("agents", "FAIL", difference="Mails: EXACTLY 5 each"), "red"),
        (make_result("agents", "PASS"), "green"),
        (make_result("agents", "FAIL", failed="Deadlocks"), "wrong reason"),
        (make_result("agents", "INVALID", lag=LATE), "wrong reason"),
        (make_result("agents", "FAIL"), "wrong reason"),
        (make_result("agents", "SKIPPED"), "no result"),
        (make_result("members", "FAIL", failed="20 at once: exactly 5 accepted"), "no result"),
    ],
)
def test_only_the_named_scenario_red_for_the_expected_reason_counts(found: Any, outcome: str) -> None:
    """Nothing else in the report counts."""
    verdict = judge(control(), make_report(found))
    assert verdict.outcome == outcome


def test_no_report_is_no_result() -> None:
    """A harness that broke down has seen nothing."""
    assert judge(control(), None).outcome == "no result"
    assert judge(control(), {}).outcome == "no result"


def test_without_an_expectation_any_reason_will_do_but_there_must_be_one() -> None:
    """A red that names nothing is no evidence."""
    assert judge(control(expect=""), make_report(make_result("agents", "FAIL", failed="Deadlocks"))).outcome == "red"
    assert judge(control(expect=""), make_report(make_result("agents", "FAIL"))).outcome == "wrong reason"


def test_an_undecided_check_has_detected_nothing() -> None:
    """The system may be broken just so, but this run can't say it."""
    found = make_result("agents", "INVALID", failed="20 at once: exactly 5 accepted")
    undecided = replace(found, checks=[replace(each, undecided=not each.passed) for each in found.checks])
    verdict = judge(control(), make_report(undecided))
    assert verdict.outcome == "wrong reason"
    assert "exactly 5 accepted" in verdict.reasons[0].detail


def test_a_stalled_generator_makes_a_run_invalid_and_nothing_else() -> None:
    """FAIL would blame the system."""
    stalled = next(control for control in CONTROLS if control.option == "--stall")
    assert judge(stalled, make_report(make_result("agents", "INVALID", lag=LATE))).outcome == "red"
    assert judge(stalled, make_report(make_result("agents", "INVALID", samples=3))).outcome == "wrong reason"
    assert (
        judge(stalled, make_report(make_result("agents", "FAIL", difference="mails", lag=LATE))).outcome
        == "wrong reason"
    )


def test_all_reasons_are_listed_the_expected_first() -> None:
    """Checks, differences by kind, the generator, samples."""
    found = make_result("agents", "FAIL", failed="Deadlocks", difference="mails of exactly 5", lag=LATE, samples=3)
    verdict = judge(control(), make_report(found))
    assert [reason.name for reason in verdict.reasons] == [
        "mails of exactly 5",
        "Deadlocks",
        GENERATOR_LATE,
        SAMPLES_MISSING,
    ]
    assert str(verdict.reasons[0]) == "mails of exactly 5 (2 times, first: expected 1, found 2)"


def test_the_unbroken_system_is_judged_scenario_by_scenario() -> None:
    """All of them must be there, and green."""
    verdicts = judge_unbroken(["agents", "health", "members"], make_report(SAW_IT, make_result("health", "PASS")))
    assert {key: verdict.outcome for key, verdict in verdicts.items()} == {
        "agents": "red", "health": "green", "members": "no result"
    }  # fmt: skip


# ---- copies ---------------------------------------------------------------------------------------------------------
def test_a_copy_has_all_that_is_not_ignored_and_leaves_the_original_alone(tmp_path: Path) -> None:
    """The original stays the same when the copy is broken, started and thrown away."""
    root = make_checkout(tmp_path)
    before, copy = read_everything(root), root / "build/controls/a"
    put_files(copy, {"code/left.py": "of an earlier run"})
    copy_checkout(root, copy)
    own = {name: text for name, text in read_everything(copy).items() if not name.startswith(".venvs")}
    kept = {n for n in before if not n.startswith(".venvs") and n not in ("code/service.pyc", "reports/old.md")}
    assert own == {name: before[name] for name in kept}
    assert {"code/new name é.py", "code/alias.py", ".gitignore"} <= kept
    apply_patch(EDITED, copy)
    assert (copy / "code/service.py").read_text() == "LIMIT = 500\n"
    shutil.rmtree(copy)
    assert read_everything(root) == before


def test_a_copys_layer_has_the_installed_packages_and_its_own_code(tmp_path: Path) -> None:
    """Started, it links our package to itself; the original's link stays where it was."""
    root = make_checkout(tmp_path)
    copy = root / "build/controls/a"
    copy_checkout(root, copy)
    assert [package.name for package in (copy / ".venvs/layer/python").iterdir()] == ["psycopg"]
    link_path(copy / ".venvs/layer/python/shared", copy / "layers/shared/shared")
    apply_patch(
        NegativeControl("lax", "Broken.", "agents", patch=patch_of(RULES, "STRICT = True", "STRICT = False")), copy
    )
    assert (copy / ".venvs/layer/python/psycopg/__init__.py").exists()
    assert (copy / ".venvs/layer/.stamp").read_text() == "stamp"
    assert (copy / ".venvs/layer/python/shared/rules.py").read_text() == "STRICT = False\n"
    assert (root / ".venvs/layer/python/shared/rules.py").read_text() == "STRICT = True\n"
    assert (copy / ".venvs/local").resolve() == root / ".venvs/local"


# ---- the run --------------------------------------------------------------------------------------------------------
EDITED = NegativeControl("edited", "Broken.", "agents", patch=patch_of("code/service.py", "LIMIT = 5", "LIMIT = 500"))
ASKED = NegativeControl("asked", "Broken.", "health", option="--stall")
DROPPED = NegativeControl("dropped", "Broken.", "members", sql="DROP TABLE x;")
RED = {"status": "FAIL", "failed": "Deadlocks"}


def run_all(root: Path, plan: dict[str, Any], *controls: NegativeControl) -> tuple[ControlRun, list[Any], str]:
    """Run controls on a checkout; what came of them, what the harness was asked, and what was said."""
    (root / PLAN).write_text(json.dumps(plan))
    work = ControlRun(root, HARNESS, controls, root / "reports/controls-now")
    printed = io.StringIO()
    with ControlTable(work.rows, Console(file=printed)) as board:
        work.run(board)
    board.end(Path("reports"))
    calls = (root / CALLS).read_text().splitlines()
    return work, [json.loads(call) for call in calls], printed.getvalue()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkout; the harness finds its report's shapes."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return make_checkout(tmp_path)


def test_all_scenarios_are_green_first_and_then_each_control_is_red(root: Path) -> None:
    """Each run drives a copy broken in its own way, with the options that the harness has for it."""
    work, calls, printed = run_all(root, dict.fromkeys(["edited", "asked", "dropped"], RED), EDITED, ASKED, DROPPED)
    assert work.has_passed
    assert [call["copy"] for call in calls] == ["unbroken", "edited", "asked", "dropped"]
    assert [call["code"] for call in calls] == ["LIMIT = 5\n", "LIMIT = 500\n", "LIMIT = 5\n", "LIMIT = 5\n"]
    asked = [call["arguments"] for call in calls]
    assert [arguments.count("--only") for arguments in asked] == [3, 1, 1, 1]
    assert asked[2][-1] == "--stall"
    assert Path(asked[3][asked[3].index("--sql-file") + 1]).read_text() == "DROP TABLE x;"
    assert "red FAIL" in printed
    assert "Deadlocks (wanted 5, found 20)" in printed
    assert not any((root / "build/controls").iterdir())


@pytest.mark.parametrize(
    ("plan", "outcome", "trouble"),
    [
        ({"status": "PASS"}, "green", ""),
        ("crashes", "no result", "ended with status 3"),
        ("says nothing", "no result", "left no report"),
    ],
)
def test_a_control_that_is_not_red_fails_the_run_and_the_others_go_on(
    root: Path, plan: Any, outcome: str, trouble: str
) -> None:
    """The result has the harness's last output, if any; the copy stays, so that it can be examined."""
    work, _, printed = run_all(root, {"edited": plan, "asked": RED}, EDITED, ASKED)
    assert not work.has_passed
    assert [line.verdict.outcome for line in work.rows if line.verdict] == ["green", outcome, "red"]
    assert trouble in work.rows[1].trouble
    assert ("driving edited" in printed) == bool(trouble)
    assert (root / "build/controls/edited").exists()


def test_a_patch_that_does_not_apply_fails_its_control_before_anything_is_run(root: Path) -> None:
    """Nothing was broken, so nothing is driven."""
    patch = patch_of("code/service.py", "LIMIT = 6", "LIMIT = 500")
    missed = NegativeControl("missed", "Broken.", "agents", patch=patch)
    work, calls, printed = run_all(root, {}, missed)
    assert not work.has_passed
    assert [call["copy"] for call in calls] == ["unbroken"]
    assert "missed: its patch does not apply to the code of today: error: patch failed: code/service.py:1" in printed


def test_nothing_is_broken_where_the_unbroken_system_is_red(root: Path) -> None:
    """Red would prove nothing then."""
    work, calls, _ = run_all(root, {"unbroken": RED}, EDITED, ASKED)
    assert not work.has_passed
    assert [call["copy"] for call in calls] == ["unbroken"]
    assert [line.outcome for line in work.rows] == ["red FAIL", "waiting", "waiting"]


def test_the_results_of_controls_are_kept_as_data_and_as_a_page(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is kept as data and as a page; the exit status says whether all is as it must be."""
    monkeypatch.setattr("stress.controls.__main__.read_controls", lambda _text: (EDITED, ASKED))
    (root / PLAN).write_text(json.dumps({"edited": RED, "asked": {"status": "PASS"}}))
    assert main(["--only", "edited"], root, HARNESS) == 0
    [folder] = (root / "reports").glob("controls-*")
    kept = json.loads((folder / "controls.json").read_text())
    assert (kept["verdict"], kept["passed"], kept["total"]) == ("PASS", 2, 2)
    assert kept["controls"][1]["reasons"] == [{"name": "Deadlocks", "detail": "wanted 5, found 20"}]
    assert kept["controls"][1]["broken_by"]["patch"] == EDITED.patch
    assert "| ✓ | edited | Broken. | agents | red FAIL | Deadlocks" in (folder / "controls.md").read_text()
    assert "all as they must be: 2 of 2" in capsys.readouterr().out


def test_the_exit_status_says_that_a_control_stayed_green(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says which one."""
    monkeypatch.setattr("stress.controls.__main__.read_controls", lambda _text: (EDITED,))
    (root / PLAN).write_text("{}")
    assert main([], root, HARNESS) == 1
    [page] = (root / "reports").glob("controls-*/controls.md")
    assert "| ✗ | edited | Broken. | agents | green PASS |" in page.read_text()


def test_a_name_that_there_is_not_is_refused() -> None:
    """The message lists the names that exist."""
    with pytest.raises(SystemExit, match="no such control: typo; there are: retry-off"):
        choose_controls(CONTROLS, ["typo"])


# ---- its processes --------------------------------------------------------------------------------------------------
def build_hanging_command(root: Path) -> list[str]:
    """Return the command of a harness that starts a child and never ends."""
    put_files(root, {PLAN: '{"a": "hangs"}', "a/code/service.py": "", "out/x": ""})
    return [*HARNESS, "run", "--root", str(root / "a"), "--out", str(root / "out")]


def list_left_running(root: Path) -> list[int]:
    """Return which of the processes still run that the child of a hanging harness has started."""
    return [pid for pid in json.loads((root / STARTED).read_text()) if psutil.pid_exists(pid)
            and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]  # fmt: skip


def test_a_harness_that_takes_too_long_is_ended_without_a_result(root: Path) -> None:
    """Its findings until then do not count."""
    (root / "out").mkdir()
    (root / "out/report.json").write_text(json.dumps(make_report(SAW_IT)))
    ran = run_harness(build_hanging_command(root), root, root / "out/report.json", root / "log", limit_s=0.5)
    assert ran.report is None
    assert "was not done after 0.5 s" in ran.trouble


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let SIGINT interrupt the test: a shell that starts the tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_the_harness_and_what_it_has_started(root: Path) -> None:
    """They have ended before the interrupt is passed on."""

    def send_interrupt() -> None:
        wait_until((root / STARTED).exists, "the harness did not start")
        os.kill(os.getpid(), signal.SIGINT)

    command, thread = build_hanging_command(root), threading.Thread(target=send_interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_harness(command, root, root / "out/report.json", root / "log", limit_s=60.0)
    thread.join()
    wait_until(lambda: not list_left_running(root), "its child is still there")
