"""Run the stages of `make test`, some of them beside each other, and report how long each took.

    python -m tools.stages [--make make] STAGE … STAGE+STAGE,STAGE …

A stage is a target of the Makefile. The arguments are run one after another. Within an argument, lanes are joined by
`+` and run beside each other; the stages of a lane are joined by `,` and run one after another. A stage that runs alone
prints as it goes. The output of others is kept apart, in build/stages/, and printed whole when each ends.

The first stage that fails ends all others, and so do Ctrl-C and SIGTERM. build/stages.txt has the wall time of each
stage and of all; build/stages.json has the same for `tools.stages_page`. A stage that left something out writes why
into the file that the variable STAGE_NOTE names, and the table shows it. Only the standard library is needed: the
stages install the rest.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from stress.git_reader import read_git

FOLDER = Path("build/stages")
TABLE = Path("build/stages.txt")
FIGURES = Path("build/stages.json")
POLL_S = 0.2
GRACE_S = 20.0  # for pytest to end its servers; .ci/run kills everything 30 s after its limit
SUMMARY = re.compile(rb"^=* ?(\d+ [a-z]+(?:, \d+ [a-z]+)*) in [\d.]+s(?: \([\d:]+\))? ?=*$", re.MULTILINE)

Group = tuple[tuple[str, ...], ...]


class InvalidStage(Exception):
    """An argument names no stage, or one twice; the message has the argument."""


class StageFailed(Exception):
    """A stage ended with a status other than 0."""


class EndRequested(Exception):
    """Somebody wants the stages to end; the argument is the signal's number."""


def parse_groups(arguments: Sequence[str]) -> list[Group]:
    """Return the lanes of each argument. Raise InvalidStage."""
    groups = [tuple(tuple(lane.split(",")) for lane in argument.split("+")) for argument in arguments]
    names = [name for group in groups for lane in group for name in lane]
    for name, times in Counter(names).items():
        if not name or times > 1:
            raise InvalidStage(f"no stage, or one that is named twice: {name!r} in {' '.join(arguments)}")
    return groups


@dataclass
class Stage:
    """A stage that is running or has ended; `seconds` and `status` are those of its end."""

    name: str
    beside: tuple[str, ...]
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    status: int | None = None
    _shown: int = 0  # bytes of its output

    @property
    def log(self) -> Path:
        """The file that has its output."""
        return FOLDER / f"{self.name}.log"

    @property
    def note(self) -> str:
        """Say what it left out, or that it failed or was ended; empty if it ran as it should."""
        path = FOLDER / f"{self.name}.note"
        words = [" ".join(path.read_text(encoding="utf-8").split())] if path.exists() else []
        if self.status:
            words.append("FAILED" if self.status > 0 else "ended before its end")
        return "; ".join(words)

    @classmethod
    def start(cls, name: str, make: str, beside: tuple[str, ...]) -> "Stage":
        """Return the stage, started in a process group of its own, so that all of it can be ended."""
        note = FOLDER / f"{name}.note"
        note.unlink(missing_ok=True)
        environment = {**os.environ, "STAGE_NOTE": str(note.absolute())}
        with (FOLDER / f"{name}.log").open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - a target of our Makefile
                [make, "--no-print-directory", name],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                process_group=0,
            )
        return cls(name, beside, process)

    def has_ended(self) -> bool:
        """Return whether it has ended; note when, and how, and kill what it has left behind."""
        if self.status is None and (status := self.process.poll()) is not None:
            self.seconds, self.status = time.monotonic() - self.began, status
            self._send(signal.SIGKILL)
        return self.status is not None

    def show(self) -> None:
        """Print the output that has not been printed yet."""
        with self.log.open("rb") as output:
            output.seek(self._shown)
            more = output.read()
        self._shown += len(more)
        sys.stdout.buffer.write(more)
        sys.stdout.flush()

    def interrupt(self) -> None:
        """Send Ctrl-C's signal to everything in its process group."""
        self._send(signal.SIGINT)

    def wait_or_kill(self, deadline: float) -> None:
        """Wait until it has ended, and kill its process group at the deadline (monotonic seconds)."""
        while not self.has_ended():
            if time.monotonic() > deadline:
                self._send(signal.SIGKILL)
            time.sleep(POLL_S)
        self.status = -abs(self.status or signal.SIGINT)

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS: all that is left of the group is a zombie
            os.killpg(self.process.pid, number)


class StageRunner:
    """The stages that have begun, in the order of their beginnings; a signal is kept until it is looked for."""

    def __init__(self, make: str) -> None:
        self._make = make
        self._signal = 0
        self.stages: list[Stage] = []

    def request_end(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal: the stages are ended soon, each of those that have been started."""
        self._signal = number

    def run_group(self, lanes: Group) -> None:
        """Run lanes beside each other until all have ended. Raise StageFailed, EndRequested; nothing runs then."""
        if len(lanes) > 1:
            print(f"beside each other: {' and '.join(', '.join(lane) for lane in lanes)}", flush=True)
        waiting, running = [list(lane) for lane in lanes], dict[int, Stage]()
        try:
            while self._begin_next(lanes, waiting, running):
                time.sleep(POLL_S)
                self._look_at(running)
        except BaseException:
            end_stages(list(running.values()))
            raise

    def _begin_next(self, lanes: Group, waiting: list[list[str]], running: dict[int, Stage]) -> bool:
        """Begin the next stage of each lane that has none; return whether any runs."""
        if self._signal:
            raise EndRequested(self._signal)
        for number, lane in enumerate(waiting):
            if lane and number not in running:
                beside = tuple(other for n, names in enumerate(lanes) if n != number for other in names)
                running[number] = Stage.start(lane.pop(0), self._make, beside)
                self.stages.append(running[number])
        return bool(running)

    def _look_at(self, running: dict[int, Stage]) -> None:
        """Print what is to be printed now, and forget the stages that have ended. Raise StageFailed."""
        for number, stage in list(running.items()):
            if stage.has_ended():
                del running[number]
                finish_stage(stage)
            elif not stage.beside:
                stage.show()


def finish_stage(stage: Stage) -> None:
    """Print the rest of an ended stage's output. Raise StageFailed."""
    if stage.beside:
        print(f"\n===== {stage.name}: its output, {stage.seconds:.0f} s", flush=True)
    stage.show()
    if stage.status:
        raise StageFailed(stage.name)


def end_stages(stages: Sequence[Stage]) -> None:
    """End stages as Ctrl-C does, and by force after a time; print what each has printed until then."""
    ending = [stage for stage in stages if not stage.has_ended()]
    for stage in ending:
        stage.interrupt()
    deadline = time.monotonic() + GRACE_S
    for stage in ending:
        stage.wait_or_kill(deadline)
    for stage in stages:
        print(f"\n===== {stage.name}: its output until it ended, {stage.seconds:.0f} s", flush=True)
        stage.show()


def format_table(stages: Sequence[Stage], total_s: float) -> str:
    """Return a line for each stage, and the total: stages that run beside each other take more together than that."""
    width = max(len(name) for name in ("total", *(stage.name for stage in stages)))
    lines = [f"{stage.name:<{width}} {stage.seconds:6.0f} s  {describe_stage(stage)}".rstrip() for stage in stages]
    return "".join(f"{line}\n" for line in [*lines, f"{'total':<{width}} {total_s:6.0f} s"])


def describe_stage(stage: Stage) -> str:
    """Return what ran beside a stage, and its note."""
    beside = f"beside {', '.join(stage.beside)}" if stage.beside else ""
    return "  ".join(filter(None, (beside, stage.note)))


def list_figures(stages: Sequence[Stage], total_s: float) -> dict[str, Any]:
    """Return what the page about CI shows of a run."""
    return {
        "commit": read_git(Path.cwd(), "rev-parse", "HEAD") or "unknown",
        "processors": os.cpu_count(),
        "total_s": round(total_s),
        "stages": [
            {"name": s.name, "seconds": round(s.seconds), "status": s.status, "beside": s.beside, "note": s.note}
            for s in stages
        ],
    }


def sum_summaries(outputs: Iterable[bytes]) -> Counter[str]:
    """Return what pytest's last lines in some outputs say in all: how many tests passed, failed, and so on."""
    found: Counter[str] = Counter()
    for output in outputs:
        for summary in SUMMARY.findall(output):
            for part in summary.decode("ascii").split(", "):
                number, word = part.split()
                found[word] += int(number)
    return found


def write_results(stages: Sequence[Stage], total_s: float) -> None:
    """Write and print the table; the last line has the form of pytest's, for all stages."""
    table = format_table(stages, total_s)
    TABLE.write_text(table, encoding="utf-8")
    FIGURES.write_text(json.dumps(list_figures(stages, total_s), indent=1) + "\n", encoding="utf-8")
    print(f"\n{table}", flush=True)
    summary = sum_summaries(stage.log.read_bytes() for stage in stages)
    words = ", ".join(f"{count} {word}" for word, count in summary.items())
    bad = "".join(f"{stage.name} did not succeed: " for stage in stages if stage.status)
    print(f"===== {bad}{words or 'no tests'} in {total_s:.2f}s =====", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Run the stages, and return 0 if all succeeded, 1 if one failed, 128 and the signal's number after a signal."""
    parser = argparse.ArgumentParser(prog="python -m tools.stages")
    parser.add_argument("--make", default="make")
    parser.add_argument("stages", nargs="+", metavar="STAGE")
    options = parser.parse_args(arguments)
    try:
        groups = parse_groups(options.stages)
    except InvalidStage as error:
        parser.error(str(error))
    FOLDER.mkdir(parents=True, exist_ok=True)
    runner = StageRunner(options.make)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, runner.request_end)
    return run_groups(groups, runner)


def run_groups(groups: Sequence[Group], runner: StageRunner) -> int:
    """Run groups one after another, and report; return the exit status."""
    began, status = time.monotonic(), 0
    try:
        for group in groups:
            runner.run_group(group)
    except StageFailed:
        status = 1
    except EndRequested as error:
        status = 128 + int(error.args[0])
    write_results(runner.stages, time.monotonic() - began)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
