"""One run of the harness as a separate process: with a time limit, and ended with all that it has started."""

import json
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

# Signals that ask the harness to stop its system, and the seconds that each has; after the last it is killed.
ASKS = ((signal.SIGINT, 40.0), (signal.SIGTERM, 10.0))
LAST_LINES = 12
# The exit statuses of a complete run: passed, or not.
RAN_THROUGH = (0, 1)


@dataclass(frozen=True)
class HarnessResult:
    """The result of a run: its report, None if it has none or did not complete; `trouble` says why."""

    seconds: float
    report: Mapping[str, Any] | None
    trouble: str = ""


def run_harness(command: Sequence[str], root: Path, report: Path, log: Path, *, limit_s: float) -> HarnessResult:
    """Run a command in `root`, its output into `log`, for at most `limit_s` seconds; return its report."""
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=root, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            status: int | None = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            end_process(process)
    seconds = time.monotonic() - began
    if status not in RAN_THROUGH:
        how = f"was not done after {limit_s:g} s" if status is None else f"ended with status {status}"
        return HarnessResult(seconds, None, f"the harness {how}; its last lines:\n{read_last_lines(log)}")
    found = read_report(report)
    trouble = "" if found else f"the harness left no report; its last lines:\n{read_last_lines(log)}"
    return HarnessResult(seconds, found, trouble)


def read_report(path: Path) -> Mapping[str, Any] | None:
    """Return a report.json; None if there is none, or it is incomplete."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) else None


def read_last_lines(log: Path, count: int = LAST_LINES) -> str:
    """Return the end of the harness's output."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])


def end_process(process: "subprocess.Popen[bytes]") -> None:
    """End a process, first by signals it can handle, and all that it has started and not ended itself."""
    if process.poll() is not None:
        return
    started = psutil.Process(process.pid).children(recursive=True)
    for ask, patience_s in ASKS:
        process.send_signal(ask)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
            break
    for left in [*started, psutil.Process(process.pid)] if process.poll() is None else started:
        with suppress(psutil.NoSuchProcess):
            left.kill()
    process.wait()
