"""`make stress-controls`: break the system in one way after another, and show that the scenario for it turns red.

    python -m stress.controls [--only NAME]

Each control is a run of the harness, from this checkout, on a copy of it that is broken (`controls.toml`). First the
same scenarios must be green on an unbroken copy, or red would mean nothing. A control that stays green, is red for
another reason, or has no result, fails, and the run with it. The results are in `reports/controls-<time>/`.
"""

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from stress.controls.checkout_copies import CannotCopy, apply_patch, copy_checkout
from stress.controls.control_table import ControlRow, ControlTable, format_markdown
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

ROOT = Path(__file__).resolve().parents[2]
COPIES = Path("build/controls")
UNBROKEN = "unbroken"

# The time limit of one scenario, start and end of its system included: two to three times what it takes.
SCENARIO_S = 300.0
INTERRUPTED = 130


class ControlRun:
    """A run of the controls: `harness` is the command that begins a run of the harness."""

    def __init__(self, root: Path, harness: Sequence[str], controls: Sequence[NegativeControl], folder: Path) -> None:
        self._root = root
        self._harness = harness
        self._folder = folder
        self._controls = {control.name: control for control in controls}
        self.scenarios = sorted({control.scenario for control in controls})
        why = "Nothing: the system as it is, and all of it must be green."
        everything = ControlRow(UNBROKEN, why, ", ".join(self.scenarios), wanted="green")
        self.rows = [everything, *(ControlRow(c.name, c.why, c.scenario) for c in controls)]

    @property
    def has_passed(self) -> bool:
        """Return whether every row is as it must be."""
        return all(row.has_passed for row in self.rows)

    def run(self, table: ControlTable) -> None:
        """Run all controls; stop after an unbroken system that is not green, as then nothing would be proven."""
        for row in self.rows:
            table.begin(row)
            self._run_control(row)
            table.show_outcome(row)
            if row.name == UNBROKEN and not row.has_passed:
                break

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
        return run_harness([*self._harness, *options], self._root, out / "report.json", row.log, limit_s=limit_s)

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


def choose_controls(controls: Sequence[NegativeControl], only: Sequence[str]) -> list[NegativeControl]:
    """Return the controls of these names, all if none is named. Raise SystemExit for an unknown name."""
    names = [control.name for control in controls]
    if unknown := [name for name in only if name not in names]:
        raise SystemExit(f"no such control: {', '.join(unknown)}; there are: {', '.join(names)}")
    return [control for control in controls if not only or control.name in only]


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str], root: Path = ROOT, harness: Sequence[str] = ()) -> int:
    """Return 0 if every control turned red as it must, 1 if one did not, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="stress.controls", description="Break the system, and see it found out.")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this control; can be repeated")
    only = parser.parse_args(arguments).only
    began, started = datetime.now(UTC), time.monotonic()
    folder = root / "reports" / f"controls-{began:%Y%m%d-%H%M%S}"
    controls = choose_controls(read_controls(FILE.read_text(encoding="utf-8")), only)
    control_run = ControlRun(root, harness or [sys.executable, "-m", "stress"], controls, folder)
    signal.signal(signal.SIGTERM, _stop)
    table, interrupted = ControlTable(control_run.rows), True
    with suppress(KeyboardInterrupt), table:
        control_run.run(table)
        interrupted = False
    control_run.write(began, time.monotonic() - started)
    table.end(folder.relative_to(root))
    return INTERRUPTED if interrupted else 0 if control_run.has_passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
