"""`make stress-controls`: break the system in one way after another, and show that the scenario for it turns red.

    python -m stress.controls [--only NAME | --tenth [--turn N]] [--within SECONDS] [--record]

Each control is a run of the harness, from this checkout, on a copy of it that is broken (`controls.toml`). One that
breaks the harness runs the copy's. First the same scenarios must be green on an unbroken copy, or red would mean
nothing. A control that stays green, is red for another reason, or has no result, fails, and the run with it. The
results are in `reports/controls-<time>/`; `--record` puts them into measurements/controls.json, which reports show.
"""

import signal

# The imports below take a moment, in which Ctrl-C ends this program at once, without a traceback.
INTERRUPT_HANDLER = signal.getsignal(signal.SIGINT)
if __name__ == "__main__" and INTERRUPT_HANDLER is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from types import FrameType

from stress.control_record import ControlRecord
from stress.controls.checkout_copies import CannotCopy, apply_patch, copy_checkout
from stress.controls.choice import choose_controls, choose_tenth, choose_within, find_turn
from stress.controls.control_table import ControlRow, ControlTable, format_markdown
from stress.controls.guarded_code import GuardedCode
from stress.controls.harness_runs import HarnessResult, run_harness
from stress.controls.model import (
    FILE,
    ControlVerdict,
    InvalidControl,
    NegativeControl,
    judge,
    judge_unbroken,
    read_controls,
)
from stress.controls.records import EditedRecords, describe_commit, merge_records, read_records

ROOT = Path(__file__).resolve().parents[2]
COPIES = Path("build/controls")
UNBROKEN = "unbroken"

# The time limit of one scenario, start and end of its system included. Most take a minute or two, and some of a broken
# system far longer: where mails are held back or sent in the wrong order (`one-queue-for-all-mails`, `low-jobs-first`),
# each round waits for all of them, 420 s in all. What ends at this limit has no result, so it must not be near.
SCENARIO_S = 600.0
INTERRUPTED = 130


class ControlRun:
    """A run of the controls: `harness` is the command that begins a run of the harness."""

    def __init__(
        self,
        root: Path,
        harness: Sequence[str],
        controls: Sequence[NegativeControl],
        folder: Path,
        *,
        within_s: float = inf,
    ) -> None:
        """`within_s`: no control begins that would probably end later than `within_s` after the first began."""
        self._root = root
        self._within_s = within_s
        self._harness = harness
        self._folder = folder
        self._controls = {control.name: control for control in controls}
        self.scenarios = sorted({control.scenario for control in controls})
        why = "Nothing: the system as it is, and all of it must be green."
        everything = ControlRow(UNBROKEN, why, ", ".join(self.scenarios), wanted="green")
        self.rows = [everything, *(ControlRow(c.name, c.why, c.scenario) for c in controls)]

    @property
    def has_passed(self) -> bool:
        """Return whether every row is as it must be, but for those that were left out; one control at least ran."""
        begun = [row for row in self.rows if row not in self.left_out]
        return all(row.has_passed for row in begun) and len(begun) > 1

    @property
    def left_out(self) -> list[ControlRow]:
        """Return the controls for which there was no time left."""
        if not self.rows[0].has_passed or self._within_s == inf:
            return []
        return [row for row in self.rows if row.began is None]

    def run(self, table: ControlTable) -> None:
        """Run all controls; stop after an unbroken system that is not green, as then nothing would be proven."""
        began = time.monotonic()
        for row in self.rows:
            longest = max((each.seconds for each in self.rows if each.name != UNBROKEN), default=0.0)
            if time.monotonic() - began + longest > self._within_s:
                break
            table.begin(row)
            self._run_control(row)
            table.show_outcome(row)
            if row.name == UNBROKEN and not row.has_passed:
                break

    def list_records(self, guarded: Mapping[str, dict[str, str]], commit: str, when: datetime) -> list[ControlRecord]:
        """Return the results of the controls that ran, for measurements/controls.json.

        `guarded` has the digests of what each control guards, by its name, as they were before the run.
        """
        finished = [row for row in self.rows if row.verdict is not None and row.name != UNBROKEN]
        return [row.make_record(guarded[row.name], commit, when) for row in finished]

    def _run_control(self, row: ControlRow) -> None:
        control = self._controls.get(row.name)
        copy = self._root / COPIES / row.name
        try:
            copy_checkout(self._root, copy)
            if control and control.patch:
                apply_patch(control, copy)
        except (CannotCopy, InvalidControl) as error:
            row.set_result(ControlVerdict("no result", "", explanation=str(error)), HarnessResult(0.0, None))
            return
        result = self._run_harness(row, control, copy)
        row.set_result(self._judge_control(control, result), result)
        if row.has_passed:
            shutil.rmtree(copy)  # otherwise it is kept for inspection

    def _run_harness(self, row: ControlRow, control: NegativeControl | None, copy: Path) -> HarnessResult:
        out = self._folder / row.name
        out.mkdir(parents=True)
        scenarios = [control.scenario] if control else self.scenarios
        row.log = out / "harness.log"
        options = ["run", "--root", str(copy), "--profile", "control", "--out", str(out)]
        options += [option for scenario in scenarios for option in ("--only", scenario)]
        if control and control.sql:
            (out / "control.sql").write_text(control.sql, encoding="utf-8")
            options += ["--sql-file", str(out / "control.sql")]
        options += control.option.split() if control else []
        limit_s = SCENARIO_S * len(scenarios)
        # What is broken in the harness is broken in the copy's.
        at = copy if control and control.breaks_harness else self._root
        return run_harness([*self._harness, *options], at, out / "report.json", row.log, limit_s=limit_s)

    def _judge_control(self, control: NegativeControl | None, result: HarnessResult) -> ControlVerdict:
        if control:
            return judge(control, result.report)
        verdicts = judge_unbroken(self.scenarios, result.report)
        return next(
            (verdict for verdict in verdicts.values() if verdict.outcome != "green"), ControlVerdict("green", "PASS")
        )

    def write(self, began: datetime, seconds: float) -> None:
        """Write the results as controls.json and controls.md."""
        passed = [row.has_passed for row in self.rows]
        document = {
            "started_at": began.isoformat(timespec="seconds"),
            "duration_s": round(seconds, 1),
            "verdict": "PASS" if self.has_passed else "FAIL",
            "passed": sum(passed),
            "total": len(passed),
            "controls": [
                {**row.to_record(), "broken_by": _describe_breakage(self._controls.get(row.name))} for row in self.rows
            ],
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document, ensure_ascii=False, indent=1)
        (self._folder / "controls.json").write_text(text + "\n", encoding="utf-8")
        (self._folder / "controls.md").write_text(format_markdown(self.rows, document), encoding="utf-8")


def _describe_breakage(control: NegativeControl | None) -> dict[str, object]:
    if control is None:
        return {}
    return {"patch": control.patch, "sql": control.sql.strip(), "option": control.option}


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="stress.controls", description="Break the system, and see it found out.")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this control; can be repeated")
    parser.add_argument("--tenth", action="store_true", help="the tenth of all controls whose turn it is")
    parser.add_argument("--turn", type=int, help="the number of the turn; default: the number of changes so far")
    parser.add_argument("--within", type=float, default=inf, metavar="SECONDS", help="begin none that would end later")
    parser.add_argument("--record", action="store_true", help="put the results into measurements/controls.json")
    return parser.parse_args(arguments)


def choose_run(controls: Sequence[NegativeControl], options: argparse.Namespace, root: Path) -> list[NegativeControl]:
    """Return the controls that the options ask for; print which, if it is the tenth whose turn it is."""
    if not options.tenth:
        return choose_controls(controls, options.only)
    turn = find_turn(root) if options.turn is None else options.turn
    chosen = choose_tenth(controls, turn)
    print(f"turn {turn} (again: --tenth --turn {turn}): {', '.join(control.name for control in chosen)}")
    return chosen


def note_left_out(names: Sequence[str]) -> None:
    """Print for which controls there was no time, also where the table of CI's stages shows it."""
    if not names:
        return
    text = f"SKIPPED for want of time: {', '.join(names)}"
    print(text)
    if note := os.environ.get("STAGE_NOTE"):
        Path(note).write_text(text, encoding="utf-8")


def main(arguments: Sequence[str], root: Path = ROOT, harness: Sequence[str] = ()) -> int:
    """Return 0 if every control turned red as it must, 1 if one did not, 130 if interrupted."""
    options = parse_arguments(arguments)
    began, started = datetime.now(UTC), time.monotonic()
    folder = root / "reports" / f"controls-{began:%Y%m%d-%H%M%S}"
    every = read_controls(FILE.read_text(encoding="utf-8"))
    code, commit = GuardedCode(root), describe_commit(root)
    chosen = choose_run(every, options, root)
    try:
        last = read_records(root)  # before half an hour of controls, not after it
    except EditedRecords as error:
        raise SystemExit(f"{error}: delete it, and run all controls") from None
    controls = choose_within(chosen, {name: each.seconds for name, each in last.items()}, options.within)
    guarded = {control.name: code.describe(control) for control in controls}
    command = harness or [sys.executable, "-m", "stress"]
    control_run = ControlRun(root, command, controls, folder, within_s=options.within)
    signal.signal(signal.SIGTERM, _stop)
    table, interrupted = ControlTable(control_run.rows), True
    with suppress(KeyboardInterrupt), table:
        control_run.run(table)
        interrupted = False
    control_run.write(began, time.monotonic() - started)
    if options.record:
        merge_records(root, control_run.list_records(guarded, commit, began), every)
    table.end(folder.relative_to(root))
    begun = {row.name for row in control_run.rows if row not in control_run.left_out}
    note_left_out([control.name for control in chosen if control.name not in begun])
    return INTERRUPTED if interrupted else 0 if control_run.has_passed else 1


if __name__ == "__main__":
    signal.signal(signal.SIGINT, INTERRUPT_HANDLER)
    sys.exit(main(sys.argv[1:]))
