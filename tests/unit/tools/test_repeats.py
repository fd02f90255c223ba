"""The same verdict every time: the verdicts of many runs are kept, and one that must not be there is found."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.services import ROOT
from tests.stress.broken_checkouts import make_report, make_result
from tools import repeats
from tools.repeats import BUSY, KEPT, NO_REPORT, Kind, keep_processor_busy, repeat

# Copies the report of its seed, if there is one.
STUB = """
import pathlib, shutil, sys
seed, out = sys.argv[-3], pathlib.Path(sys.argv[-1])
made = pathlib.Path(sys.argv[1]) / seed
if made.exists():
    out.mkdir()
    shutil.copy(made, out / "report.json")
"""


def repeat_verdicts(folder: Path, kind: Kind, *verdicts: str) -> bool:
    """Repeat a harness that ends with these verdicts, one after another."""
    for seed, verdict in enumerate(verdicts, 1):
        if verdict != NO_REPORT:
            result = make_result("agents", verdict, failed="" if verdict == "PASS" else "Deadlocks")
            report = {**make_report(result), "verdict": verdict}
            (folder / str(seed)).write_text(json.dumps(report))
    return repeat(kind, len(verdicts), (sys.executable, "-c", STUB, str(folder)), folder)


@pytest.mark.parametrize(
    ("kind", "verdicts", "as_wanted"),
    [
        ("idle", ("PASS", "PASS"), True),
        ("idle", ("PASS", "INVALID"), False),
        ("idle", ("FAIL", "PASS"), False),
        ("idle", ("PASS", NO_REPORT), False),
        ("idle", (), False),
        ("busy", ("INVALID", "PASS"), True),
        ("busy", ("INVALID", "FAIL"), False),
        ("busy", (NO_REPORT,), False),
    ],
)
def test_one_run_that_ends_otherwise_is_found(
    tmp_path: Path, kind: Kind, verdicts: tuple[str, ...], as_wanted: bool
) -> None:
    """Alone on the machine all have to pass; beside a busy processor a run may say that it could not measure."""
    assert repeat_verdicts(tmp_path, kind, *verdicts) == as_wanted


def test_the_verdicts_are_kept_with_their_reasons_and_those_of_the_other_kind_stay(tmp_path: Path) -> None:
    """Each run has its seed, so that it can be made again."""
    repeat_verdicts(tmp_path, "busy", "PASS")
    repeat_verdicts(tmp_path, "idle", "PASS", "FAIL")
    kept = json.loads((tmp_path / KEPT).read_text(encoding="utf-8"))
    assert [run["verdict"] for run in kept["busy"]["runs"]] == ["PASS"]
    assert [(run["seed"], run["verdict"]) for run in kept["idle"]["runs"]] == [(1, "PASS"), (2, "FAIL")]
    assert kept["idle"]["runs"][1]["reasons"] == {"agents": ["Deadlocks (wanted 5, found 20)"]}
    assert kept["idle"]["commit"]


def test_the_processor_is_busy_within_the_block_alone() -> None:
    """A process that stayed would spoil whatever is measured next."""

    def list_busy() -> list[psutil.Process]:
        return [each for each in psutil.Process().children() if each.cmdline()[1:] == list(BUSY[1:])]

    with keep_processor_busy():
        assert len(list_busy()) == 1
    assert list_busy() == []


def test_the_short_report_is_repeated_twenty_times_and_five_beside_a_busy_processor() -> None:
    """As many as were promised."""
    assert repeats.TIMES == {"idle": 20, "busy": 5}
    assert repeats.HARNESS[-2:] == ("--profile", "short")


def test_a_killed_program_leaves_no_processor_busy() -> None:
    """It can't end what it has started; the kernel does."""
    work = "block = keep_processor_busy(); block.__enter__(); print(1, flush=True); time.sleep(60)"
    program = f"import time; from tools.repeats import keep_processor_busy; {work}"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT) as killed:
        assert killed.stdout is not None
        killed.stdout.readline()
        [busy] = psutil.Process(killed.pid).children()
        killed.kill()
    _, alive = psutil.wait_procs([busy], timeout=5)
    for process in alive:
        process.kill()
    assert alive == []
