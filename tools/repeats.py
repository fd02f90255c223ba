"""Run the short readiness report many times, and keep the verdicts in measurements/repeats.json.

    python -m tools.repeats [--times N] [--busy]

One report says what was found once; only repetition shows whether the verdict is the same every time. Alone on the
machine each run has to PASS. With `--busy` a process keeps one processor busy meanwhile: a run may then be INVALID, as
it says that it can't measure, but never FAIL. Return 1 if one run ended otherwise.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from local.processes import prepare_death_signal
from stress.controls.model import list_reasons
from stress.controls.records import describe_commit
from tools.pages import ROOT

Kind = Literal["idle", "busy"]

KEPT = Path("measurements/repeats.json")
REPORTS = Path("reports")
TIMES: dict[Kind, int] = {"idle": 20, "busy": 5}
ALLOWED: dict[Kind, set[str]] = {"idle": {"PASS"}, "busy": {"PASS", "INVALID"}}
HARNESS = (sys.executable, "-m", "stress", "run", "--profile", "short")
BUSY = (sys.executable, "-c", "while True: pass")
NO_REPORT = "no report"


@dataclass(frozen=True)
class RepeatedRun:
    """One run: its seed, its verdict, how long it took, and for which reasons each scenario was not PASS."""

    seed: int
    verdict: str
    seconds: float
    reasons: dict[str, list[str]]


@contextmanager
def keep_processor_busy() -> Iterator[None]:
    """Keep one processor busy within the block, and no longer than this process lives, however it ends."""
    end_with_parent = prepare_death_signal(signal.SIGKILL)
    process = subprocess.Popen(BUSY, preexec_fn=end_with_parent)  # noqa: S603 - this Python
    try:
        yield
    finally:
        process.kill()
        process.wait()


def run_once(harness: Sequence[str], seed: int, out: Path) -> RepeatedRun:
    """Make one report in `out`, with what was printed beside it."""
    began = time.monotonic()
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_suffix(".log").open("wb") as log:
        command = [*harness, "--seed", str(seed), "--out", str(out)]
        subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False)  # noqa: S603 - our own
    path = out / "report.json"
    report: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {"verdict": NO_REPORT, "results": []}
    broken = [result for result in report["results"] if result["status"] != "PASS"]
    reasons = {result["key"]: [str(reason) for reason in list_reasons(result)] for result in broken}
    return RepeatedRun(seed, report["verdict"], round(time.monotonic() - began, 1), reasons)


def repeat(kind: Kind, times: int, harness: Sequence[str] = HARNESS, root: Path = ROOT) -> bool:
    """Run all, keep the results in place of the last of their kind, and return whether each ended as it has to."""
    began, commit = datetime.now(UTC), describe_commit(root)
    folder = root / REPORTS / f"repeats-{began:%Y%m%d-%H%M%S}"
    runs = []
    with keep_processor_busy() if kind == "busy" else nullcontext():
        for seed in range(1, times + 1):
            runs.append(run_once(harness, seed, folder / f"{seed:02d}"))
            print(f"{kind}, run {seed} of {times}: {runs[-1].verdict} in {runs[-1].seconds:.0f} s", flush=True)
    wanted = [run for run in runs if run.verdict in ALLOWED[kind]]
    results = {"commit": commit, "when": began.isoformat(timespec="seconds"), "runs": [asdict(run) for run in runs]}
    path = root / KEPT
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**kept, kind: results}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{kind}: {len(wanted)} of {len(runs)} as they have to be; {KEPT}, {folder.relative_to(root)}/")
    return len(wanted) == len(runs) == times > 0


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.repeats")
    parser.add_argument("--times", type=int, help="default: 20, and 5 beside a busy processor")
    parser.add_argument("--busy", action="store_true", help="beside a process that keeps one processor busy")
    options = parser.parse_args(arguments)
    kind: Kind = "busy" if options.busy else "idle"
    return 0 if repeat(kind, options.times or TIMES[kind]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
